"""What a change of a space means for those who wait in it: their wishes are fitted to it anew, in the entry of the change.

**Fit.** A wish is judged by the grid that came with it, whose revision proves that it was made from the present rules. A change
that leaves the slots as they are (a name, a policy, a seat) takes the grids along to the new revision. One of zone, hours, slot
length or exceptions comes with the new slots of the days on which somebody waits (`ReviseSpace.windows`: zones are known outside
only); whose wish is a run of those gets them as its grid. The others are outdated: they keep their place in the line and are passed
over, until they leave, their time begins, or another change makes them fit again.

**Served.** What a change gives back (a new seat, one that is no longer retired or out of service, time that is open again, a
space that is back, a policy that forbids less) is offered to the line here, before anything else can be decided.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from msgspec.structs import replace

from statemachine.bookings import misfit_of
from statemachine.commands import DayGrid
from statemachine.limits import MAX_CELL, MAX_LINE_WINDOWS, MAX_WINDOW_SLOTS
from statemachine.premises import SeatDetails, SpaceRules
from statemachine.records import Space
from statemachine.tables import Entry, Tables
from statemachine.waiters import Waiter
from statemachine.waitlist import promote, serve

Windows = Sequence[tuple[int, int]]  # (start cell, slots), in order


def line_of(tables: Tables, space_id: str) -> list[Waiter]:
    """Those who wait for something in a space, in the order in which they are served."""
    waiting = [
        each
        for each in tables.waiters.values()
        if each.want.space_id == space_id and each.status == "waiting"
    ]
    return sorted(waiting, key=lambda each: each.place_in_line)


def is_fit(waiter: Waiter, space: Space) -> bool:
    """Whether a wish was fitted to the present rules of its space."""
    return waiter.want.grid.rules_revision == space.revision


def are_windows_sound(windows: Windows) -> bool:
    """Whether a node may have sent these."""
    at = -1
    for first, count in windows:
        if not at < first <= MAX_CELL or not 0 < count <= MAX_WINDOW_SLOTS:
            return False
        at = first
    return len(windows) <= MAX_LINE_WINDOWS


def refit(tables: Tables, before: Space, was: SpaceRules, windows: Windows) -> list[Waiter]:
    """Fit the line of a space that was just revised; those who may be served now and could not before, in their order."""
    space, rules = tables.spaces[before.id], tables.space_rules[before.id]
    same_slots = (before.timezone, before.slot_minutes, was.week, was.special_days) == (
        space.timezone, space.slot_minutes, rules.week, rules.special_days,
    )  # fmt: skip
    reopened = was.retired or was.policy != rules.policy
    firsts = [first for first, _ in windows]
    anew = []
    for waiter in line_of(tables, space.id):
        was_fit = is_fit(waiter, before)
        if was_fit and same_slots:
            fitted: Waiter | None = _with_grid(
                waiter, replace(waiter.want.grid, rules_revision=space.revision)
            )
        else:
            fitted = _fitted(waiter, space, windows, firsts)
        if fitted is not None:
            tables.put_waiter(fitted)
            if reopened or not was_fit:
                anew.append(fitted)
    return anew


def take_along(tables: Tables, before: Space) -> None:
    """Fit the line of a space of which only a seat was changed."""
    revision = tables.spaces[before.id].revision
    for waiter in line_of(tables, before.id):
        if is_fit(waiter, before):
            tables.put_waiter(_with_grid(waiter, replace(waiter.want.grid, rules_revision=revision)))


def serve_all(tables: Tables, entry: Entry, waiters: list[Waiter]) -> None:
    """Give each of them a place if there is one."""
    for waiter in waiters:
        if tables.waiters[waiter.id].status == "waiting":  # not by a booking that the change cancelled
            serve(tables, entry, waiter)


def offer_seat(tables: Tables, entry: Entry, details: SeatDetails, freed: Sequence[tuple[int, int]]) -> None:
    """Ranges of cells of a seat can be had again: the line is asked, the first in it first."""
    if not freed:
        return
    for waiter in line_of(tables, details.space_id):
        want = waiter.want
        if want.seat_id in ("", details.seat_id) and any(
            start < waiter.end_cell and want.start_cell < end for start, end in freed
        ):
            promote(tables, entry, waiter, details.seat_id)


def _with_grid(waiter: Waiter, grid: DayGrid) -> Waiter:
    return replace(waiter, want=replace(waiter.want, grid=grid))


def _fitted(waiter: Waiter, space: Space, windows: Windows, firsts: list[int]) -> Waiter | None:
    """The wish for the same time with the new slots; None when it is no run of them."""
    want, step = waiter.want, space.slot_cells
    slots, rest = divmod(waiter.end_cell - want.start_cell, step)
    first = max(0, bisect_right(firsts, want.start_cell) - 1)
    last = bisect_right(firsts, waiter.end_cell - 1)
    grid = DayGrid(space.revision, step, tuple(windows[first:last]))
    if rest or misfit_of(grid, space.slot_minutes, want.start_cell, slots) is not None:
        return None
    return replace(waiter, want=replace(want, slots=slots, grid=grid))
