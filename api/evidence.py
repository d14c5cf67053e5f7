"""Evidence: what a client can check for itself, later and on any member.

Every answer carries `Deskraft-Index` and, while the node remembers it, `Deskraft-Digest`: the hash of the state's chain at that
index (`node.receipts`). A client that keeps the two has a receipt; `GET /api/v1/cluster/receipts/{index}` of any member says what
the digest at that index is there. And a seat's day can be read as it was at an index, to see what an answer was given on.

Both reach back as far as the node's memory does. What is further back answers 410 and not a guess.
"""

from __future__ import annotations

from aiohttp import web

from api.answers import json_answer
from api.calls import DATE, Call, Parameter
from api.exchange import MAX_INDEX_DIGITS, Exchange
from api.problems import Refusal, parameter_refusal
from api.shapes import ReceiptView, SeatHistoryView, SlotView
from api.timegrid import first_instant, rfc3339_of_cell, zone_of
from statemachine.records import CELL_SECONDS

MINUTES_PER_DAY = 24 * 60


async def receipt(exchange: Exchange, _: None) -> web.Response:
    """What the digest at an index is on this node."""
    replica = exchange.services.replica
    index = _index(exchange.request.match_info["index"])
    if index is None:
        raise Refusal("not-found", "An index is a whole number.")
    digest = replica.receipt(index)
    if digest is None:
        raise _out_of_reach(index, replica.oldest_receipt, replica.applied_index)
    view = ReceiptView(
        exchange.services.node_id, index, digest.hex(), replica.oldest_receipt, replica.applied_index
    )
    return json_answer(view, index)


async def seat_day(exchange: Exchange, _: None) -> web.Response:
    """When a seat is taken on a local day, now or as it was at an index."""
    state = await exchange.read_state()
    index = exchange.query.get("as_of", exchange.index)
    recent = state.occupancy.recent
    if not recent.floor <= index <= exchange.index:
        raise _out_of_reach(index, recent.floor, exchange.index)
    space_id, seat_id = exchange.request.match_info["space_id"], exchange.request.match_info["seat_id"]
    space, days = state.spaces.get(space_id), state.occupancy.seat(space_id, seat_id)
    if space is None or days is None:
        raise Refusal("not-found", "There is no such seat.")
    zone, day = zone_of(space.timezone), exchange.query["date"]
    start_cell = first_instant(zone, day, 0) // CELL_SECONDS
    end_cell = -(-first_instant(zone, day, MINUTES_PER_DAY) // CELL_SECONDS)
    bits = recent.cells_as_of(index, days, start_cell, end_cell)
    taken = [
        SlotView(rfc3339_of_cell(start_cell + first, zone), rfc3339_of_cell(start_cell + end, zone))
        for first, end in runs_of(bits)
    ]
    digest = exchange.services.replica.receipt(index)
    view = SeatHistoryView(
        space_id, seat_id, day.isoformat(), space.timezone, index, digest.hex() if digest else None, taken
    )
    return json_answer(view, index)


def runs_of(bits: int) -> list[tuple[int, int]]:
    """The runs of ones in a bitmap, as half-open ranges of bit numbers in rising order."""
    runs = []
    at = 0
    while bits:
        zeros = (bits & -bits).bit_length() - 1
        bits >>= zeros
        ones = (~bits & (bits + 1)).bit_length() - 1
        runs.append((at + zeros, at + zeros + ones))
        bits >>= ones
        at += zeros + ones
    return runs


def _out_of_reach(index: int, oldest: int, newest: int) -> Refusal:
    if index > newest:
        return Refusal("not-applied-yet", f"This node has applied {newest}.", members={"newest": newest})
    return Refusal("forgotten", f"This node remembers from {oldest} on.", members={"oldest": oldest})


def _index(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_INDEX_DIGITS else None


def _parse_as_of(text: str) -> int:
    index = _index(text)
    if index is None:
        raise parameter_refusal("as_of", "must be a log index")
    return index


AS_OF = Parameter(
    "as_of",
    "A log index: answer as things stood when that entry had been applied, and the next had not.",
    {"type": "integer", "minimum": 0},
    _parse_as_of,
)

CALLS = (
    Call(
        "GET",
        "/api/v1/cluster/receipts/{index}",
        "The digest at an index, on this node",
        receipt,
        {200: ReceiptView},
        access="node",
        problems=("not-found", "not-applied-yet", "forgotten"),
    ),
    Call(
        "GET",
        "/api/v1/spaces/{space_id}/seats/{seat_id}/day",
        "When a seat is taken on a day, now or as of an index",
        seat_day,
        {200: SeatHistoryView},
        access="public",
        query=(DATE, AS_OF),
        problems=("not-found", "invalid-parameter", "not-applied-yet", "forgotten", "unavailable"),
    ),
)
