"""Every place where the shipped code touches the disk has a name, and a simulated member can be made to die exactly there.

A crash "after some number of system calls" visits the common places a thousand times and the rare ones never, and cannot say which it has
visited. The names are taken from the code itself, so nothing is added to it: a **site** is the function under `node/` that called the disk,
and what it called (`segments.SegmentedLog._rotate:rename`); a **point** is a site and a phase of the call:

- `before`: nothing has happened;
- `torn`: of the bytes of a write, some of the sectors; of a file of zeros, a part of its length;
- `unsynced`: written, and not made durable (only where one call does both);
- `during`: a sync that was under way: of what it should have made durable, a part is;
- `after`: it has happened, and the caller has not been told;
- `short`: not a crash: a part is written, then the disk is full;
- `error`: not a crash: reading returns EIO.

`points()` lists them by reading the source (`ast`); `Failpoints` counts which were passed and which were struck, and strikes one when armed.
In the manner of FreeBSD's fail(9) and TiKV's fail-rs, except that the names need no marks in the code.
"""

from __future__ import annotations

import ast
import functools
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

import node

NODE_PATH: Final = Path(node.__file__).parent
PHASES: Final[dict[str, tuple[str, ...]]] = {
    "write": ("before", "torn", "after", "short"),
    "write_durably": ("before", "torn", "unsynced", "after", "short"),
    "sync": ("before", "during", "after"),
    "create": ("before", "torn", "after"),
    "rename": ("before", "after"),
    "remove": ("before", "after"),
    "sync_directory": ("before", "during", "after"),
    "read": ("error",),
}
NOT_CRASHES: Final = ("short", "error")  # the member is told of these, and stops by itself
RECEIVERS: Final = frozenset({"disk", "_disk", "file", "_file"})  # what node/ calls its disks and files
PASSED_SHARE: Final = 0.8  # of the choices that can come true at once
_DISK_MODULE: Final = "disk.py"  # the port itself is not a user of it


OFFLINE: Final = {  # places that no member passes, by the beginning of their names: why
    "looking.": "the offline proof looks at a copy of a directory; it only reads",
    "storage.whose:": "asked by the offline proof alone; a member asks read_identity",
}


class Site:
    """One place in the code: how often it was passed, and what is armed there."""

    __slots__ = ("armed", "name", "passes")

    def __init__(self, name: str) -> None:
        self.name = name
        self.passes = 0
        self.armed: _Armed | None = None


class _Armed:
    """What is to happen at a site."""

    __slots__ = ("left", "owner", "phase", "point")

    def __init__(self, point: str, phase: str, left: int, owner: object) -> None:
        self.point = point
        self.phase = phase
        self.left = left
        self.owner = owner


@functools.cache
def _function_of(code: CodeType) -> str:
    """`module.Class.method` of code under node/, else nothing. Functions inside a function go by its name."""
    path = Path(code.co_filename)
    if path.parent != NODE_PATH or path.name == _DISK_MODULE:
        return ""
    return f"{path.stem}.{code.co_qualname.split('.<locals>')[0]}"


