"""The races of the field, run again and again through different nodes of a real cluster: each has one right winner.

One cluster serves all of them, so they stand in one module. The winner is read from the answers and then from the state, as every
node tells it (`arena.py`); at the end all that anybody was ever told is compared with what all nodes hold. DESKRAFT_TEST_SEED
repeats the order in which requests are sent, as far as processes can repeat anything. Reports of such races from other systems are
in docs/double-bookings.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from tests.integration.arena import Arena, new_key, only, order, place, running_arena
from tests.integration.clocks import Clock
from tests.integration.cluster import SPACES
from tests.integration.raw import Raw, Said, one_request, request_bytes

ROUNDS = 10
ROUNDS_OF_RULES = 5  # each is several requests long
ROUNDS_OF_THE_CLOCK = 2
KILLS = 2
CUT_SECONDS = (0.0, 0.02)  # after which the one who waits for an answer hangs up
SPREAD_SECONDS = 0.05  # of bookings against a change that takes two requests
SLOT = timedelta(minutes=5)
GRACE = timedelta(minutes=1)
BEFORE_THE_END_SECONDS = 4.0  # enough for a slow machine to be in time
AROUND_THE_END_SECONDS = 0.25
AFTER_THE_END_SECONDS = 1.0
GATE: dict[str, Any] = {
    "id": "gate",
    "name": "Open around the clock, by five minutes",
    "timezone": "Europe/Moscow",
    "opens": "00:00",
    "closes": "24:00",
    "slot_minutes": 5,
    "seats": [f"G{number}" for number in range(8)],
}
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    """The clocks of the cluster."""
    return Clock(tmp_path_factory.mktemp("clock"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> AsyncIterator[Arena]:
    """One cluster for all races."""
    folder = tmp_path_factory.mktemp("races")
    async with running_arena(
        folder, spaces=[*SPACES, GATE], environment_of=lambda _: clock.environment
    ) as running:
        yield running


# --- one place, several who want it -------------------------------------------------------------------------


async def test_two_confirm_at_once(arena: Arena) -> None:
    """Everybody confirms the same seat at the same time, two through each node: one booking, and no offer of the taken place."""
    for _ in range(ROUNDS):
        day = arena.fresh_day()
        want = place(day)
        nodes = arena.shuffled_nodes() * 2
        answers = await arena.at_once(
            *(partial(arena.book, person, want, via=node) for person, node in zip(arena.people, nodes, strict=True))
        )  # fmt: skip
        won = only(answers, 201)
        for said in answers:
            if said is not won:
                assert said.code == "seat-taken"
                offers = [(each["seat_id"], each["starts_at"]) for each in said.body["alternatives"]]
                assert offers and ("A1", want["starts_at"]) not in offers
        assert (await arena.booking(won.body["id"]))["status"] == "confirmed"
        assert await arena.row(day, "A1") == ["free"] * 2 + ["taken"] + ["free"] * 11


async def test_a_double_click(arena: Arena) -> None:
    """One click that arrives twice on each node: one booking, one answer for all of them."""
    for _ in range(ROUNDS):
        day, key, person = arena.fresh_day(), new_key(), arena.rng.choice(arena.people)
        clicks = [partial(arena.book, person, place(day), via=node, key=key) for node in arena.nodes * 2]
        answers = await arena.at_once(*clicks)
        assert {said.status for said in answers} == {201}
        assert len({(said.body["id"], said.index) for said in answers}) == 1
        assert await arena.kinds(answers[0].body["id"]) == ["confirmed"]
        assert (await arena.row(day, "A1")).count("taken") == 1
        other = await arena.book(person, place(day, 11), key=key)
        assert (other.status, other.code) == (422, "key-reused"), "another place is another click"


async def test_a_retry_through_another_node(arena: Arena) -> None:
    """The first answer is lost, because the asker hangs up: the retry elsewhere is the same booking, whether the first got in or not."""
    for _ in range(ROUNDS):
        day, key, person = arena.fresh_day(), new_key(), arena.rng.choice(arena.people)
        first, second, third = arena.shuffled_nodes()
        want = place(day)
        _, writer = await one_request(first)
        writer.write(request_bytes(first, "POST", "/api/v1/bookings", person.token, want, key))
        await writer.drain()
        if arena.rng.random() < 0.5:
            await asyncio.sleep(arena.rng.uniform(*CUT_SECONDS))
        writer.transport.abort()
        rival = arena.people[(arena.people.index(person) + 1) % len(arena.people)]
        retried, taken = await arena.at_once(
            partial(arena.book, person, want, via=second, key=key),
            partial(arena.book, rival, want, via=third),
        )
        won = only([retried, taken], 201)
        arena.ends["hung up: kept the seat" if won is retried else "hung up: too late"] += 1
        for node in (first, third):
            again = await arena.book(person, want, via=node, key=key)
            assert (again.status, again.body, again.index) == (retried.status, retried.body, retried.index)
        assert (await arena.booking(won.body["id"]))["status"] == "confirmed"
        assert (await arena.row(day, "A1")).count("taken") == 1


async def test_a_retry_after_the_node_was_killed(arena: Arena) -> None:
    """The node that took the request is killed before it answers, the leader first: the retry elsewhere is the same booking, and
    the node that comes back says so too.
    """
    for round_ in range(KILLS):
        leader = await arena.cluster.wait_for_leader()
        victim = leader if round_ == 0 else next(node for node in arena.nodes if node is not leader)
        day, key, person = arena.fresh_day(), new_key(), arena.rng.choice(arena.people)
        want = place(day)
        _, writer = await one_request(victim)
        writer.write(request_bytes(victim, "POST", "/api/v1/bookings", person.token, want, key))
        await writer.drain()
        await asyncio.sleep(arena.rng.uniform(*CUT_SECONDS))
        victim.kill()
        writer.transport.abort()
        others = [node for node in arena.nodes if node is not victim]
        answers = await arena.at_once(
            *(partial(arena.book, person, want, via=node, key=key) for node in others)
        )
        victim.start()
        await arena.cluster.wait_until_ready()
        answers.append(await arena.book(person, want, via=victim, key=key))
        assert {said.status for said in answers} == {201}
        assert len({(said.body["id"], said.index) for said in answers}) == 1
        assert (await arena.row(day, "A1")).count("taken") == 1


async def test_a_cancellation_against_bookings(arena: Arena) -> None:
    """One gives the seat back while four want it: the cancellation holds, and at most one of them gets the seat, after it."""
    owner, *others = arena.people[:5]
    for _ in range(ROUNDS):
        day = arena.fresh_day()
        booking_id = await arena.booked(owner, place(day))
        cancelled, *answers = await arena.at_once(
            partial(arena.send, owner, f"/api/v1/bookings/{booking_id}/cancel", {}),
            *(partial(arena.book, person, place(day)) for person in others),
        )
        assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
        won = [said for said in answers if said.status == 201]
        assert len(won) <= 1
        arena.ends["given back: taken at once" if won else "given back: nobody yet"] += 1
        assert all(order(said) > order(cancelled) for said in won), "nobody had it before it was given back"
        assert {said.code for said in answers if said.status != 201} <= {"seat-taken"}
        assert await arena.kinds(booking_id) == ["confirmed", "cancelled"]
        assert (await arena.row(day, "A1")).count("taken") == len(won)
        if not won:
            await arena.booked(others[0], place(day))


# --- moves, baskets, series ---------------------------------------------------------------------------------


async def test_moves_to_one_free_seat(arena: Arena) -> None:
    """Three people move to the same free seat: one arrives, the others never left."""
    movers = arena.people[:3]
    for _ in range(ROUNDS):
        day = arena.fresh_day()
        ids = [await arena.booked(each, place(day, seat=f"A{n + 2}")) for n, each in enumerate(movers)]
        answers = await arena.at_once(
            *(
                partial(arena.send, each, f"/api/v1/bookings/{booking_id}/move", {"seat_id": "A1"})
                for each, booking_id in zip(movers, ids, strict=True)
            )
        )
        won = only(answers, 200)
        for number, (booking_id, said) in enumerate(zip(ids, answers, strict=True)):
            seat, kinds = ("A1", ["confirmed", "moved"]) if said is won else (f"A{number + 2}", ["confirmed"])
            assert ((await arena.booking(booking_id))["seat_id"], await arena.kinds(booking_id)) == (
                seat,
                kinds,
            )
            assert (await arena.row(day, f"A{number + 2}")).count("taken") == (said is not won)
        assert (await arena.row(day, "A1")).count("taken") == 1


async def test_moves_that_would_swap(arena: Arena) -> None:
    """Each of two wants the other's seat: neither is free, so both stay. A third who wants a seat that is being left gets it only after."""
    one, other, third = arena.people[:3]
    for _ in range(ROUNDS):
        day = arena.fresh_day()
        ids = [await arena.booked(each, place(day, seat=seat)) for each, seat in ((one, "A1"), (other, "A2"))]
        answers = await arena.at_once(
            partial(arena.send, one, f"/api/v1/bookings/{ids[0]}/move", {"seat_id": "A2"}),
            partial(arena.send, other, f"/api/v1/bookings/{ids[1]}/move", {"seat_id": "A1"}),
        )
        assert [said.code for said in answers] == ["seat-taken"] * 2
        assert [(await arena.booking(each))["seat_id"] for each in ids] == ["A1", "A2"]
        ids.append(await arena.booked(third, place(day, seat="A3")))
        left, followed = await arena.at_once(
            partial(arena.send, one, f"/api/v1/bookings/{ids[0]}/move", {"seat_id": "A4"}),
            partial(arena.send, third, f"/api/v1/bookings/{ids[2]}/move", {"seat_id": "A1"}),
        )
        assert left.status == 200
        arena.ends[f"followed: {followed.status}"] += 1
        assert followed.status == 409 or (followed.status == 200 and order(followed) > order(left))
        assert (await arena.booking(ids[2]))["seat_id"] == ("A1" if followed.status == 200 else "A3")


