"""Records of administrative acts: their order, their numbers and their limit."""

from __future__ import annotations

import pytest

from statemachine import audit
from statemachine.limits import MAX_AUDIT_DETAIL_CHARS, MAX_ID_CHARS
from statemachine.state import State


def test_records_are_numbered_in_the_order_of_the_log() -> None:
    state = State()
    state.now_ms = 5
    audit.record(state, 7, 0, "root", "user-blocked", "ann")
    audit.record(state, 7, 3, "root", "user-promoted", "bob", "from user to admin")
    first, second = state.audit
    assert (first.number, first.index, first.position, first.at_ms) == (1, 7, 0, 5)
    assert (second.number, second.index, second.position) == (2, 7, 3)
    assert (second.actor, second.what, second.subject) == ("root", "user-promoted", "bob")


def test_the_oldest_is_forgotten_and_its_number_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_AUDIT_RECORDS", 3)
    state = State()
    for index in range(1, 9):
        audit.record(state, index, 0, "root", "user-blocked", f"u{index}")
    assert [record.number for record in state.audit] == [6, 7, 8]
    assert state.audit_count == 8


def test_no_text_is_too_long_to_be_recorded() -> None:
    state = State()
    audit.record(state, 1, 0, "a" * 1_000, "w" * 1_000, "s" * 1_000, "d" * 10_000)
    (record,) = state.audit
    assert (len(record.actor), len(record.what), len(record.subject)) == (MAX_ID_CHARS,) * 3
    assert len(record.detail) == MAX_AUDIT_DETAIL_CHARS
