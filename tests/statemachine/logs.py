"""Random logs over a world so small that everything in it collides."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import strategies as st

from statemachine.commands import (
    KEEP_CLIENT_KEY_MS,
    KEEP_NODE_KEY_MS,
    BookSeat,
    CancelBooking,
    CloseSession,
    Command,
    DayGrid,
    Envelope,
    OpenSession,
    RegisterUser,
    RotateSession,
    encode_batch,
    encode_envelope,
)
from statemachine.records import CELLS_PER_DAY
from tests.statemachine.builders import (
    DAY_MS,
    HOUR,
    HOUR_MS,
    MONTH_MS,
    NOW_CELL,
    NOW_MS,
    OPEN_CELL,
    TODAY,
    birth,
    new_space,
)

Batch = tuple[int, list[Envelope]]  # stamp and envelopes

BIRTH = birth(new_space("hq", 60, ("A1", "A2")), new_space("loft", 30, ("B1",)))
REVISIONS = {"hq": "1.1", "loft": "1.2"}
STEPS_MS = [*[0] * 12, 1, 1, 5_000, 5_000, 15_000, HOUR_MS, -HOUR_MS, 9 * HOUR_MS, DAY_MS]
TOMORROW = (TODAY + 1) * CELLS_PER_DAY

_users = st.sampled_from(["root", "ann", "bob"])
_session_ids = st.sampled_from(["s0", "s2", "s3", *["s1"] * 6])
_booking_ids = st.sampled_from([*[""] * 12, "b0", "b1", "b2"])  # empty: the next new one
_windows = st.sampled_from(
    [
        *[((TOMORROW - CELLS_PER_DAY, 24), (TOMORROW, 24))] * 4,  # around the clock
        ((OPEN_CELL, 14),),
        ((OPEN_CELL + 6, 14), (OPEN_CELL + 6 + CELLS_PER_DAY, 14)),  # a zone half an hour off
        ((OPEN_CELL + 9, 16),),  # a quarter
        ((TOMORROW - 24 * HOUR, 23), (TOMORROW - HOUR, 25)),  # the clock changes
        ((TOMORROW - 3 * HOUR, 6),),  # over midnight
    ]
)
_starts = st.one_of(  # mostly a few hours that everybody wants, so that they meet
    st.sampled_from([NOW_CELL + 8 * HOUR, NOW_CELL + 9 * HOUR, TOMORROW - HOUR]),
    st.sampled_from([NOW_CELL + 8 * HOUR, NOW_CELL + 8 * HOUR + 6, TOMORROW - 2 * HOUR, TOMORROW]),
    st.integers(0, 16).map(lambda number: NOW_CELL + HOUR * number),
    st.integers(-20, 220).map(lambda cells: NOW_CELL + 3 * cells),
)


@st.composite
def _bookings(draw: st.DrawFn) -> Command:
    space, seat = draw(
        st.sampled_from(
            [("hq", "A1")] * 12 + [("hq", "A2")] * 3 + [("loft", "B1"), ("hq", "Z"), ("none", "A1")]
        )
    )
    step = 6 if space == "loft" else HOUR
    revision = draw(st.sampled_from([REVISIONS.get(space, "1.1")] * 30 + ["0.9"]))
    return BookSeat(
        draw(_booking_ids),
        space,
        seat,
        draw(_starts),
        draw(st.sampled_from([1, 1, 1, 1, 2, 2, 3, 7, 0])),
        DayGrid(revision, step, draw(_windows)),
    )


_commands: st.SearchStrategy[Command] = st.one_of(
    _bookings(),
    _bookings(),
    _bookings(),
    _bookings(),
    _bookings(),
    st.builds(CancelBooking, st.sampled_from([f"b{number}" for number in range(8)])),
    st.builds(
        lambda user, login: RegisterUser(user, login, login, f"hash-{user}"),
        _users,
        st.sampled_from(["ann", "bob", "cat"]),
    ),
    st.builds(
        lambda sid, user, new: OpenSession(sid, user, f"hash-{user}", new, MONTH_MS),
        _session_ids,
        _users,
        st.sampled_from(["", "", "", "newer"]),
    ),
    st.builds(RotateSession, _session_ids, st.integers(0, 2), st.sampled_from([HOUR_MS, MONTH_MS])),
    st.sampled_from([*[CancelBooking(f"b{number}") for number in range(8)], CloseSession(), BIRTH]),
)


def _scopes_of(session_id: str) -> st.SearchStrategy[str]:
    """Mostly the user whose session it is at first; another one's is refused, until the session is that one's."""
    first = {"s0": "root", "s1": "ann", "s2": "bob"}.get(session_id, "ann")
    return st.sampled_from([first] * 9 + ["root", "ann", "bob"])


@st.composite
def logs(draw: st.DrawFn, *, max_batches: int = 12) -> list[Batch]:
    """A birth, users and sessions, then batches of anything. Stamps mostly rise, sometimes by a lot, sometimes fall."""
    number = 0
    fresh = itertools.count()

    def wrap(command: Command, *, random: bool) -> Envelope:
        nonlocal number
        number += 1
        if isinstance(command, BookSeat) and not command.booking_id:
            command = msgspec.structs.replace(command, booking_id=f"b{next(fresh)}")
        key = f"made-{number}"
        session_id = draw(_session_ids) if random else ""
        scope = draw(_scopes_of(session_id)) if random else "x"
        keep_ms, deadline_ms, fingerprint = KEEP_NODE_KEY_MS, 2**50, b""
        if random and draw(st.sampled_from([True, False, False, False])):
            key = draw(st.sampled_from(["k0", "k1", "k2"]))
            fingerprint = draw(st.sampled_from([b"", b"1" * 16, b"2" * 16]))
            keep_ms = draw(st.sampled_from([KEEP_NODE_KEY_MS, KEEP_CLIENT_KEY_MS]))
            deadline_ms = draw(st.sampled_from([2**50, 2**50, 2**50, NOW_MS + HOUR_MS]))
        return Envelope(
            number,
            scope,
            key,
            fingerprint,
            keep_ms,
            deadline_ms,
            session_id,
            command,
        )

    first: list[Command] = [BIRTH]
    first += [RegisterUser(user, user, user, f"hash-{user}") for user in ("ann", "bob")]
    first += [
        OpenSession(f"s{place}", user, f"hash-{user}", "", MONTH_MS)
        for place, user in enumerate(("root", "ann", "bob"))
    ]
    batches: list[Batch] = [(NOW_MS, [wrap(command, random=False) for command in first])]
    stamp_ms = NOW_MS
    for commands in draw(
        st.lists(st.lists(_commands, min_size=1, max_size=8), min_size=1, max_size=max_batches)
    ):
        stamp_ms += draw(st.sampled_from(STEPS_MS))
        batches.append((stamp_ms, [wrap(command, random=True) for command in commands]))
    return batches


def encoded(batch: Batch) -> bytes:
    return encode_batch(batch[0], [encode_envelope(envelope) for envelope in batch[1]])
