"""People who act without a page: the others, in the tests of a page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.integration.cluster import ADMIN_LOGIN, ADMIN_PASSWORD, NodeProcess, ProcessCluster

PASSWORD = "correct horse"


class Person:
    """Somebody with an account, who talks to one member. Made by `registered` and `administrator`."""

    def __init__(self, cluster: ProcessCluster, login: str, node: NodeProcess | None) -> None:
        self._session = cluster.session
        self._url = (node or next(iter(cluster))).url
        self.login = login
        self.token = ""

    @classmethod
    async def registered(cls, cluster: ProcessCluster, login: str, node: NodeProcess | None = None) -> Person:
        """A new account, logged in."""
        person = cls(cluster, login, node)
        await person.call("POST", "/api/v1/auth/register", {"login": login, "password": PASSWORD})
        return await person._logged_in(PASSWORD)

    @classmethod
    async def administrator(cls, cluster: ProcessCluster, node: NodeProcess | None = None) -> Person:
        """The administrator the cluster was born with."""
        return await cls(cluster, ADMIN_LOGIN, node)._logged_in(ADMIN_PASSWORD)

    async def _logged_in(self, password: str) -> Person:
        body = {"login": self.login, "password": password}
        self.token = (await self.call("POST", "/api/v1/auth/login", body))["access_token"]
        return self

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """What a call answers; anything but a success fails the test."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self._session.request(method, self._url + path, json=body, headers=headers) as answer:
            assert answer.ok, f"{method} {path}: {answer.status} {await answer.text()}"
            return None if answer.status == 204 else await answer.json()

    async def book(
        self, seat_id: str, starts_at: datetime, slots: int = 1, space_id: str = "hq"
    ) -> dict[str, Any]:
        """A booking, as the node answers it."""
        body = {
            "space_id": space_id,
            "seat_id": seat_id,
            "starts_at": starts_at.isoformat(),
            "slots": slots,
        }
        booking: dict[str, Any] = await self.call("POST", "/api/v1/bookings", body)
        return booking
