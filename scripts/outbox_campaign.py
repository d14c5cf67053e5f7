"""Kill leaders while bookings are made, and see that a webhook receiver hears of every one: once after repeats are dropped, in order.

    .venv/bin/python scripts/outbox_campaign.py --kills 50 --bookings 10000 --json build/outbox.json

Prints progress, ends with a one-line verdict, exits 0 only when nothing was violated. Needs what `scripts/test` installs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.integration import telling  # noqa: E402 - needs the path above


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="leaders to kill (default 50)")
    parser.add_argument(
        "--bookings", type=int, default=10_000, metavar="N", help="bookings to make (default 10000)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdict there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deskraft-outbox-") as folder:
        verdict = asyncio.run(
            telling.run(
                Path(folder), arguments.kills, arguments.bookings, lambda line: print(line, flush=True)
            )
        )
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(asdict(verdict), indent=1) + "\n", encoding="utf-8")
    for complaint in verdict.complaints[:20]:
        print(complaint)
    print(
        f"{'VIOLATED' if verdict.complaints else 'ok'}: {verdict.kills} leaders killed, {verdict.bookings} bookings asked for, "
        f"{verdict.committed} events committed, {verdict.received} told, {verdict.repeats} repeats, "
        f"{len(verdict.complaints)} violations, {verdict.seconds:.0f} s"
    )
    return 1 if verdict.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
