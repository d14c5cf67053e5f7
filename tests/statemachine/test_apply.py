"""The entry as a whole: bytes, keys, deadlines, time, digest."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from statemachine import limits
from statemachine import state as state_module
from statemachine.commands import (
    KEEP_CLIENT_KEY_MS,
    KEEP_NODE_KEY_MS,
    CancelBooking,
    CloseSession,
    RegisterUser,
    encode_batch,
)
from statemachine.state import State
from tests.statemachine.builders import DAY_MS, NOW_MS, World, birth
from tests.statemachine.checker import complaints

EVE = RegisterUser("eve", "eve", "eve", "hash")
ANA = RegisterUser("ana", "ana", "ana", "hash")
BAD_TEXT = b"\xa2\xff\xff"


def test_an_entry_carries_many_commands() -> None:
    world = World()
    outcomes = world.batch(
        world.envelope(EVE, key="1"), world.envelope(EVE, key="2"), world.envelope(ANA, key="3")
    )
    index = world.state.index
    assert [(outcome.code, outcome.index, outcome.position) for outcome in outcomes] == [
        ("ok", index, 0),
        ("login-taken", index, 1),
        ("ok", index, 1),
    ]
    assert world.state.users["ana"].revision == f"{index}.1"
    assert [result[1:3] for result in world.applied.results] == [("x", "1"), ("x", "2"), ("x", "3")]
    assert [position for position, _ in world.applied.events] == [0, 1]


def test_a_bad_envelope_spoils_no_other() -> None:
    world = World()
    good = world.envelope(EVE)
    outcomes = world.batch(b"", good[:-3], world.envelope(ANA), good + b"x", BAD_TEXT, good)
    assert [outcome.code for outcome in outcomes] == [
        "malformed",
        "malformed",
        "ok",
        "malformed",
        "malformed",
        "ok",
    ]
    assert [request for request, _, _, _ in world.applied.results][:2] == [0, 0]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x93\x01\x90\x01",
        encode_batch(-1, []),
        encode_batch(limits.MAX_STAMP_MS + 1, []),
        b"\xdd\xff\xff\xff\xff",
    ],
)
def test_a_bad_batch_is_one_malformed_command(payload: bytes) -> None:
    world = World()
    before = world.state.digest, world.state.now_ms, len(world.state.outcomes)
    assert [outcome.code for outcome in world.raw(payload)] == ["malformed"]
    assert world.applied.results[0][:3] == (0, "", "")
    assert not world.applied.events
    assert (world.state.now_ms, len(world.state.outcomes)) == before[1:]
    assert world.state.digest != before[0]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 7))
@example(b"", 0, 0)
def test_no_bytes_make_apply_raise(noise: bytes, at: int, bit: int) -> None:
    world = World()
    envelope = bytearray(world.envelope(world.booking(), scope="ann", session="s-ann"))
    envelope[at % len(envelope)] ^= 1 << bit
    payload = bytearray(encode_batch(NOW_MS, [bytes(envelope), noise]))
    world.raw(bytes(payload))
    payload[at % len(payload)] ^= 1 << bit
    world.raw(bytes(payload))
    world.raw(noise)
    assert not complaints(world.state)


def test_deep_nesting_is_only_malformed() -> None:
    world = World()
    deep = b"\x91" * 100_000
    fields = msgspec.msgpack.encode([1, "x", "k", b"", 1, 2**50, "", []])[:-1]
    outcomes = world.batch(deep, fields + deep)
    assert [outcome.code for outcome in outcomes] == ["malformed", "malformed"]


def test_a_key_makes_it_happen_once() -> None:
    world = World()
    first = world.book("b1")
    terms: dict[str, object] = {"scope": "ann", "session": "s-ann", "key": "k", "fingerprint": b"f" * 16}
    booked = world.do(world.booking("b2", "A2"), **terms)
    again = world.do(world.booking("b3", "A3"), **terms)
    assert booked.ok
    assert again == booked
    assert not world.applied.events
    assert set(world.state.bookings) == {"b1", "b2"}
    assert world.state.outcome_of("ann", "k") == booked
    assert world.state.outcome_of("ann", "none") is None
    assert first != booked


def test_a_retry_is_answered_after_log_out_and_past_its_deadline() -> None:
    world = World()
    terms: dict[str, object] = {"scope": "ann", "session": "s-ann", "key": "k", "keep_ms": KEEP_CLIENT_KEY_MS}
    booked = world.do(world.booking(), **terms)
    assert world.do(CloseSession(), session="s-ann").ok
    assert world.do(world.booking(), deadline_ms=0, **terms) == booked


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [(b"1" * 16, b"2" * 16, "key-reused"), (b"", b"2" * 16, "ok"), (b"1" * 16, b"", "ok"), (b"", b"", "ok")],
)
def test_a_key_belongs_to_one_request(first: bytes, second: bytes, code: str) -> None:
    world = World()
    before = world.do(EVE, key="k", fingerprint=first)
    assert world.do(ANA, key="k", fingerprint=second).code == code
    assert "ana" not in world.state.users
    assert world.state.outcome_of("x", "k") == before, "the key keeps its first outcome"


def test_keys_of_different_scopes_are_different() -> None:
    world = World()
    assert world.do(EVE, scope="a", key="bc").ok
    assert world.do(ANA, scope="ab", key="c").ok
    assert "ana" in world.state.users


def test_refusals_are_remembered_too() -> None:
    world = World()
    taken = world.do(RegisterUser("x", "ann", "ann", "hash"), key="k")
    assert taken.code == "login-taken"
    assert world.do(EVE, key="k") == taken
    world.booked("b1")
    refused = world.do(world.booking("b2"), scope="bob", session="s-bob", key="k")
    assert refused.code == "seat-taken"
    world.cancel("b1")
    assert world.do(world.booking("b2"), scope="bob", session="s-bob", key="k") == refused


def test_what_is_not_remembered() -> None:
    world = World()
    terms: dict[str, object] = {"scope": "ann", "key": "k"}
    assert world.do(world.booking(), session="none", **terms).code == "unauthenticated"
    assert world.do(world.booking(""), session="s-ann", **terms).code == "malformed"
    assert (
        world.do(world.booking(), session="s-ann", deadline_ms=NOW_MS - 1, **terms).code == "deadline-passed"
    )
    assert world.state.outcome_of("ann", "k") is None
    assert world.do(world.booking(), session="s-ann", deadline_ms=NOW_MS, **terms).ok


@pytest.mark.parametrize(
    ("keep_ms", "kept_ms"),
    [
        (0, KEEP_NODE_KEY_MS),
        (KEEP_NODE_KEY_MS, KEEP_NODE_KEY_MS),
        (KEEP_NODE_KEY_MS + 1, KEEP_CLIENT_KEY_MS),
        (2**60, KEEP_CLIENT_KEY_MS),
    ],
)
def test_keys_are_kept_for_the_time_of_their_class(keep_ms: int, kept_ms: int) -> None:
    world = World()
    assert world.do(EVE, key="k", keep_ms=keep_ms).ok
    world.now_ms += kept_ms - 1
    world.batch()
    assert world.state.outcome_of("x", "k") is not None
    world.now_ms += 1
    world.batch()
    assert world.state.outcome_of("x", "k") is None
    assert world.do(EVE, key="k").code == "login-taken", "forgotten means carried out anew"


def test_client_keys_of_a_scope_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "MAX_KEYS_PER_SCOPE", 3)
    world = World()
    command = CancelBooking("none")
    terms: dict[str, object] = {"scope": "ann", "session": "s-ann", "keep_ms": KEEP_CLIENT_KEY_MS}
    for number in range(3):
        assert world.do(command, key=f"k{number}", **terms).code == "booking-not-found"
    assert world.do(command, key="k3", **terms).code == "too-many-keys"
    assert world.do(command, key="k0", **terms).code == "booking-not-found", "known keys are still answered"
    assert (
        world.do(command, key="k3", scope="bob", session="s-bob", keep_ms=KEEP_CLIENT_KEY_MS).code
        == "booking-not-found"
    )
    assert world.do(command, key="k4", scope="ann", session="s-ann").code == "booking-not-found", (
        "a node's own keys are free"
    )
    world.now_ms += DAY_MS
    assert world.do(command, key="k3", **terms).code == "booking-not-found"
    assert {scope: len(names) for scope, names in world.state.keys_by_scope.items()} == {"ann": 1}


def test_client_keys_in_all_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "MAX_CLIENT_KEYS", 1)
    world = World()
    assert world.do(EVE, keep_ms=KEEP_CLIENT_KEY_MS, scope="a").ok
    assert world.do(ANA, keep_ms=KEEP_CLIENT_KEY_MS, scope="b").code == "too-many-keys"


@pytest.mark.parametrize(
    "terms", [{"key": ""}, {"key": "k" * 257}, {"scope": "s" * 257}, {"fingerprint": b"f" * 33}]
)
def test_senseless_terms_are_malformed(terms: dict[str, object]) -> None:
    world = World()
    assert world.do(EVE, **terms).code == "malformed"
    assert "eve" not in world.state.users


def test_log_time_never_runs_backwards() -> None:
    world = World()
    world.now_ms -= DAY_MS
    world.batch()
    assert world.state.now_ms == NOW_MS
    assert world.do(EVE, deadline_ms=NOW_MS - 1).code == "deadline-passed"


def test_indexes_rise() -> None:
    world = World()
    with pytest.raises(AssertionError):
        world.state.apply(world.state.index, encode_batch(NOW_MS, []))
    world.state.apply(
        world.state.index + 10, encode_batch(NOW_MS, [])
    )  # entries without commands were between


def test_the_digest_covers_index_payload_and_outcomes() -> None:
    payload = encode_batch(NOW_MS, [World(populated=False).envelope(birth())])
    digests = []
    for index, data in ((1, payload), (2, payload), (1, payload + b"x")):
        state = State()
        state.apply(index, data)
        digests.append(state.digest)
        assert len(state.digest) == 16
    assert len(set(digests)) == 3
    one, other = World(), World()
    assert one.state.digest == other.state.digest
    one.booked("b1")
    other.state.bookings.clear()  # a member whose state went astray
    other.booked("b1")
    assert one.state.digest == other.state.digest
    one.cancel("b1")
    del other.state.bookings["b1"]
    other.cancel("b1")
    assert one.state.digest != other.state.digest
