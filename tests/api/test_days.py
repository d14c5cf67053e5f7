"""Days that trip others, through the API: what the page of the day draws, and that each slot drawn is one that can be booked.

Dates are those of the IANA database. Berlin jumps on 2027-03-28 and falls back on 2027-10-31; New York on 2027-03-14 and 2027-11-07; Santiago
at midnight, on 2027-09-05 (there is no 00:00) and before 2027-04-04 (23:00 comes twice); Beirut jumps at midnight, on 2027-03-28; Lord
Howe moves by half an hour, on 2027-04-04 (back) and 2027-10-03 (forward); Chatham moves at 02:45 and 03:45, on 2027-09-26 and
2027-04-04; Samoa had no 2011-12-30. Kolkata and Kathmandu never move and are half an hour and 45 minutes off the hour.
The grid itself is tried in test_time.py.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from tests.api.conftest import Node, expect_problem
from tests.api.fake_replica import FakeReplica

BOOKINGS = "/api/v1/bookings"
SPACES = "/api/v1/admin/spaces"


async def good(answer: Any, status: int = 200) -> dict[str, Any]:
    assert answer.status == status, await answer.text()
    body: dict[str, Any] = await answer.json()
    return body


async def make_space(
    node: Node, zone: str, slot: int = 60, opens: str = "00:00", closes: str = "24:00", seats: int = 1
) -> None:
    """The space "s" with seats S1, S2 …"""
    body = {
        "id": "s", "name": "S", "timezone": zone, "opens": opens, "closes": closes, "slot_minutes": slot,
        "seats": [{"id": f"S{number + 1}"} for number in range(seats)],
    }  # fmt: skip
    await good(await node.post(SPACES, body, await node.admin()), 201)


async def day_of(node: Node, day: str, token: str | None = None, space: str = "s") -> dict[str, Any]:
    return await good(await node.get(f"/api/v1/spaces/{space}/availability?date={day}", token))


async def states(node: Node, day: str, token: str | None = None, space: str = "s") -> list[str]:
    """How the slots of the first seat are."""
    found: list[str] = (await day_of(node, day, token, space))["seats"][0]["slots"]
    return found


def names(page: dict[str, Any]) -> list[str]:
    """What the page calls its slots: local time and offset."""
    return [f"{slot['starts_at'][11:16]}{slot['starts_at'][19:]}" for slot in page["slots"]]


@pytest.mark.parametrize(
    ("zone", "day", "slot", "count", "first", "around"),
    [
        ("Asia/Kolkata", "2027-03-28", 60, 24, "00:00+05:30", ["02:00+05:30", "03:00+05:30"]),
        ("Asia/Kathmandu", "2027-03-28", 60, 24, "00:00+05:45", ["02:00+05:45", "03:00+05:45"]),
        ("Europe/Berlin", "2027-03-28", 60, 23, "00:00+01:00", ["01:00+01:00", "03:00+02:00"]),
        ("Europe/Berlin", "2027-10-31", 60, 25, "00:00+02:00", ["02:00+02:00", "02:00+01:00"]),
        ("America/New_York", "2027-03-14", 30, 46, "00:00-05:00", ["01:30-05:00", "03:00-04:00"]),
        ("America/New_York", "2027-11-07", 60, 25, "00:00-04:00", ["01:00-04:00", "01:00-05:00"]),
        ("America/Santiago", "2027-09-05", 60, 23, "01:00-03:00", ["01:00-03:00", "02:00-03:00"]),
        ("America/Santiago", "2027-04-03", 60, 25, "00:00-03:00", ["23:00-03:00", "23:00-04:00"]),
        ("Asia/Beirut", "2027-03-28", 60, 23, "01:00+03:00", ["01:00+03:00", "02:00+03:00"]),
        ("Australia/Lord_Howe", "2027-10-03", 30, 47, "00:00+10:30", ["01:30+10:30", "02:30+11:00"]),
        ("Australia/Lord_Howe", "2027-04-04", 60, 24, "00:00+11:00", ["01:00+11:00", "01:30+10:30"]),
        ("Pacific/Chatham", "2027-09-26", 15, 92, "00:00+12:45", ["02:30+12:45", "03:45+13:45"]),
        ("Pacific/Chatham", "2027-04-04", 45, 33, "00:00+13:45", ["03:00+13:45", "02:45+12:45"]),
    ],
)  # fmt: skip
async def test_the_page_draws_the_day_that_it_is(
    node: Node, zone: str, day: str, slot: int, count: int, first: str, around: list[str]
) -> None:
    """The right slots with the right names in the order in which they come; each is one booking, and then taken for good."""
    await make_space(node, zone, slot)
    token = await node.user()
    page = await day_of(node, day)
    assert (page["timezone"], len(page["slots"]), names(page)[0]) == (zone, count, first)
    assert around in [list(pair) for pair in pairwise(names(page))]
    instants = [datetime.fromisoformat(each["starts_at"]) for each in page["slots"]]
    ends = [datetime.fromisoformat(each["ends_at"]) for each in page["slots"]]
    assert [end - start for start, end in zip(instants, ends, strict=True)] == [
        timedelta(minutes=slot)
    ] * count
    assert instants[1:] == ends[:-1], "they join, and none is drawn twice"
    assert {start.date().isoformat() for start in instants} == {day}
    assert set(await states(node, day)) == {"free"}
    for number, each in enumerate(page["slots"]):
        body = {"space_id": "s", "seat_id": "S1", "starts_at": each["starts_at"]}
        made = await good(await node.post(BOOKINGS, body, token), 201)
        assert (made["starts_at"], made["ends_at"]) == (each["starts_at"], each["ends_at"])
        if number == 0:
            assert await states(node, day) == ["taken"] + ["free"] * (count - 1)
    assert set(await states(node, day)) == {"taken"}
    assert set(await states(node, day, token)) == {"mine"}
    neighbours = [(date.fromisoformat(day) + timedelta(days=by)).isoformat() for by in (-1, 1)]
    assert [set(await states(node, each)) for each in neighbours] == [{"free"}, {"free"}]


@pytest.mark.parametrize(
    ("zone", "day", "missing", "twice"),
    [
        ("Europe/Berlin", "2027-03-28", ["02:00", "02:30"], []),
        ("Europe/Berlin", "2027-10-31", [], ["02:00", "02:30"]),
        ("America/Santiago", "2027-09-05", ["00:00", "00:30"], []),
        ("America/Santiago", "2027-04-03", [], ["23:00", "23:30"]),
        ("Asia/Beirut", "2027-03-28", ["00:00"], []),
        ("Australia/Lord_Howe", "2027-10-03", ["02:00"], []),
        ("Australia/Lord_Howe", "2027-04-04", [], ["01:30"]),
        ("Pacific/Chatham", "2027-09-26", ["03:00", "03:30"], []),
    ],
)
async def test_local_times_are_taken_at_their_word(
    node: Node, zone: str, day: str, missing: list[str], twice: list[str]
) -> None:
    """`POST /book` takes every local time of the day that is one slot, and refuses what does not exist or exists twice."""
    await make_space(node, zone, 30)
    token = await node.user()
    page = await day_of(node, day)
    shown = [each["starts_at"][11:16] for each in page["slots"]]
    assert not set(missing) & set(shown)
    assert {each for each in shown if shown.count(each) > 1} == set(twice)
    for at, code in [
        *((at, "nonexistent-time") for at in missing),
        *((at, "ambiguous-time") for at in twice),
    ]:
        body = {"seat": "S1", "date": day, "time": at}
        problem = await expect_problem(await node.post("/book", body, token), 422, code)
        assert problem["errors"][0]["pointer"] == "/time"
        assert zone in problem["detail"] and at in problem["detail"]
        elsewhere = {"space_id": "s", "seat_id": "S1", "date": day, "time": at}
        await expect_problem(await node.post("/api/v1/waitlist", elsewhere, token), 422, code)
        basket = {"items": [elsewhere]}
        problem = await expect_problem(await node.post(BOOKINGS + "/basket", basket, token), 422, code)
        assert problem["errors"][0]["pointer"] == "/items/0/time"
    for at in (each for each in shown if each not in twice):
        made = await good(await node.post("/book", {"seat": "S1", "date": day, "time": at}, token), 201)
        assert made["starts_at"][:16] == f"{day}T{at}"
    expected = ["free" if each in twice else "taken" for each in shown]
    assert await states(node, day) == expected, "only the ones that have two meanings are left"


@pytest.fixture
def in_2011(replica: FakeReplica) -> None:
    """The cluster is born then: its time never goes back."""
    replica.set_clock("2011-12-01T00:00:00+00:00")


async def test_a_day_that_never_was(in_2011: None, node: Node) -> None:
    """Samoa went from the 29th to the 31st of December 2011: the 30th is an empty page, and a night spans it."""
    await make_space(node, "Pacific/Apia")
    token = await node.user()
    assert (await day_of(node, "2011-12-30"))["slots"] == []
    body = {"seat": "S1", "date": "2011-12-30", "time": "10:00"}
    await expect_problem(await node.post("/book", body, token), 422, "nonexistent-time")
    made = await good(
        await node.post("/book", body | {"date": "2011-12-29", "time": "23:00", "slots": 2}, token), 201
    )
    assert made["ends_at"] == "2011-12-31T01:00:00+14:00"
    assert (await states(node, "2011-12-29"))[-2:] == ["free", "taken"]
    assert (await states(node, "2011-12-31"))[:2] == ["taken", "free"]
    problem = await expect_problem(
        await node.post(BOOKINGS, {"space_id": "s", "seat_id": "S1", "starts_at": made["starts_at"]}, token), 409, "seat-taken"
    )  # fmt: skip
    assert {each["starts_at"] for each in problem["alternatives"]} <= {
        f"2011-12-{day}T{hour:02}:00:00{offset}" for day, offset in (("29", "-10:00"), ("31", "+14:00")) for hour in range(24)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "day", "ends_at", "before", "after"),
    [
        ("Europe/Berlin", "2027-03-27", "2027-03-28T04:00:00+02:00", 1, 3),  # 23, 0, 1, 3
        ("Europe/Berlin", "2027-10-30", "2027-10-31T02:00:00+01:00", 1, 3),  # 23, 0, 1, 2
        ("America/Santiago", "2027-09-04", "2027-09-05T04:00:00-03:00", 1, 3),  # 23, 1, 2, 3
        ("Asia/Kathmandu", "2027-12-31", "2028-01-01T03:00:00+05:45", 1, 3),
        ("Europe/Berlin", "2028-02-28", "2028-02-29T03:00:00+01:00", 1, 3),
    ],
)
async def test_a_booking_across_midnight(
    node: Node, zone: str, day: str, ends_at: str, before: int, after: int
) -> None:
    """Four slots from eleven in the evening, around the clock: one booking, drawn on both days, of four hours whatever the clocks do."""
    await make_space(node, zone)
    token = await node.user()
    made = await good(
        await node.post("/book", {"seat": "S1", "date": day, "time": "23:00", "slots": 4}, token), 201
    )
    assert made["ends_at"] == ends_at
    next_day = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
    assert (await states(node, day, token))[-2:] == ["free"] + ["mine"] * before
    assert (await states(node, next_day, token))[: after + 1] == ["mine"] * after + ["free"]
    cancelled = await good(await node.post("/cancel", {"booking_id": made["id"]}, token))
    assert cancelled["status"] == "cancelled"
    assert "taken" not in await states(node, day) + await states(node, next_day)


async def test_the_29th_of_february(node: Node) -> None:
    """It is a day like others in years that have it, and no date in others; a weekly series goes through it."""
    await make_space(node, "Europe/Berlin", opens="09:00", closes="18:00")
    token = await node.user()
    assert len((await day_of(node, "2028-02-29"))["slots"]) == 9
    made = await good(
        await node.post("/book", {"seat": "S1", "date": "2028-02-29", "time": "09:00"}, token), 201
    )
    assert made["starts_at"] == "2028-02-29T09:00:00+01:00"
    for day in ("2027-02-29", "2100-02-29"):
        await expect_problem(
            await node.get(f"/api/v1/spaces/s/availability?date={day}"), 422, "invalid-parameter"
        )
        body = {"seat": "S1", "date": day, "time": "09:00"}
        await expect_problem(await node.post("/book", body, token), 422, "invalid-body")
    weekly = {
        "space_id": "s",
        "seat_id": "S1",
        "date": "2028-02-22",
        "time": "10:00",
        "rrule": "FREQ=WEEKLY;COUNT=3",
    }
    series = await good(await node.post("/api/v1/series", weekly, token), 201)
    assert [each["starts_at"][:10] for each in series["items"]] == ["2028-02-22", "2028-02-29", "2028-03-07"]
    daily = weekly | {
        "time": "11:00",
        "rrule": "FREQ=WEEKLY;BYDAY=MO,TU,WE;UNTIL=20280301",
        "date": "2028-02-28",
    }
    series = await good(await node.post("/api/v1/series", daily, token), 201)
    assert [each["starts_at"][:10] for each in series["items"]] == ["2028-02-28", "2028-02-29", "2028-03-01"]
    yearly = weekly | {"rrule": "FREQ=YEARLY;COUNT=2", "date": "2028-02-29"}
    problem = await expect_problem(await node.post("/api/v1/series", yearly, token), 422, "invalid-body")
    assert problem["errors"][0]["pointer"] == "/rrule", "yearly is not among what is offered, and it is said"


async def test_a_series_keeps_its_local_time(node: Node) -> None:
    """At nine before and after the clocks change, an hour apart as instants; days without the time are passed over, and of two the
    first is taken.
    """
    await make_space(node, "Europe/Berlin", 30)
    token = await node.user()
    body = {
        "space_id": "s",
        "seat_id": "S1",
        "date": "2027-03-21",
        "time": "09:00",
        "rrule": "FREQ=WEEKLY;COUNT=3",
    }
    series = await good(await node.post("/api/v1/series", body, token), 201)
    starts = [each["starts_at"] for each in series["items"]]
    assert starts == [
        f"2027-{day}T09:00:00+0{hours}:00" for day, hours in (("03-21", 1), ("03-28", 2), ("04-04", 2))
    ]
    for day in ("2027-03-21", "2027-03-28"):
        page = await day_of(node, day)
        at = [each["starts_at"][11:16] for each in page["slots"]].index("09:00")
        assert page["seats"][0]["slots"][at] == "taken"
    missing = await good(await node.post("/api/v1/series", body | {"time": "02:30"}, token), 201)
    assert [each["starts_at"][:10] for each in missing["items"]] == ["2027-03-21", "2027-04-04", "2027-04-11"]
    assert missing["passed_over"] == ["2027-03-28"]
    twice = await good(
        await node.post("/api/v1/series", body | {"date": "2027-10-24", "time": "02:30"}, token), 201
    )
    assert [each["starts_at"] for each in twice["items"]] == [
        "2027-10-24T02:30:00+02:00", "2027-10-31T02:30:00+02:00", "2027-11-07T02:30:00+01:00"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Europe/Moscow", "Asia/Kolkata"),  # half an hour off the old slots
        ("Europe/Moscow", "Pacific/Auckland"),  # another date
        (
            "Pacific/Kiritimati",
            "Pacific/Honolulu",
        ),  # the same clock, a day apart: nothing that people read stays but the time
        ("Asia/Kathmandu", "Europe/Berlin"),
    ],
)
async def test_a_space_moved_to_another_zone(node: Node, before: str, after: str) -> None:
    """The dry run lists every booking that is called something else afterwards; they stay at their instants; each new day shows them
    where they are, and nothing can be booked over them.
    """
    await make_space(node, before, seats=2)
    admin, token = await node.admin(), await node.user()
    made = [
        await good(await node.post("/book", {"seat": "S1", "date": "2027-05-04", "time": at, "slots": slots}, token), 201)
        for at, slots in (("00:00", 1), ("10:00", 2), ("23:00", 3))
    ]  # fmt: skip
    path = SPACES + "/s"
    seen = await good(await node.patch(path + "?dry_run=true", {"timezone": after}, admin))
    assert [each["id"] for each in seen["bookings"]] == [each["id"] for each in made]
    body = {
        "timezone": after,
        "affected_token": seen["token"],
        "if_affected": "keep",
        "reason": "the zone was wrong",
    }
    done = await good(await node.patch(path, body, admin))
    assert (done["affected"], done["cancelled"]) == (3, 0)
    instants = []
    for old in made:
        new = await good(await node.get(f"{BOOKINGS}/{old['id']}", token))
        start, end = (datetime.fromisoformat(new[each]) for each in ("starts_at", "ends_at"))
        assert start == datetime.fromisoformat(old["starts_at"]), "the instant stays"
        assert start.utcoffset() == start.replace(tzinfo=ZoneInfo(after)).utcoffset(), (
            "and is told by the new clocks"
        )
        instants.append((start, end))
    taken = {start.astimezone(ZoneInfo(after)).date() for pair in instants for start in pair}
    for day in sorted({each + timedelta(days=by) for each in taken for by in (-1, 0, 1)}):
        page = await day_of(node, day.isoformat(), token)
        assert len(page["slots"]) == 24 and names(page)[0][:5] == "00:00"
        for slot, how in zip(page["slots"], page["seats"][0]["slots"], strict=True):
            start, end = (datetime.fromisoformat(slot[each]) for each in ("starts_at", "ends_at"))
            busy = any(start < other_end and other < end for other, other_end in instants)
            assert how == ("mine" if busy else "free"), slot
            wish = {"space_id": "s", "seat_id": "S1", "starts_at": slot["starts_at"]}
            if busy:
                await expect_problem(await node.post(BOOKINGS, wish, token), 409, "seat-taken")
            else:
                await good(await node.post(BOOKINGS, wish, token), 201)


async def test_a_repeated_request_gets_its_first_answer_whatever_the_clocks_say_now(node: Node) -> None:
    """The space has been moved to a zone in which the time does not exist, or its seat is gone: the same key is the same booking."""
    await make_space(node, "Europe/Moscow")
    admin, token = await node.admin(), await node.user()
    body = {"seat": "S1", "date": "2027-03-28", "time": "02:00"}
    first = await good(await node.post("/book", body, token, Idempotency_Key="k"), 201)
    change = {"timezone": "Europe/Berlin"}
    seen = await good(await node.patch(SPACES + "/s?dry_run=true", change, admin))
    await good(await node.patch(SPACES + "/s", change | {"affected_token": seen["token"]}, admin))
    await expect_problem(
        await node.post("/book", body, token, Idempotency_Key="new"), 422, "nonexistent-time"
    )
    again = await good(await node.post("/book", body, token, Idempotency_Key="k"), 201)
    assert (again["id"], again["starts_at"]) == (first["id"], "2027-03-28T00:00:00+01:00")
    other = await node.post("/book", body | {"time": "02:30"}, token, Idempotency_Key="k")
    await expect_problem(other, 422, "key-reused")
    retired = {"retired": True}
    seen = await good(await node.patch(SPACES + "/s/seats/S1?dry_run=true", retired, admin))
    await good(await node.patch(SPACES + "/s/seats/S1", retired | {"affected_token": seen["token"]}, admin))
    await expect_problem(
        await node.post("/book", body | {"date": "2027-03-29"}, token, Idempotency_Key="n"),
        422,
        "unknown-seat",
    )
    again = await good(await node.post("/book", body, token, Idempotency_Key="k"), 201)
    assert again["id"] == first["id"]


async def test_a_zone_that_this_node_does_not_know(node: Node) -> None:
    """Another member, with a newer database, has moved the space there. This one says so and that others be asked; what it has carried
    out and cannot show is not called undone; the other spaces are as ever.
    """
    token = await node.user()
    wish = {"space_id": "hq", "seat_id": "A1", "starts_at": "2026-12-01T10:00:00+03:00"}
    made = await good(await node.post(BOOKINGS, wish, token), 201)
    spaces = node.replica.state.spaces
    spaces["hq"] = msgspec.structs.replace(spaces["hq"], timezone="Mars/Olympus", revision="50.0")
    for path in ("/api/v1/spaces/hq/availability?date=2026-12-01", "/history", f"{BOOKINGS}/{made['id']}"):
        problem = await expect_problem(await node.get(path, token), 503, "unavailable")
        assert "does not know Mars/Olympus" in problem["detail"]
    await expect_problem(await node.post(BOOKINGS, wish, token), 503, "unavailable")
    await expect_problem(
        await node.post("/cancel", {"booking_id": made["id"]}, token), 503, "outcome-unknown"
    )
    assert node.replica.state.bookings[made["id"]].status == "cancelled"
    assert len((await day_of(node, "2026-12-01", space="berlin"))["slots"]) == 24
