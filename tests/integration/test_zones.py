"""Members with different versions of the time zone database: an update has moved Moscow, and not every machine has it yet.

Real nodes find altered files in PYTHONTZPATH. By the first Moscow is at UTC+3, by the second at UTC+4, by the third at UTC+4:30; the first
two know a zone that the third has never heard of. The machines themselves stand in three other zones, which plays no part. Each node
draws the day by its own clocks and says by which. What is booked is instants, so nothing can be booked over anything, whatever is
called how, and the members' states stay equal: the grid that a request was judged by has travelled with it.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from client.aio import Client
from tests.integration.arena import Arena, new_key, place, running_arena
from tests.integration.cluster import NodeProcess

MOSCOW = {"n1": "Europe/Moscow", "n2": "Europe/Samara", "n3": "Asia/Kabul"}
OFFSETS = {"n1": "+03:00", "n2": "+04:00", "n3": "+04:30"}
ZONES_OF_MACHINES = {"n1": "UTC", "n2": "America/New_York", "n3": "Pacific/Kiritimati"}  # nobody may care
NEW_ZONE = "Test/New"
WISHES = 120
SEATS = ("A1", "A2", "A3", "A4")
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


def put_zone(folder: Path, name: str, rules_of: str) -> None:
    """A zone of a database, with the rules of another one."""
    source = importlib.resources.files("tzdata.zoneinfo").joinpath(*rules_of.split("/"))
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(source.read_bytes())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    """Three nodes that disagree about Moscow."""
    folder = tmp_path_factory.mktemp("zones")
    for node_id, rules_of in MOSCOW.items():
        put_zone(folder / node_id, "Europe/Moscow", rules_of)
        if node_id != "n3":
            put_zone(folder / node_id, NEW_ZONE, "Asia/Kathmandu")
    async with running_arena(
        folder,
        environment_of=lambda node_id: {
            "PYTHONTZPATH": str(folder / node_id),
            "TZ": ZONES_OF_MACHINES[node_id],
        },
    ) as running:
        yield running


async def page_of(arena: Arena, node_id: str, day: str) -> dict[str, Any]:
    said = await arena.people[0].get(
        arena.cluster[node_id], f"/api/v1/spaces/hq/availability?date={day}&consistency=stale"
    )
    assert said.status == 200, said
    page: dict[str, Any] = said.body
    return page


def by_name(page: dict[str, Any]) -> dict[str, str]:
    """How the slots of A1 are, by local time."""
    return {
        slot["starts_at"][11:16]: how
        for slot, how in zip(page["slots"], page["seats"][0]["slots"], strict=True)
    }


async def test_each_node_says_by_which_clocks(arena: Arena) -> None:
    """One booking, three pages: it is drawn where each node's clocks put it, over two slots where they are half an hour apart; what is
    no slot here says so; and it cannot be booked over.
    """
    ann, bob = arena.people[:2]
    day = arena.fresh_day()
    nodes = arena.cluster.nodes
    made = await arena.book(ann, place(day), via=nodes["n1"])
    assert (made.status, made.body["starts_at"]) == (201, f"{day}T10:00:00+03:00")
    await arena.cluster.wait_until_equal()
    for node_id, taken in (("n1", ["10:00"]), ("n2", ["11:00"]), ("n3", ["11:00", "12:00"])):
        page = await page_of(arena, node_id, day)
        assert {slot["starts_at"][19:] for slot in page["slots"]} == {OFFSETS[node_id]}
        assert [at for at, how in by_name(page).items() if how == "mine"] == taken
        seen = await ann.get(nodes[node_id], f"/api/v1/bookings/{made.body['id']}")
        assert datetime.fromisoformat(seen.body["starts_at"]) == datetime.fromisoformat(
            made.body["starts_at"]
        )
        assert seen.body["starts_at"].endswith(OFFSETS[node_id])
        for at in taken:
            local = {"space": "hq", "seat": "A1", "date": day, "time": at}
            said = await arena.send(bob, "/book", local, via=nodes[node_id])
            assert (said.status, said.code) == (409, "seat-taken")
    early = place(day, 8) | {"starts_at": f"{day}T08:00:00+04:00"}
    said = await arena.book(bob, early, via=nodes["n1"])
    assert (said.status, said.code) == (422, "closed"), "by the clocks there it is seven"
    said = await arena.book(bob, early, via=nodes["n3"])
    assert (said.status, said.code) == (422, "off-grid")
    assert (await arena.book(bob, early, via=nodes["n2"])).status == 201


async def test_a_retry_through_a_node_with_other_clocks(arena: Arena) -> None:
    """A local time means what the node that took it means; the same key elsewhere is the same booking, not another hour."""
    ann = arena.people[0]
    for node_id, offset in OFFSETS.items():
        day, key = arena.fresh_day(), new_key()
        body = {"space": "hq", "seat": "A1", "date": day, "time": "12:00"}
        first = await arena.send(ann, "/book", body, via=arena.cluster[node_id], key=key)
        assert (first.status, first.body["starts_at"]) == (201, f"{day}T12:00:00{offset}")
        for node in arena.nodes:
            again = await arena.send(ann, "/book", body, via=node, key=key)
            assert (again.status, again.body["id"], again.index) == (201, first.body["id"], first.index)


async def test_nothing_is_booked_over_anything(arena: Arena) -> None:
    """Everybody books a few seats through every node, slots as that node draws them: no two overlap, on any node, and the members agree."""
    day = arena.fresh_day()
    pages = {node.id: await page_of(arena, node.id, day) for node in arena.nodes}

    def wish() -> partial[Any]:
        node: NodeProcess = arena.rng.choice(arena.nodes)
        slot = arena.rng.choice(pages[node.id]["slots"])
        body = {"space_id": "hq", "seat_id": arena.rng.choice(SEATS), "starts_at": slot["starts_at"]}
        return partial(arena.book, arena.rng.choice(arena.people), body, via=node)

    answers = await arena.at_once(*(wish() for _ in range(WISHES)), spread_seconds=0.5)
    assert {said.status for said in answers} == {201, 409}
    got = [said.body for said in answers if said.status == 201]
    held = {seat: sorted(_start(each) for each in got if each["seat_id"] == seat) for seat in SEATS}
    for starts in held.values():
        assert all(one + timedelta(hours=1) <= other for one, other in pairwise(starts))
    assert {at.minute for starts in held.values() for at in starts} == {0, 30}, (
        "slots of all nodes, side by side"
    )
    await arena.audit()


def _start(booking: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(booking["starts_at"]).astimezone(UTC)


async def test_a_zone_that_one_member_lacks(arena: Arena) -> None:
    """The space moves to a zone that is new in the database. The old member says so, clients go on to the others, what it carried out and
    cannot show is not called undone; and after its update it is as the others.
    """
    ann, n1, n3 = arena.people[0], arena.cluster["n1"], arena.cluster["n3"]
    day = arena.fresh_day()
    booking_id = (await arena.book(ann, place(day), via=n1)).body["id"]  # to the third it would be no slot
    path, change = "/api/v1/admin/spaces/hq", {"timezone": NEW_ZONE}
    refused = await arena.admin.ask(n3, "PATCH", path, change)
    assert (refused.status, refused.code) == (422, "invalid-body")
    looked = await arena.send(arena.admin, path + "?dry_run=true", change, via=n1, method="PATCH")
    agreed = change | {"affected_token": looked.body["token"], "if_affected": "keep"}
    moved = await arena.send(arena.admin, path, agreed, via=n1, method="PATCH")
    assert moved.status == 200, moved
    page = f"/api/v1/spaces/hq/availability?date={day}"
    for asked in (page, "/history", f"/api/v1/bookings/{booking_id}"):
        said = await ann.get(n3, asked)
        assert (said.status, said.code) == (503, "unavailable")
        assert NEW_ZONE in said.body["detail"]
    async with Client([n3.url, n1.url]) as client:
        drawn = await client.availability("hq", day)
        assert drawn.slots[0].starts_at.isoformat() == f"{day}T08:00:00+05:45"
    key = new_key()
    lost = await ann.post(n3, f"/api/v1/bookings/{booking_id}/cancel", {}, key=key)
    assert (lost.status, lost.code) == (503, "outcome-unknown")
    found = await arena.send(ann, f"/api/v1/bookings/{booking_id}/cancel", {}, via=n1, key=key)
    assert (found.status, found.body["status"]) == (200, "cancelled")
    await arena.cluster.wait_until_equal()
    put_zone(Path(n3.environment["PYTHONTZPATH"]), NEW_ZONE, "Asia/Kathmandu")
    assert await n3.terminate() == 0
    n3.start()
    await arena.cluster.wait_until_ready()
    assert (await ann.get(n3, page)).body == (await ann.get(n1, page)).body