async def test_baskets_in_crossing_orders(arena: Arena) -> None:
    """Three baskets, each of which shares a seat with both others, in orders that would deadlock locks: one is whole, two are empty."""
    seats = [("A1", "A2"), ("A2", "A3"), ("A3", "A1")]
    for _ in range(ROUNDS):
        day = arena.fresh_day()
        answers = await arena.at_once(
            *(
                partial(arena.send, person, "/api/v1/bookings/basket", {"items": [place(day, seat=seat) for seat in pair]})
                for person, pair in zip(arena.people, seats, strict=False)
            )
        )  # fmt: skip
        won = only(answers, 201)
        pair = seats[answers.index(won)]
        assert [each["seat_id"] for each in won.body["items"]] == list(pair)
        for said in answers:
            assert said is won or "seat-taken" in [each["code"] for each in said.body["items"]]
        for seat in ("A1", "A2", "A3"):
            assert (await arena.row(day, seat)).count("taken") == (seat in pair)


@pytest.mark.parametrize("mode", ["all", "free"])
async def test_a_series_against_a_single_booking(arena: Arena, mode: str) -> None:
    """Four weeks against the third of them. All or nothing: one of the two. What is free: that day has one of the two."""
    planner, single = arena.people[:2]
    for round_ in range(ROUNDS):
        # Rounds share their days, so each has an hour and, in the other mode, a seat of its own.
        first = datetime(2028, 5, 1, 8 + round_, tzinfo=ZoneInfo("Europe/Moscow"))
        days = [(first + timedelta(weeks=week)).date().isoformat() for week in range(4)]
        seat = "A1" if mode == "all" else "A2"
        series = place(days[0], first.hour, seat) | {"rrule": "FREQ=WEEKLY;COUNT=4", "mode": mode}
        planned, booked = await arena.at_once(
            partial(arena.send, planner, "/api/v1/series", series),
            partial(arena.book, single, place(days[2], first.hour, seat)),
        )
        if mode == "all":
            only([planned, booked], 201)
        else:
            assert planned.status == 201
            codes = [each["code"] for each in planned.body["items"]]
            third = "ok" if booked.status == 409 else "seat-taken"
            assert codes == ["ok", "ok", third, "ok"]
        whole = planned.status == 201
        arena.ends[f"series ({mode}) against one: {planned.status}, {booked.status}"] += 1
        taken = [(await arena.row(day, seat))[round_] for day in days]
        others = "taken" if whole else "free"
        assert taken == [others, others, "taken", others]


