"""The documents say what the code says: links, routes, problems, metrics, limits, and the names they lean on.

A document that has drifted is worse than none, so whatever can be compared is compared here. The samples of docs/api.md are
compared with a running cluster by `scripts/make_api_samples.py --check`, which the last test runs.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api import metrics
from api.app import API_CALLS
from api.openapi import document
from api.problems import KINDS
from node.replica import Statistics
from scripts.make_event_samples import page_with
from statemachine.limits import __file__ as limits_file
from tests.chaos import recorded

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
TOP_LEVEL = {
    *(".ci", ".gitignore", "README.md", "cluster.yml", "pyproject.toml"),
    *("api", "client", "docs", "node", "scripts", "statemachine", "tests"),
}
_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_TEST_NAME = re.compile(r"`((?:test_\w+\.py)?)::(\w+)`")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_top_level_holds_what_belongs_there() -> None:
    """By what git knows; what a run leaves behind is ignored by it."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip(f"git does not tell: {listed.stderr.strip()}")
    assert {line.partition("/")[0] for line in listed.stdout.splitlines()} == TOP_LEVEL


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in _LINK.findall(_FENCED.sub("", text)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = path if not name else (path.parent / name)
        assert file.exists(), f"{path.name}: {target}"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{path.name}: {target}"


def test_every_route_is_told() -> None:
    text = page("api.md")
    for route, operations in document(API_CALLS, "test")["paths"].items():
        for method in operations:
            assert re.search(rf"^### .*`{method.upper()} {re.escape(route)}`$", text, re.MULTILINE), (
                f"{method} {route}"
            )


def test_what_each_call_heeds_is_told() -> None:
    def word(heeded: bool) -> str:
        return "yes" if heeded else "–"

    wanted = [
        f"| `{call.method} {call.path}` | {word(call.takes_key)} | {word(call.matched)} | {word(call.tagged)} | {word(call.paged)} |"
        for call in API_CALLS
    ]
    told = re.findall(r"^\| `[A-Z]+ /.*` \| .* \| .* \| .* \| .* \|$", page("api.md"), re.MULTILINE)
    assert sorted(told) == sorted(wanted)


def test_every_problem_is_told_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", page("api.md"), re.MULTILINE))
    assert rows == {code: str(kind.status) for code, kind in KINDS.items()}


def test_what_a_key_keeps_is_told() -> None:
    """The column "Kept": refusals of the log are kept, but for those that the state machine does not remember."""
    from statemachine.outcomes import Code
    from statemachine.state import _NOT_REMEMBERED

    kept = dict(re.findall(r"^\| `([a-z-]+)` \| \d{3} \| (yes|no|–) \|", page("api.md"), re.MULTILINE))
    decided = set(Code.__args__) - {"ok", "key-reused"}  # type: ignore[attr-defined]  # a Literal has its values there
    assert {code for code, word in kept.items() if word == "yes"} == decided - _NOT_REMEMBERED


def test_every_metric_is_told_and_exists() -> None:
    source = Path(metrics.__file__).read_text(encoding="utf-8")
    existing = set(re.findall(r"\"(deskraft_[a-z_]+)\"", source)) | {
        f"deskraft_{name}"
        for name in re.findall(r"^\s+\(\"([a-z_]+)\", \"(?:gauge|counter)\"", source, re.MULTILINE)
    }
    assert len(existing) > len(Statistics.__struct_fields__)
    told = set(re.findall(r"^\| `(deskraft_[a-z_]+)", page("operations.md"), re.MULTILINE))
    assert told == existing
    mentioned = set(re.findall(r"`[^`]*?(deskraft_[a-z_]+)", page("operations.md")))
    assert mentioned <= existing


def quoted_messages() -> Iterator[str]:
    """What operations.md quotes of a node: the first columns of its tables of log lines, messages and reasons."""
    text = page("operations.md")
    for heading in ("Log lines", "Messages", "readyz"):
        section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
        for row in re.findall(r"^\| (`.*?) \| ", section, re.MULTILINE):
            yield from re.findall(r"`([^`]+)`", row)


@pytest.mark.parametrize("quoted", list(quoted_messages()))
def test_quoted_messages_are_those_of_the_code(quoted: str) -> None:
    """The fixed pieces of each message stand in the code; what varies is a gap on both sides."""
    source = "\n".join(
        file.read_text(encoding="utf-8") for room in ("api", "node") for file in (ROOT / room).rglob("*.py")
    )
    source = re.sub(r"\"\s*\n\s*f?\"", "", source)  # a text that goes on in the next line
    gaps = r"…|: |identity\.json|\.\.\.|\(host:port\)|\bN\b|\bn\d\b|\b\d+\b|\.dsk|\.seg|snapshot-|journal-|\bok\b|DESKRAFT_ADMIN_PASSWORD"
    pieces = [piece.strip(" :,()") for piece in re.split(gaps, quoted)]
    wanted = [piece for piece in pieces if len(piece) > 3]
    assert wanted or quoted in ("cluster.yml: …", "journal-….seg: …"), quoted
    for piece in wanted:
        assert piece in source, f"{quoted!r}: {piece!r}"


def limits_told() -> Iterator[tuple[str, str, str]]:
    yield from re.findall(
        r"^\| `([A-Z_]+)` \| ([\d.]+)(?: s)? \| `([\w/]+\.py)` \|", page("architecture.md"), re.MULTILINE
    )


@pytest.mark.parametrize(("name", "value", "file"), list(limits_told()))
def test_the_limits_are_those_of_the_code(name: str, value: str, file: str) -> None:
    module = importlib.import_module(file.removesuffix("/__init__.py").removesuffix(".py").replace("/", "."))
    assert float(getattr(module, name)) == float(value), f"{name} is {getattr(module, name)} in {file}"


def test_no_limit_of_the_state_is_missing() -> None:
    tree = ast.parse(Path(limits_file).read_text(encoding="utf-8"))
    names = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    internal = {name for name in names if name.startswith("MAX_ALTERNATIVES_")} | {
        "MAX_CELL", "MAX_STAMP_MS", "MAX_SESSION_LIFETIME_MS", "MAX_ID_CHARS", "MAX_KEY_CHARS", "MAX_SCOPE_CHARS",
        "MAX_FINGERPRINT_BYTES", "MAX_FAILURES_NOTED", "MAX_TEXT_CHARS", "MAX_GRID_WINDOWS", "MAX_WINDOW_SLOTS",
    }  # fmt: skip
    assert names - internal <= {name for name, _, _ in limits_told()}


def test_constants_named_in_the_text_exist() -> None:
    """Every `UPPER_CASE` name of the documents is a constant somewhere in the rooms."""
    defined: set[str] = set()
    for room in ("statemachine", "node", "api", "client", "scripts"):
        for file in (ROOT / room).rglob("*.py"):
            defined |= set(
                re.findall(r"^([A-Z][A-Z_]+)\b.*?=", file.read_text(encoding="utf-8"), re.MULTILINE)
            )
    outside = {
        "DESKRAFT_ADMIN_PASSWORD",
        "DESKRAFT_SERVER",
        "DESKRAFT_PASSWORD",
        "DESKRAFT_SEEDS",
        "NO_COLOR",
    }
    outside |= {"PYTHONHASHSEED", "RWF_DSYNC", "PIPE_NOTIFIER_ENABLED", "LEADER_CHANGED"}
    for path in DOCS.glob("*.md"):
        for name in re.findall(r"`([A-Z]+_[A-Z_]+)(?:\[\d\])?`", path.read_text(encoding="utf-8")):
            assert name in defined | outside, f"{path.name}: {name}"


def test_the_tests_named_in_the_guards_exist() -> None:
    """`test_file.py::test_name`, and `::test_name` for another one of the file named last."""
    file = ""
    assert len(_TEST_NAME.findall(page("engine-guards.md"))) > 30
    for named, test in _TEST_NAME.findall(page("engine-guards.md")):
        file = named or file
        source = (ROOT / "tests" / "node" / file).read_text(encoding="utf-8")
        assert f"def {test}(" in source, f"{file}::{test}"
    for control in re.findall(r"simulation controls? (.+?)[.;]", page("engine-guards.md")):
        for name in re.findall(r"\"([^\"]+)\"", control):
            assert f'"{name}"' in (ROOT / "tests/simulation/test_world.py").read_text(encoding="utf-8"), name


def test_the_tests_named_beside_reports_exist() -> None:
    """Each row of double-bookings.md names a test file, or one test of it."""
    rows = re.findall(
        r"^\| \[#\d+\]\(https://github\.com/\S+\) \|.*\| `(test_\w+\.py)(?:::(\w+))?` \|$",
        page("double-bookings.md"),
        re.MULTILINE,
    )
    assert len(rows) == page("double-bookings.md").count("](https://github.com/")
    for file, test in rows:
        sources = [found.read_text(encoding="utf-8") for found in (ROOT / "tests").rglob(file)]
        assert any(f"def {test}(" in source for source in sources) if test else sources, f"{file}::{test}"


def test_modules_named_in_the_text_exist() -> None:
    for path in PAGES:
        for name in re.findall(
            r"`((?:statemachine|node|api|client|scripts|tests)/[\w/]+(?:\.py)?)`",
            path.read_text(encoding="utf-8"),
        ):
            assert (ROOT / name).exists(), f"{path.name}: {name}"


def test_every_dependency_is_told() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    text = page("dependencies.md")
    for requirement in wanted:
        name = re.split(r"[<>=;! ]", requirement)[0]
        assert f"`{name}`" in text, name


def test_the_commands_and_tags_of_the_log_are_those_of_the_code() -> None:
    from node import messages
    from statemachine import commands

    text = page("data.md")
    for kind in (*commands.Command.__args__, *messages.Message.__args__):
        row = re.search(rf"^\|(?: (\d+) \|)? `{kind.__name__}` \|(?: (\d+) \|)? (.*) \|$", text, re.MULTILINE)
        assert row is not None, kind.__name__
        assert int(row[1] or row[2]) == kind.__struct_config__.tag, kind.__name__
        told = re.sub(r"\([^)]*\)", "", row[3]).replace("–", "")
        assert [field.strip() for field in told.split(",") if field.strip()] == list(
            kind.__struct_fields__
        ), kind.__name__


def test_mermaid_blocks_are_closed_and_of_known_kinds() -> None:
    for path in PAGES:
        for block in re.findall(
            r"^```mermaid\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            assert block.split(None, 1)[0] in ("flowchart", "sequenceDiagram"), path.name
            opened = len(re.findall(r"^\s*(?:alt|par|loop|opt|subgraph)\b", block, re.MULTILINE))
            closed = len(re.findall(r"^\s*end\s*$", block, re.MULTILINE))
            assert opened == closed, path.name


def test_every_event_is_told() -> None:
    """With the example that the code makes of it."""
    text = page("events.md")
    assert page_with(text) == text, "run scripts/make_event_samples.py"


@pytest.mark.timeout(120)
def test_the_samples_are_true() -> None:
    """The requests of docs/api.md, sent to a real cluster, are answered as it is written there."""
    command = [sys.executable, str(ROOT / "scripts" / "make_api_samples.py"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_reliability_is_drawn_from_the_records() -> None:
    """Nobody writes a figure of docs/reliability.md by hand, and none is older than its record: `./scripts/chaos --draw`."""
    text = recorded.RELIABILITY.read_text(encoding="utf-8")
    assert recorded.draw(text) == text
