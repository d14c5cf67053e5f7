"""Scenarios: text files of steps and expectations, read line by line and played on shipped cores.

    # Title                                  lines that begin with # are for the reader
    three members
    n1 campaigns
    deliver vote requests from n1 to n2      one step a line; `README.md` lists them all
    expect votes from n2 to n1
    expect members                           a table: its header names the columns, its rows the members
      member | role      | term
      n1     | candidate | 1

A sentence is a template of `steps.py`, `clients.py`, `operators.py` or `expectations.py` with its blanks filled in. When an expectation does
not hold, it and what is are shown side by side, with the file, the line, all members and the last messages. `update` writes tables (and
`expect n1 log …`) anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from node.core import Core
from tests.scenarios import words
from tests.scenarios.member import BrokenPromiseError, Parcel
from tests.scenarios.world import World

FOLDER = Path(__file__).parent
ALL_COLUMNS = ("member", "role", "term", "vote", "log", "on disk", "commit", "applied")
SHOWN_EVENTS = 15


class ScenarioError(AssertionError):
    """A step that cannot be taken, or an expectation that does not hold."""


class Verdict(NamedTuple):
    """Whether an expectation holds, and how things really are."""

    holds: bool
    actual: str


_NUMBERS = {
    word: number
    for number, word in enumerate(
        ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    )
}
_UNITS = {"ms": 0.001, "s": 1.0, "minutes": 60.0, "hour": 3600.0, "hours": 3600.0}


def _number(text: str) -> int:
    return _NUMBERS[text] if text in _NUMBERS else int(text)


def _seconds(text: str) -> float:
    number, unit = text.split()
    return int(number) * _UNITS[unit]


def _names(text: str) -> list[str]:
    return re.findall(r"n\d+", text)


# What a blank of a template may hold, and what the code gets for it.
_BLANKS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "member": (r"n\d+", str),
    "members": (r"n\d+(?:(?:, | and |, and )n\d+)*", _names),
    "order": (r"n\d+(?: n\d+)*", _names),
    "kind": ("|".join(sorted(words.KINDS, key=len, reverse=True)), str),
    "number": (r"\d+|" + "|".join(_NUMBERS), _number),
    "time": (r"\d+ (?:ms|s|minutes|hours?)", _seconds),
    "request": (r"c\d+", str),
    "read": (r"r\d+", str),
    "seat": (r"A\d", str),
    "clock": (r"\d\d:\d\d", str),
    "person": (r"ann|bob", str),
    "change": (r"add|promote|remove|replace", str),
    "operation": (r"m\d+", str),
    "learner": (r"learner", str),
    "word": (r"[a-z-]+", str),
    "way": (r"ahead|behind", str),
    "text": (r".+", str),
}


class Sentence(NamedTuple):
    """A template and the function that carries it out, called with the world's `Play` and the filled blanks."""

    template: str
    pattern: re.Pattern[str]
    convert: dict[str, Callable[[str], Any]]
    function: Callable[..., Any]


