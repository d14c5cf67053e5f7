"""A place that somebody wants, and how it becomes a command.

A time is named by an instant with an offset, or by the date and time that the clocks of the space show. Which cells and
windows that means is found here, since the log knows no time zones; the log refuses what was found by rules that
have changed since, and it is found again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from typing import Annotated

from msgspec import Meta

from api.exchange import Exchange
from api.ids import uuid7
from api.problems import Refusal
from api.shapes import Body, Instant, Name, PlacedView, SlotCount
from api.timegrid import FIRST_YEAR, LAST_YEAR, cell_of_instant, cell_of_local, grid_for, parse_date
from api.views import views_of
from statemachine.commands import BookSeat, Command, DayGrid, JoinWaitlist
from statemachine.outcomes import Code, Outcome
from statemachine.premises import Limit
from statemachine.records import Planned, PlannedLimited, Space, Together, TogetherLimited
from statemachine.state import State

MAX_RESOLUTIONS = 3  # of a request against rules, or a booking, that change meanwhile
RESOLVED_AGAIN: tuple[Code, ...] = ("rules-changed", "booking-changed")

LocalDate = Annotated[str, Meta(description="Local date, as 2026-12-01.", examples=["2026-12-01"])]
LocalTime = Annotated[str, Meta(description="Local time, as 10:00.", examples=["10:00"])]


class WishBody(Body, frozen=True, omit_defaults=True):
    """A seat for a time: `starts_at`, or `date` and `time` as the clocks of the space show them."""

    space_id: Name
    seat_id: Name
    starts_at: Instant | None = None
    date: LocalDate | None = None
    time: LocalTime | None = None
    slots: SlotCount = 1


def parse_time(text: str) -> time | None:
    """A local time without an offset, or None."""
    if not text.isascii() or len(text) not in (5, 8) or text[2] != ":":
        return None
    try:
        at = time.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is None else None


def local_of(day_text: str, at_text: str, pointer: str = "") -> tuple[date, time]:
    """A local date and time. Raises `Refusal` with pointers below `pointer`."""
    day, at = parse_date(day_text), parse_time(at_text)
    errors = []
    if day is None:
        errors.append(
            (f"{pointer}/date", f"must be a date such as 2026-12-01, from {FIRST_YEAR} to {LAST_YEAR}")
        )
    if at is None:
        errors.append((f"{pointer}/time", "must be a local time such as 10:00, without an offset"))
    if day is None or at is None:
        raise Refusal("invalid-body", errors=errors)
    return day, at


def starter(
    starts_at: datetime | None, day: str | None, at: str | None, pointer: str = ""
) -> Callable[[Space], int]:
    """How to find the first cell of a wish in a space. Raises `Refusal` for what is wrong whatever the space."""
    if starts_at is not None:
        if day is not None or at is not None:
            raise Refusal("invalid-body", errors=[(f"{pointer}/starts_at", "stands beside date and time")])
        cell = pointed(pointer, lambda: cell_of_instant(starts_at))
        return lambda _: cell
    if day is None or at is None:
        raise Refusal("invalid-body", errors=[(f"{pointer}/starts_at", "or date and time are missing")])
    local_day, local_time = local_of(day, at, pointer)
    return lambda space: pointed(pointer, lambda: cell_of_local(space, local_day, local_time))


def pointed(pointer: str, work: Callable[[], int]) -> int:
    """Do `work`; the pointers of a refusal get `pointer` in front."""
    try:
        return work()
    except Refusal as refusal:
        errors = [(pointer + each, detail) for each, detail in refusal.errors]
        raise Refusal(refusal.code, refusal.detail, errors=errors, members=refusal.members) from None


def wish(exchange: Exchange, space: Space, seat_id: str, start_cell: int, slots: int) -> BookSeat:
    """The command that takes the place, under a new id."""
    replica = exchange.services.replica
    grid = grid_for(space, start_cell, slots, replica.state.space_rules.get(space.id))
    return BookSeat(uuid7(replica.now_ms()), space.id, seat_id, start_cell, slots, grid)


# Nothing is done, and nothing remembered: a waiter has an id. What is remembered under the key is answered before that is looked at.
_IMPOSSIBLE = JoinWaitlist("", BookSeat("", "", "", 0, 0, DayGrid("", 1, ())))


async def _made(exchange: Exchange, make: Callable[[State], Command | None], nothing: str) -> Command:
    """What `make` finds in the state. Raises `Refusal`."""
    replica = exchange.services.replica
    command = make(replica.state)
    if command is None:
        # This node may lag behind the one where it was made: only a linearizable look can deny it.
        await replica.read_index(exchange.remaining_seconds())
        exchange.index = replica.applied_index
        command = make(replica.state)
    if command is None:
        raise Refusal(nothing)
    return command


async def carried_out(
    exchange: Exchange, body: Body, make: Callable[[State], Command | None], nothing: str
) -> Outcome:
    """Carry out the command that `make` finds in the state, and find it again when what it rests on has changed.

    `make` answers None when something that the request names is not there; `nothing` is the refusal then. When `make` refuses, as for a
    local time that the clocks of the space do not show, a request with a key is put to the log all the same, as a command that cannot
    be carried out: it may be the repetition of one that was, before the space was moved to another zone or through a node with
    another version of the time zone database, and then it gets the first answer again.
    """
    identity = exchange.identity()
    key = exchange.idempotency_key()
    outcome: Outcome | None = None
    for _ in range(MAX_RESOLUTIONS):
        refusal: Refusal | None = None
        try:
            command = await _made(exchange, make, nothing)
        except Refusal as error:
            if key is None:
                raise
            refusal, command = error, _IMPOSSIBLE
        try:
            outcome = await exchange.execute(
                command, scope=identity.user_id, key=key, body=body, session_id=identity.session_id
            )
        except Refusal as error:
            raise refusal if refusal is not None and error.code == "malformed" else error from None
        if outcome.code not in RESOLVED_AGAIN:
            break
    assert outcome is not None
    return outcome


def limits_of(answer: Together | Planned) -> list[int | None]:
    """The limit of a policy that each of several wishes goes beyond, or None."""
    if isinstance(answer, TogetherLimited | PlannedLimited):
        return [limit or None for limit in answer.limits]
    return [None] * len(answer.items)


def refusal_of(exchange: Exchange, outcome: Outcome, pointer: str = "/items") -> Refusal:
    """A refusal with the free places that came with it, those of each wish when there are several."""
    state = exchange.services.replica.state
    if isinstance(outcome.result, Together):
        limits = limits_of(outcome.result)
        placed = [
            PlacedView(each.code, views_of(each.alternatives, state), limit)
            for each, limit in zip(outcome.result.items, limits, strict=True)
        ]
        errors = [
            (f"{pointer}/{number}", each.code) for number, each in enumerate(placed) if each.code != "ok"
        ]
        members: dict[str, object] = {"items": placed}
        first = next((each.limit for each in placed if each.code == outcome.code), None)
        return Refusal(
            outcome.code, errors=errors, members=members if first is None else members | {"limit": first}
        )
    members = {}
    if outcome.alternatives:
        members["alternatives"] = views_of(outcome.alternatives, state)
    if isinstance(outcome.result, Limit):
        members["limit"] = outcome.result.value
    return Refusal(outcome.code, members=members)