# --- the line ---------------------------------------------------------------------------------------------


async def test_a_promotion_against_snipers(arena: Arena) -> None:
    """A seat that two wait for is given back while two others shoot at it: it goes to the first in the line, every time."""
    owner, first, second, *snipers = arena.people
    for _ in range(ROUNDS):
        day = arena.fresh_day()
        booking_id = await arena.booked(owner, place(day))
        for waiter in (first, second):
            assert (await arena.send(waiter, "/api/v1/waitlist", place(day))).status == 201
        shots = [partial(arena.book, each, place(day), via=node) for each in snipers for node in arena.nodes]
        at = arena.rng.randrange(len(shots))
        shots.insert(at, partial(arena.send, owner, f"/api/v1/bookings/{booking_id}/cancel", {}))
        answers = await arena.at_once(*shots)
        assert answers.pop(at).status == 200
        assert {said.code for said in answers} == {"seat-taken"}, "nobody is quicker than the line"
        (got,) = await arena.waits(first, day)
        assert got["status"] == "promoted"
        arena.told[first.user_id][got["booking_id"]] = "confirmed"
        assert await arena.kinds(got["booking_id"]) == ["promoted"]
        (waiting,) = await arena.waits(second, day)
        assert (waiting["status"], waiting["position"]) == ("waiting", 1)
        gone = await arena.send(first, f"/api/v1/bookings/{got['booking_id']}/cancel", {})
        assert gone.status == 200
        (got,) = await arena.waits(second, day)
        arena.told[second.user_id][got["booking_id"]] = "confirmed"
        assert (got["status"], (await arena.row(day, "A1")).count("taken")) == ("promoted", 1)


