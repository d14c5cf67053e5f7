"""Writes the list of events in docs/events.md from the code, so that it stays true.

One event of every kind (`tests/node/every_event.py`) is told as it would be outside, in full and, where there is something, as
others see it, and written between the marker `<!-- events -->` and `<!-- /events -->`. `--check` writes nothing and
exits 1 when the page says something else.

Run it from the environment of the tests: .venv/bin/python scripts/make_event_samples.py [--check]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the rooms beside this folder, whether or not they are installed

from node.cloudevents import Story, cloud_event, story_of  # noqa: E402 - needs the path above
from tests.node.every_event import EVERY_EVENT  # noqa: E402 - the same

PAGE = ROOT / "docs" / "events.md"
PLACE = (7, 2)
_MARKED = re.compile(r"(<!-- events -->\n).*?(<!-- /events -->)", re.DOTALL)


def listing() -> str:
    """The part of the page that is made: a heading, what is told of it and an example for each type."""
    parts = []
    for event in EVERY_EVENT:
        story = story_of(event)
        told = (type(event).__doc__ or "").strip().replace("\n    ", " ")
        example = json.dumps(cloud_event("demo", PLACE, story, story), indent=2, ensure_ascii=False)
        part = [f"### `{story.type}`", "", told, "", f"Seen by: {_readers(story)}.", ""]
        parts.append("\n".join([*part, "```json", example, "```", ""]))
        if story.public is not None and story.public.type != story.type:
            others = json.dumps(cloud_event("demo", PLACE, story, story.public), indent=2, ensure_ascii=False)
            summary = f"<details><summary>as others see it: <code>{story.public.type}</code></summary>"
            parts.append("\n".join([summary, "", "```json", others, "```", "", "</details>", ""]))
    return "\n".join(parts)


def _readers(story: Story) -> str:
    if story.public is not None and story.public.type == story.type:
        return "everybody" + (", `by_user_id` by administrators alone" if "by_user_id" in story.data else "")
    readers = "administrators" + (" and the user" if story.users else "")
    return readers + ("; others see the seats alone" if story.public is not None else "")


def page_with(text: str) -> str:
    """The page with the list as it should be."""
    return _MARKED.sub(lambda found: found[1] + "\n" + listing() + found[2], text)


def main() -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0] if __doc__ else "", allow_abbrev=False
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when something differs")
    check = parser.parse_args().check
    before = PAGE.read_text(encoding="utf-8")
    after = page_with(before)
    if check:
        print("docs/events.md is true" if before == after else "docs/events.md differs from the code")
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    print(f"{len(EVERY_EVENT)} events written to docs/events.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
