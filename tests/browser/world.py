"""A lively world to look at: a coworking with a plan, people who book, wait, move and cancel, a closed day and a broken desk.

Always the same but for its dates, which begin tomorrow. For pictures and for tests that look at every screen.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.browser.booking import date_of, day_after
from tests.browser.people import Person
from tests.integration.cluster import ProcessCluster

SEED = 20261201
OPENS, CLOSES = 9, 21
DESKS = [
    *((f"A{n}", n - 1, 0, "hall", ("window", "monitor") if n % 2 else ("window",)) for n in range(1, 7)),
    *((f"B{n}", n - 1, 2, "hall", ("monitor",) if n < 4 else ()) for n in range(1, 5)),
    *((f"Q{n}", n + 1, 4, "quiet", ("quiet", "accessible") if n == 1 else ("quiet",)) for n in range(1, 4)),
]
SPACE: dict[str, Any] = {
    "id": "loft",
    "name": "Loft",
    "timezone": "Europe/Moscow",
    "opens": f"{OPENS:02}:00",
    "closes": f"{CLOSES:02}:00",
    "slot_minutes": 60,
    "seats": [seat_id for seat_id, *_ in DESKS],
}
CLUSTER: dict[str, Any] = {"spaces": [SPACE]}
NAMES = {
    "ru": {"space": "Лофт на Мясницкой", "hall": "Зал", "quiet": "Тихая комната"},
    "en": {"space": "Myasnitskaya Loft", "hall": "Hall", "quiet": "Quiet room"},
}
REASONS = {"closed": "Ремонт / Repair works", "broken": "Лампа / Lamp"}


@dataclass
class World:
    """Who lives there; `tomorrow` is midnight in Moscow as an instant."""

    admin: Person
    visitor: Person
    others: list[Person]
    tomorrow: datetime

    @classmethod
    async def made(cls, cluster: ProcessCluster) -> World:
        """The world in a fresh cluster that was given `CLUSTER`."""
        admin = await Person.administrator(cluster)
        visitor, *others = [
            await Person.registered(cluster, login) for login in ("masha", "oleg", "ivan", "ada")
        ]
        world = cls(admin, visitor, others, day_after(1))
        await world.speak("ru")
        await world._shape()
        await world._live()
        return world

    def at(self, days: int, hour: int) -> datetime:
        """An hour of a day, tomorrow being 0."""
        return self.tomorrow + timedelta(days=days, hours=hour)

    async def speak(self, language: str) -> None:
        """Name the space and its zones in a language."""
        names = NAMES[language]
        await self.admin.call("PATCH", "/api/v1/admin/spaces/loft", {"name": names["space"]})
        for seat_id, x, y, zone, attributes in DESKS:
            body = {"x": x, "y": y, "zone": names[zone], "attributes": attributes}
            await self.admin.call("PATCH", f"/api/v1/admin/spaces/loft/seats/{seat_id}", body)

    async def _shape(self) -> None:
        closed = {"first": date_of(self.at(4, 12)), "reason": REASONS["closed"]}
        await self.admin.call("POST", "/api/v1/admin/spaces/loft/days", closed)
        outage = {
            "starts_at": self.at(0, OPENS).isoformat(),
            "ends_at": self.at(0, 15).isoformat(),
            "reason": REASONS["broken"],
        }
        await self.admin.call("PATCH", "/api/v1/admin/spaces/loft/seats/Q3", {"outages": [outage]})

    async def _live(self) -> None:
        """Everybody books; the visitor also moves, cancels and waits."""
        chance = random.Random(SEED)
        mine = [await self.visitor.book(*each, space_id="loft") for each in (
            ("A3", self.at(0, 10), 2), ("B1", self.at(1, 14), 3), ("Q1", self.at(2, 11), 1), ("A1", self.at(6, 9), 4), ("A5", self.at(3, 16), 1),
        )]  # fmt: skip
        await self.visitor.call("POST", f"/api/v1/bookings/{mine[2]['id']}/cancel")
        await self.visitor.call("POST", f"/api/v1/bookings/{mine[4]['id']}/move", {"seat_id": "A6"})
        taken = {("A3", 0), ("B1", 1), ("A1", 6), ("A6", 3), ("Q3", 0), ("A4", 0)}
        for days in (0, 1, 2, 3, 5, 6, 7):
            for seat_id, *_ in DESKS:
                if (seat_id, days) not in taken and chance.random() < 0.6:
                    hour = chance.randint(OPENS, CLOSES - 5)
                    await chance.choice(self.others).book(
                        seat_id, self.at(days, hour), chance.randint(1, 4), space_id="loft"
                    )
        await self.others[0].book("A4", self.at(0, 14), 2, space_id="loft")
        wish = {"space_id": "loft", "seat_id": "A4", "starts_at": self.at(0, 14).isoformat(), "slots": 2}
        await self.visitor.call("POST", "/api/v1/waitlist", wish)