# --- rules that change --------------------------------------------------------------------------------------


async def test_a_quota_from_two_devices(arena: Arena) -> None:
    """One booking each: two devices of one person, on two nodes, want two seats at once. One of them gets one."""
    neva = "/api/v1/admin/spaces/neva"
    person = arena.people[0]
    credentials = {"login": "person0", "password": "a long pass phrase"}
    second = await person.settle(arena.nodes, "/api/v1/auth/login", credentials, new_key(), rng=arena.rng)
    devices = [person, Raw(arena.cluster.session, second.body["access_token"], person.user_id)]
    said = await arena.send(arena.admin, neva, {"policy": {"live_bookings": 1}}, method="PATCH")
    assert said.status == 200
    for _ in range(ROUNDS):
        day = arena.fresh_day()
        first, other, _ = arena.shuffled_nodes()
        answers = await arena.at_once(
            partial(arena.book, devices[0], place(day, 12, "W1", "neva"), via=first),
            partial(arena.book, devices[1], place(day, 12, "W2", "neva"), via=other),
        )
        won = only(answers, 201)
        assert {said.code for said in answers if said is not won} == {"too-many-live"}
        taken = [(await arena.row(day, seat, "neva")).count("taken") for seat in ("W1", "W2")]
        assert sorted(taken) == [0, 1]
        assert (await arena.send(person, f"/api/v1/bookings/{won.body['id']}/cancel", {})).status == 200
    said = await arena.send(arena.admin, neva, {"policy": {"live_bookings": 0}}, method="PATCH")
    assert said.status == 200


