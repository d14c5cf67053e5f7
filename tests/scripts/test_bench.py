"""`scripts/bench` without a cluster: its words, what the load makes of answers, what the audit finds."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from scripts.benchmark import CASES, PEERS, list_of
from scripts.benchmarking import over_http, people
from scripts.benchmarking.load import Load, Request
from scripts.benchmarking.page import work_of
from scripts.benchmarking.people import Ledger, Slot

SLOT: Slot = ("hq", "S01", "2030-01-02T10:00:00Z")
Answer = Callable[[asyncio.StreamWriter], None]


def test_lists_of_names() -> None:
    """In the order of the cases, whatever the order given; a mistake names what there is."""
    assert list_of(CASES, "mix, book") == ["book", "mix"]
    for known, text, words in (
        (CASES, "bok", "unknown: bok; there is: core, availability"),
        (CASES, ",", "names expected"),
        (PEERS, "etcd", "etcd is not measured by this version; there is: aiohttp"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=words):
            list_of(known, text)


class _Script:
    """One question, again and again."""

    def __init__(self, may_fail: bool) -> None:
        self.may_fail = may_fail

    def next(self, user: int) -> Request:
        return Request(people.compose("GET", f"/{user}", b"", b""), frozenset({200}), None)

    def done(self, user: int, request: Request, status: int, body: bytes) -> str | None:
        return None if body == b"yes" else f"said {body!r}"


@asynccontextmanager
async def _server(answer: Answer) -> AsyncIterator[tuple[str, int]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                await reader.readuntil(b"\r\n\r\n")
                answer(writer)
                await asyncio.sleep(0.001)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the load has gone
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    yield server.sockets[0].getsockname()[:2]
    server.close()


def _say(status: int, body: bytes) -> Answer:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return lambda writer: writer.write(head + body)


async def test_answers_are_counted_and_judged() -> None:
    """Expected ones are timed; a wrong body and an unexpected status are violations."""
    async with _server(_say(200, b"yes")) as good:
        tally = await Load([good], 3, _Script(may_fail=False)).run(0.05, 0.2)
    assert tally.answered > 10
    assert tally.answered <= tally.statuses[200] == len(tally.latencies)
    assert (tally.violations, tally.failed, dict(tally.errors)) == ([], 0, {})
    for answer, words in ((_say(200, b"no"), "said b'no'"), (_say(500, b"oh"), "status 500")):
        async with _server(answer) as bad:
            tally = await Load([bad], 1, _Script(may_fail=True)).run(0.05, 0.1)
        assert words in tally.violations[0]


@pytest.mark.parametrize("bad", [lambda writer: writer.transport.abort(), _say(503, b"{}")])
async def test_what_fails_is_asked_again_elsewhere(bad: Answer) -> None:
    """Where that may happen it is counted and no violation; elsewhere it is one."""
    async with _server(_say(200, b"yes")) as good, _server(bad) as other:
        tally = await Load([other, good], 1, _Script(may_fail=True)).run(0.05, 0.2)
        assert sum(tally.errors.values()) > 0
        assert (tally.violations, tally.failed) == ([], 0)
        assert tally.statuses[200] > 0
        tally = await Load([other, good], 2, _Script(may_fail=False)).run(0.05, 0.1)
    assert tally.violations


def _item(booking_id: str, **changed: str) -> dict[str, Any]:
    item = {"id": booking_id, "space_id": "hq", "seat_id": "S01", "status": "confirmed"}
    return item | {"starts_at": "2030-01-02T13:00:00+03:00"} | changed


def test_the_ledger_and_the_audit_find_what_must_not_be() -> None:
    """Sold twice, lost, changed, doubled, never asked for."""
    ledger = Ledger()
    assert ledger.booked(0, SLOT, "a") is None
    assert "sold twice" in (ledger.booked(1, SLOT, "b") or "")
    judge = people.judge
    assert judge(ledger, 0, {"a": _item("a")}, {}) == []
    assert "lost" in judge(ledger, 0, {}, {})[0]
    assert "changed" in judge(ledger, 0, {"a": _item("a", seat_id="S02")}, {})[0]
    assert "changed" in judge(ledger, 0, {"a": _item("a", status="cancelled")}, {})[0]
    assert "doubled" in judge(ledger, 1, {"b": _item("b")}, {SLOT: "a"})[0]
    assert "never confirmed" in judge(ledger, 0, {"a": _item("a"), "c": _item("c")}, {})[0]
    ledger.cancelled.add("a")
    assert judge(ledger, 0, {"a": _item("a", status="cancelled")}, {}) == []


def test_quantiles() -> None:
    """Of nothing, of one, of many."""
    assert over_http.quantile([], 0.5) == 0.0
    assert over_http.quantile([3.0], 0.99) == 3.0
    assert over_http.quantile([float(n) for n in range(100)], 0.99) == 99.0


def test_a_trace_in_figures() -> None:
    """The page's main thread alone, CPU time rather than the clock's, and of events within each other the outermost."""

    def event(name: str, at: int, clock: int, cpu: int, thread: int = 1) -> dict[str, Any]:
        return {"ph": "X", "name": name, "pid": 7, "tid": thread, "ts": at, "dur": clock, "tdur": cpu}

    trace = [
        {"ph": "M", "name": "thread_name", "pid": 7, "tid": 1, "args": {"name": "CrRendererMain"}},
        {"ph": "M", "name": "thread_name", "pid": 7, "tid": 2, "args": {"name": "Compositor"}},
        event("ThreadControllerImpl::RunTask", 0, 90_000, 9_000),
        event("RunMicrotasks", 0, 50_000, 5_000),
        event("FunctionCall", 10, 30_000, 3_000),
        event("Layout", 20, 10_000, 1_000),  # that a script has asked for
        event("Layout", 60_000, 20_000, 2_000),
        event("FunctionCall", 0, 99_000, 99_000, thread=2),
    ]
    assert work_of(trace) == (5.0, 2.0, 9.0)