class Failpoints:
    """The points of one world. Each strikes once when it is armed: at the n-th pass from then."""

    def __init__(self) -> None:
        self.crashed: Counter[str] = Counter()  # points that struck (the errors of NOT_CRASHES among them)
        self._sites: dict[str, Site] = {}
        self._by_code: dict[tuple[CodeType, str], Site] = {}

    def arm(self, point: str, nth: int = 1, owner: object = None) -> None:
        """Strike when `point` is passed for the `nth` time from now, on any disk or on the one that is given. One point of a site at a time."""
        name, _, phase = point.rpartition("/")
        if phase not in PHASES.get(name.rpartition(":")[2], ()) or nth < 1:
            raise ValueError(f"{point} is no failpoint")
        self._sites.setdefault(name, Site(name)).armed = _Armed(point, phase, nth, owner)

    def disarm(self) -> None:
        """Nothing is armed."""
        for site in self._sites.values():
            site.armed = None

    def waits_at(self, point: str) -> bool:
        """Whether something is armed at the site of that point: another one would take its place."""
        site = self._sites.get(point.rpartition("/")[0])
        return site is not None and site.armed is not None

    @property
    def armed(self) -> list[str]:
        """What waits to be passed."""
        return [site.armed.point for site in self._sites.values() if site.armed is not None]

    def site(self, call: str, frame: FrameType | None) -> Site:
        """Where in the shipped code this call comes from; the first frame under node/ counts."""
        while frame is not None:
            site = self._by_code.get((frame.f_code, call))
            if site is not None:
                return site
            function = _function_of(frame.f_code)
            if function:
                name = f"{function}:{call}"
                site = self._by_code[frame.f_code, call] = self._sites.setdefault(name, Site(name))
                return site
            frame = frame.f_back
        return self._sites.setdefault(f"outside:{call}", Site(f"outside:{call}"))

    def due(self, site: Site, owner: object) -> tuple[str, str] | None:
        """Called when an armed site is passed: the point and its phase, if it strikes now."""
        armed = site.armed
        assert armed is not None
        if armed.owner is not None and owner is not armed.owner:
            return None
        armed.left -= 1
        if armed.left:
            return None
        site.armed = None
        self.crashed[armed.point] += 1
        return armed.point, armed.phase

    @property
    def passed(self) -> Counter[str]:
        """How often each point was passed."""
        return Counter(
            {
                f"{site.name}/{phase}": site.passes
                for site in self._sites.values()
                if site.passes and not site.name.startswith("outside:")
                for phase in PHASES[site.name.rpartition(":")[2]]
            }
        )

    def choose(self, rng: random.Random, hit: frozenset[str] = frozenset()) -> str:
        """A random point that was struck neither here nor in `hit` (a campaign's memory), else any; mostly one that is passed in this world."""
        every = [name for name in points() if not self.waits_at(name)] or points()
        fresh = [name for name in every if name not in hit and name not in self.crashed] or every
        if rng.random() < PASSED_SHARE:
            passed = {name for name, site in self._sites.items() if site.passes}
            fresh = [name for name in fresh if name.rpartition("/")[0] in passed] or fresh
        return rng.choice(fresh)


# What there is, read from the source.


@functools.cache
def all_points() -> list[str]:
    """The names of all points, sorted."""
    return sorted({name for path in sorted(NODE_PATH.glob("*.py")) for name in _points_of(path)})


@functools.cache
def points() -> list[str]:
    """Those that a member passes."""
    return [name for name in all_points() if not name.startswith(tuple(OFFLINE))]


def never_struck(struck: Iterable[str]) -> list[str]:
    """What is left of a member's points."""
    return sorted(set(points()) - set(struck))


def _points_of(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if path.name == _DISK_MODULE or "node.disk" not in text:
        return  # most modules, which need not be parsed
    tree = ast.parse(text)
    if not _uses_disks(tree):
        return
    for function, body in _functions(tree, ""):
        for call in (part for part in ast.walk(body) if isinstance(part, ast.Call)):
            if not isinstance(call.func, ast.Attribute) or call.func.attr not in PHASES:
                continue
            if _last_name(call.func.value) not in RECEIVERS:
                continue
            for phase in PHASES[call.func.attr]:
                if phase == "torn" and call.func.attr == "create" and len(call.args) < 2:
                    continue  # an empty file comes into being as a whole
                yield f"{path.stem}.{function}:{call.func.attr}/{phase}"


def _uses_disks(tree: ast.Module) -> bool:
    """Whether a module imports the port: elsewhere, a `file` is something else."""
    return any(
        isinstance(part, ast.ImportFrom)
        and part.module == "node.disk"
        and any(name.name in ("Disk", "File") for name in part.names)
        for part in ast.walk(tree)
    )


def _functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AST]]:
    for part in ast.iter_child_nodes(tree):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + part.name, part
        elif isinstance(part, ast.ClassDef):
            yield from _functions(part, f"{prefix}{part.name}.")


def _last_name(value: ast.expr) -> str:
    match value:
        case ast.Name(name):
            return name
        case ast.Attribute(_, name):
            return name
        case _:
            return ""


def annotated_names() -> set[str]:
    """What node/ calls the variables and parameters that it declares as a disk or a file: `RECEIVERS` must hold them all."""
    names = set()
    for path in sorted(NODE_PATH.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name == _DISK_MODULE or not _uses_disks(tree):
            continue
        for part in ast.walk(tree):
            if isinstance(part, ast.arg) and part.annotation is not None and _is_port(part.annotation):
                names.add(part.arg)
            elif isinstance(part, ast.AnnAssign) and _is_port(part.annotation):
                names.add(_last_name(part.target))
    return names


def _is_port(annotation: ast.expr) -> bool:
    return any(isinstance(part, ast.Name) and part.id in ("Disk", "File") for part in ast.walk(annotation))