async def _insist(
    arena: Arena, path: str, body: dict[str, Any], method: str, named: dict[str, Any]
) -> tuple[Said, set[str]]:
    """Carry out a change that cancels what it touches, naming the list of the moment each time; and the list that it went by."""
    while True:
        agreed = body | {
            "affected_token": named["token"],
            "if_affected": "cancel",
            "reason": "a pipe has burst",
        }
        said = await arena.send(arena.admin, path, agreed, method=method)
        if said.code != "affected-changed":
            return said, {each["id"] for each in named["bookings"]}
        named = said.body["affected"]


async def _against_bookings(
    arena: Arena, day: str, seat: str, change: tuple[str, dict[str, Any], str], refusal: str
) -> None:
    """A change that takes the time or the seat away, after a dry run, against people who book: whoever got in before it was on the
    list that was agreed to, and is cancelled; nobody gets in after it.
    """
    path, body, method = change
    early = await arena.booked(arena.people[0], place(day, 12, seat, "neva"))
    looked = await arena.send(arena.admin, f"{path}?dry_run=true", body, method=method)
    assert [each["id"] for each in looked.body["bookings"]] == [early]
    agreed: set[str] = set()

    async def insist() -> Said:
        said, named = await _insist(arena, path, body, method, looked.body)
        agreed.update(named)
        return said

    done, *answers = await arena.at_once(
        insist,
        *(
            partial(arena.book, person, place(day, 13 + number, seat, "neva"))
            for number, person in enumerate(arena.people[1:])
        ),
        spread_seconds=SPREAD_SECONDS,
    )
    assert done.status == 200, done
    got = [said for said in answers if said.status == 201]
    assert all(order(said) < order(done) for said in got)
    assert {said.code for said in answers if said.status != 201} <= {refusal}
    arena.ends[f"{refusal}: {len(got)} got in"] += 1
    assert agreed == {early, *(said.body["id"] for said in got)}, (
        "nothing was cancelled that nobody had looked at"
    )
    assert done.body["affected"] == done.body["cancelled"] == len(agreed)
    for booking_id in agreed:
        assert (await arena.booking(booking_id))["status"] == "cancelled"
        assert await arena.kinds(booking_id) == ["confirmed", "cancelled"]
        arena.told[(await arena.booking(booking_id))["user_id"]][booking_id] = "cancelled"
    assert await arena.row(day, seat, "neva") == []
    late = await arena.book(arena.people[0], place(day, 20, seat, "neva"))
    assert (late.status, late.code) == (422, refusal)


async def test_a_closure_against_bookings(arena: Arena) -> None:
    """A day is closed while five people book it."""
    for _ in range(ROUNDS_OF_RULES):
        day = arena.fresh_day()
        change = ("/api/v1/admin/spaces/neva/days", {"first": day}, "POST")
        await _against_bookings(arena, day, "W1", change, "closed")


async def test_a_retired_seat_against_bookings(arena: Arena) -> None:
    """A seat is retired while five people book it."""
    for _ in range(ROUNDS_OF_RULES):
        path = "/api/v1/admin/spaces/neva/seats/W8"
        await _against_bookings(
            arena, arena.fresh_day(), "W8", (path, {"retired": True}, "PATCH"), "unknown-seat"
        )
        assert (await arena.send(arena.admin, path, {"retired": False}, method="PATCH")).status == 200


async def test_a_block_against_the_bookings_of_the_blocked(arena: Arena) -> None:
    """Somebody is blocked while they book through every node: what was accepted came before the block, and nothing after it."""
    strangers = []
    for round_ in range(ROUNDS_OF_RULES):
        day = arena.fresh_day()
        stranger = await arena.newcomer(f"stranger{round_}")
        strangers.append(stranger)
        act = f"/api/v1/admin/users/{stranger.user_id}"
        answers = await arena.at_once(
            partial(arena.send, arena.admin, f"{act}/block"),
            *(
                partial(arena.book, stranger, place(day, 10, f"A{number + 1}"), via=node)
                for number, node in enumerate(arena.nodes * 2)
            ),
        )
        blocked, *booked = answers
        assert blocked.status == 204
        assert {said.status for said in booked} <= {201, 401}
        got = [said for said in booked if said.status == 201]
        assert all(said.index <= blocked.index for said in got)
        arena.ends[f"blocked: {len(got)} got in"] += 1
        taken = [(await arena.row(day, f"A{number + 1}")).count("taken") for number in range(6)]
        assert taken == [int(said.status == 201) for said in booked]
        for node in arena.nodes:
            assert (await arena.book(stranger, place(day, 11), via=node)).status == 401
        assert (await arena.send(arena.admin, f"{act}/unblock")).status == 204
        await arena.log_in(stranger, f"stranger{round_}")
    await arena.audit(strangers)