class Language:
    """A list of sentences; `sentence` adds one."""

    def __init__(self) -> None:
        self.sentences: list[Sentence] = []

    def sentence(self, template: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """`{name:blank}` is a blank, `[…]` may be left out, `a/b` is either; the function gets `name=value`, None for what is left out."""
        convert: dict[str, Callable[[str], Any]] = {}

        def blank(match: re.Match[str]) -> str:
            name, kind = match[1], match[2] or match[1]
            pattern, convert[name] = _BLANKS[kind]
            return f"(?P<{name}>{pattern})"

        pattern = re.escape(template).replace(r"\ ", " ").replace(r"\[", "(?:").replace(r"\]", ")?")
        pattern = re.sub(r"\\{(\w+)(?::(\w+))?\\}", blank, pattern)
        pattern = re.sub(r"(\w+)/(\w+)", r"(?:\1|\2)", pattern)

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            self.sentences.append(Sentence(template, re.compile(pattern), convert, function))
            return function

        return add

    def say(self, play: Play, text: str) -> Any:
        """Carry out a sentence. Raises ScenarioError when there is none like it."""
        for one in self.sentences:
            if match := one.pattern.fullmatch(text):
                values = {
                    name: None if value is None else one.convert[name](value)
                    for name, value in match.groupdict().items()
                }
                return one.function(play, **values)
        raise ScenarioError(f"no sentence reads like {text!r}; README.md lists them")


STEPS, EXPECTATIONS = Language(), Language()


class Play:
    """A scenario being played: its world, and the names that it has given to requests and reads."""

    def __init__(self, tamper: Callable[[Core], None] | None = None) -> None:
        self.world = World(tamper)
        self.world.describe = words.message
        self.requests: dict[str, int] = {}
        self.envelopes: dict[str, tuple[str, Any, str]] = {}  # (person, command, key) of each request
        self.reads: dict[str, int] = {}
        self.operations: dict[str, int] = {}
        self.copies: list[Parcel] = []
        self.submitted = 0

    def expect(self, text: str) -> Verdict:
        verdict: Verdict = EXPECTATIONS.say(self, text)
        return verdict

    def report(self) -> str:
        """All that a reader needs to see what went wrong."""
        lines = ["", "The members now:"]
        lines += words.layout(words.rows(self.world, ALL_COLUMNS, self.world.ids))
        for title, parcels in (("On the way", self.world.wire), ("Held back", self.world.held)):
            if parcels:
                lines.append(f"{title}:")
                lines += [
                    f"  {a} -> {b}  {words.message(message)}" for a, b, message in parcels[:SHOWN_EVENTS]
                ]
        lines.append("What happened last:")
        return "\n".join(lines + [f"  {event}" for event in self.world.trace[-SHOWN_EVENTS:]])


class Scenario:
    """A file of steps. `play` plays it; with `update`, tables that differ are written anew instead of failing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = path.read_text(encoding="utf-8").splitlines()
        self.title = self.lines[0].removeprefix("#").strip()

    def play(
        self,
        *,
        tamper: Callable[[Core], None] | None = None,
        prepare: Callable[[World], None] | None = None,
        update: bool = False,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Raises ScenarioError. `tamper` and `prepare` take guards away, for controls; `tell` gets the narrative."""
        play = Play(tamper)
        if prepare is not None:
            prepare(play.world)
        result: list[str] = []
        number = 0
        try:
            while number < len(self.lines):
                line, number = self.lines[number], number + 1
                table: list[str] = []
                while (
                    line.strip() == "expect members"
                    and number < len(self.lines)
                    and "|" in self.lines[number]
                ):
                    table.append(self.lines[number])
                    number += 1
                told = len(play.world.trace)
                written = self._line(play, number - len(table), line, table, update)
                result += written
                if tell is not None:
                    for event in [*written, *(f"      {event}" for event in play.world.trace[told:])]:
                        tell(event)
        finally:
            play.world.close()
        if update and result != self.lines:
            self.path.write_text("\n".join(result) + "\n", encoding="utf-8")
            self.lines = result

    def _line(self, play: Play, number: int, line: str, table: list[str], update: bool) -> list[str]:
        text = line.strip()
        if not text or text.startswith("#"):
            return [line]
        place = f"{self.path.name}:{number}: {text}"
        try:
            if table:
                return [line, *self._table(play, place, table, update)]
            if text.startswith("expect "):
                return [self._expectation(play, place, text.removeprefix("expect "), update)]
            STEPS.say(play, text)
        except ScenarioError as error:
            raise ScenarioError(
                str(error) if str(error).startswith(place) else f"{place}\n{error}{play.report()}"
            ) from error
        except KeyError as error:
            raise ScenarioError(f"{place}\nthere is no {error}\n{play.report()}") from error
        except (BrokenPromiseError, ValueError) as error:
            raise ScenarioError(f"{place}\n{error}\n{play.report()}") from error
        return [line]

    def _expectation(self, play: Play, place: str, text: str, update: bool) -> str:
        verdict = play.expect(text)
        if verdict.holds:
            return f"expect {text}"
        if update and re.match(r"n\d+ log ", text):
            return f"expect {verdict.actual}"
        raise ScenarioError(f"{place}\n{_beside([text], [verdict.actual])}\n{play.report()}")

    def _table(self, play: Play, place: str, table: list[str], update: bool) -> list[str]:
        wanted = [[cell.strip() for cell in row.split("|")] for row in table]
        wanted = [(row + [""] * len(wanted[0]))[: len(wanted[0])] for row in wanted]
        unknown = [column for column in wanted[0] if column not in words.COLUMNS]
        if unknown or wanted[0][0] != "member":
            raise ScenarioError(f"a table begins with `member`; its columns are {', '.join(words.COLUMNS)}")
        actual = words.rows(play.world, wanted[0], [row[0] for row in wanted[1:]])
        if wanted != actual and not update:
            raise ScenarioError(
                f"{place}\n{_beside(words.layout(wanted), words.layout(actual))}\n{play.report()}"
            )
        return words.layout(actual)


def _beside(expected: list[str], actual: list[str]) -> str:
    width = max(len("expected"), *map(len, expected))
    lines = [f"    {'expected'.ljust(width)}   actual"]
    for one, other in zip(expected, actual, strict=True):
        lines.append(f"  {'>' if one != other else ' '} {one.ljust(width)}   {other}")
    return "\n".join(lines)


def reference() -> list[str]:
    """Every sentence, as README.md lists them."""
    lines = ["### Steps", "", "| Sentence | What happens |", "|---|---|"]
    for one in STEPS.sentences:
        lines.append(f"| `{one.template}` | {(one.function.__doc__ or '').splitlines()[0]} |")
    lines += ["", "### Expectations", ""]
    lines += [f"- `expect {one.template}`" for one in EXPECTATIONS.sentences]
    return lines


def all_scenarios() -> list[Path]:
    """Every scenario file."""
    return sorted(FOLDER.glob("*.txt"))
