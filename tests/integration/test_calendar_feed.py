"""A calendar feed on real nodes: every node serves it, it survives a restart of all, and it ends everywhere at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import icalendar

from client.aio import Client
from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, ProcessCluster, running_cluster


async def read(
    cluster: ProcessCluster, url: str, index: int, **headers: str
) -> tuple[int, dict[str, Any], str]:
    """Status, statuses by UID, and the ETag; after the node has reached `index`."""
    given = {"Deskraft-Min-Index": str(index), **headers}
    async with cluster.session.get(url, headers=given) as answer:
        body = await answer.read()
        found = {}
        if answer.status == 200:
            for event in icalendar.Calendar.from_ical(body).walk("VEVENT"):
                found[str(event["UID"])] = (str(event["STATUS"]), int(event["SEQUENCE"]))
        return answer.status, found, answer.headers.get("ETag", "")


async def test_a_feed_on_every_node(tmp_path: Path) -> None:
    start = (datetime.now(UTC) + timedelta(days=3)).replace(hour=9, minute=0, second=0, microsecond=0)
    async with running_cluster(tmp_path, extra={"snapshot_every_entries": 6}) as cluster:
        async with Client(cluster.urls) as client:
            await client.register("ada", "a long pass phrase")
            await client.login("ada", "a long pass phrase")
            path = (await client.open_calendar()).path
            kept, given_up = await client.book("hq", "A1", start), await client.book("hq", "A2", start)
            index = client.min_index
            seen = [await read(cluster, url + str(path), index) for url in cluster.urls]
            assert seen[0] == seen[1] == seen[2]
            status, before, tag = seen[0]
            assert (status, len(before)) == (200, 2)
            await client.cancel(given_up.id)
            index = client.min_index
        for node in cluster:
            await node.terminate()
        for node in cluster:
            node.start()
        await cluster.wait_until_ready()
        for url in cluster.urls:
            status, after, changed = await read(cluster, url + str(path), index, **{"If-None-Match": tag})
            assert status == 200 and changed != tag
            assert after[f"{kept.id}@test.deskraft"] == before[f"{kept.id}@test.deskraft"]
            name = f"{given_up.id}@test.deskraft"
            assert after[name][0] == "CANCELLED" and after[name][1] > before[name][1]
            assert (await read(cluster, url + str(path), index, **{"If-None-Match": changed}))[0] == 304
        async with Client(cluster.urls) as client:
            await client.login("ada", "a long pass phrase")
            assert (await client.calendar()).path == path
            await client.close_calendar()
            index = client.min_index
        for url in cluster.urls:
            assert (await read(cluster, url + str(path), index))[0] == 404

        async with Client(cluster.urls) as admin:  # the same bookings, counted
            await admin.login(ADMIN_LOGIN, ADMIN_PASSWORD)
            day = start.date().isoformat()
            report = await admin.occupancy("hq", day, day, "seat")
            taken = {row.key: row.taken_minutes for row in report.rows if row.taken_minutes}
            assert taken == {"A1": 60}
            text = (await admin.occupancy_csv("hq", day, day, "seat")).decode()
            assert text.startswith("key,label,") and len(text.splitlines()) == 17
        cluster.assert_no_traceback()