# --- the clock; the last test, because it sets the clocks of all members forward ------------------------------


async def test_check_in_against_release(arena: Arena, clock: Clock) -> None:
    """Eight people check in around the moment at which their grace ends: each is in, or released with the rest of the time given to
    the one who waits for it; never both, never neither, and the same on every node.
    """
    waiter, owners = arena.people[0], arena.people[1:]
    rule = await arena.send(arena.admin, "/api/v1/admin/spaces/gate/checkin", {"grace_minutes": 1})
    assert rule.status == 200
    for round_ in range(ROUNDS_OF_THE_CLOCK):
        await arena.log_in_again()  # the clocks have gone further than a token lives
        now = clock.now()
        start = now.replace(minute=0, second=0, microsecond=0) + SLOT * (now.minute // 5 + 2)
        held = [
            (await arena.booked(owner, _gate(seat, start, slots=2)), owner, seat)
            for owner, seat in zip(owners * 2, GATE["seats"], strict=False)
        ]
        lines = [
            await arena.send(waiter, "/api/v1/waitlist", _gate(seat, start + SLOT)) for _, _, seat in held
        ]
        assert {said.body["status"] for said in lines} == {"waiting"}
        clock.jump_to(start + GRACE - timedelta(seconds=BEFORE_THE_END_SECONDS))
        await arena.cluster.wait_until_ready()
        around = [arena.rng.uniform(-1, 1) * AROUND_THE_END_SECONDS for _ in held[2:]]
        offsets = [-BEFORE_THE_END_SECONDS, *around, AFTER_THE_END_SECONDS]
        moments = [start + GRACE + timedelta(seconds=offset) for offset in offsets]
        answers = await asyncio.gather(
            *(_check_in(arena, clock, each, moment) for each, moment in zip(held, moments, strict=True))
        )
        assert (answers[0].status, answers[-1].code) == (200, "booking-cancelled")
        for (booking_id, owner, _), line, said in zip(held, lines, answers, strict=True):
            came = said.status == 200
            arena.ends["checked in" if came else "released"] += 1
            assert came or (said.status, said.code) == (409, "booking-cancelled")
            status, kind = ("confirmed", "checked-in") if came else ("released", "released")
            assert ((await arena.booking(booking_id))["status"], await arena.kinds(booking_id)) == (
                status,
                ["confirmed", kind],
            )
            over = (
                came and round_ + 1 < ROUNDS_OF_THE_CLOCK
            )  # the next round begins when this one's bookings end
            arena.told[owner.user_id][booking_id] = "completed" if over else status
            waiting = await arena.everywhere(waiter, f"/api/v1/waitlist/{line.body['id']}")
            assert waiting["status"] == ("waiting" if came else "promoted")
            if not came:
                assert (
                    await arena.send(waiter, f"/api/v1/bookings/{waiting['booking_id']}/cancel")
                ).status == 200


def _gate(seat: str, start: datetime, slots: int = 1) -> dict[str, Any]:
    return {"space_id": "gate", "seat_id": seat, "starts_at": start.isoformat(), "slots": slots}


async def _check_in(arena: Arena, clock: Clock, held: tuple[str, Raw, str], moment: datetime) -> Said:
    booking_id, owner, _ = held
    node = arena.rng.choice(arena.nodes)
    await asyncio.sleep(max(0.0, (moment - clock.now()).total_seconds()))
    return await arena.send(owner, f"/api/v1/bookings/{booking_id}/checkin", via=node)
