"""Shaping spaces and seats: the administrators' calls, as `Client.premises` of the asynchronous and of the blocking client.

    premises = client.premises
    seen = await premises.set_days("hq", "2026-12-31", reason="New Year", dry_run=True)
    await premises.set_days("hq", "2026-12-31", reason="New Year", agreed=Agreed(seen.token, "cancel"))

A change that touches accepted bookings raises Refused with code "affected-changed" and the list in `problem.affected`; with
`agreed`, the token of a list that was looked at, it is carried out as long as the list is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from msgspec import Struct

from client.answers import Booking, Seat, Space
from client.blocking import Blocking, call
from client.places import Hours, Outage

if TYPE_CHECKING:
    from client.aio import Client

_ALL = "/api/v1/admin/spaces"


class ManagedSpace(Struct, frozen=True):
    """A space as its administrators see it: with what is retired."""

    space: Space
    retired: bool
    retired_seats: list[Seat]


class _ManagedSpaces(Struct, frozen=True):
    items: list[ManagedSpace]
    next: str | None = None


class SpaceChange(Struct, frozen=True):
    """A change that was made, or, for a dry run, that could be made at `index`: then with the `token` and the first of the
    `bookings` that are affected.
    """

    dry_run: bool
    index: int
    space_id: str
    seat_id: str | None
    revision: str
    affected: int
    cancelled: int
    token: str = ""
    bookings: list[Booking] = []


class Agreed(Struct, frozen=True):
    """What shall become of the affected bookings whose list has this token."""

    token: str = ""
    if_affected: Literal["keep", "cancel"] = "keep"


NOTHING_AGREED = Agreed()


class Premises:
    """The administrators' calls. Each change takes `if_match`, the revision of the space that it must still have."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def spaces(self) -> list[ManagedSpace]:
        """Every space, the retired ones too."""
        return (await self._client.send("GET", _ALL, None, _ManagedSpaces)).items

    async def space(self, space_id: str) -> ManagedSpace:
        """One space. Raises Refused with status 404."""
        return await self._client.send("GET", _path(space_id), None, ManagedSpace)

    async def create(
        self,
        space_id: str,
        *,
        name: str,
        timezone: str,
        opens: str,
        closes: str,
        slot_minutes: int,
        seats: Sequence[str],
        key: str | None = None,
    ) -> SpaceChange:
        """Make a space with the same hours on every weekday. Raises Refused: "space-exists", or what is wrong."""
        body = {
            "id": space_id, "name": name, "timezone": timezone, "opens": opens, "closes": closes,
            "slot_minutes": slot_minutes, "seats": [{"id": seat} for seat in seats],
        }  # fmt: skip
        return await self._client.send("POST", _ALL, body, SpaceChange, key=key)

    async def revise(
        self,
        space_id: str,
        *,
        name: str | None = None,
        timezone: str | None = None,
        slot_minutes: int | None = None,
        hours: Mapping[str, Hours | None] | None = None,
        policy: Mapping[str, int | bool] | None = None,
        retired: bool | None = None,
        reason: str = "",
        agreed: Agreed = NOTHING_AGREED,
        dry_run: bool = False,
        if_match: str = "",
        key: str | None = None,
    ) -> SpaceChange:
        """Change what is given. `hours` by weekday ("mon" …), None: closed; `policy` by its fields, 0 and False: no limit."""
        body = _given(
            name=name, timezone=timezone, slot_minutes=slot_minutes, hours=hours, policy=policy, retired=retired
        )  # fmt: skip
        return await self._change("PATCH", _path(space_id), body, reason, agreed, dry_run, if_match, key)

    async def set_days(
        self,
        space_id: str,
        first: str,
        last: str | None = None,
        *,
        hours: Hours | None = None,
        usual: bool = False,
        reason: str = "",
        agreed: Agreed = NOTHING_AGREED,
        dry_run: bool = False,
        if_match: str = "",
        key: str | None = None,
    ) -> SpaceChange:
        """Close local dates, or give them `hours`, or the `usual` ones of the week again."""
        body = _given(first=first, last=last)
        if hours is not None:
            body |= {"opens": hours.opens, "closes": hours.closes}
        if usual:
            body["usual"] = True
        return await self._change(
            "POST", _path(space_id) + "/days", body, reason, agreed, dry_run, if_match, key
        )

    async def add_seat(
        self,
        space_id: str,
        seat_id: str,
        *,
        label: str | None = None,
        zone: str = "",
        attributes: Sequence[str] = (),
        place: tuple[int, int] | None = None,
        key: str | None = None,
    ) -> SpaceChange:
        """Add a seat. Raises Refused: "seat-exists", "too-many-seats"."""
        body = {"id": seat_id, "zone": zone, "attributes": list(attributes), **_given(label=label)}
        if place is not None:
            body |= {"x": place[0], "y": place[1]}
        return await self._client.send("POST", _path(space_id) + "/seats", body, SpaceChange, key=key)

    async def revise_seat(
        self,
        space_id: str,
        seat_id: str,
        *,
        label: str | None = None,
        zone: str | None = None,
        attributes: Sequence[str] | None = None,
        place: tuple[int, int] | None = None,
        retired: bool | None = None,
        outages: Sequence[Outage] | None = None,
        reason: str = "",
        agreed: Agreed = NOTHING_AGREED,
        dry_run: bool = False,
        if_match: str = "",
        key: str | None = None,
    ) -> SpaceChange:
        """Change what is given of a seat. `outages` are all times at which it is out of service from now on."""
        body = _given(label=label, zone=zone, attributes=attributes, retired=retired)
        if place is not None:
            body |= {"x": place[0], "y": place[1]}
        if outages is not None:
            body["outages"] = [
                {"starts_at": each.starts_at.isoformat(), "ends_at": each.ends_at.isoformat(), "reason": each.reason or ""}
                for each in outages
            ]  # fmt: skip
        path = f"{_path(space_id)}/seats/{quote(seat_id, safe='')}"
        return await self._change("PATCH", path, body, reason, agreed, dry_run, if_match, key)

    async def _change(
        self,
        method: Literal["POST", "PATCH"],
        path: str,
        body: dict[str, Any],
        reason: str,
        agreed: Agreed,
        dry_run: bool,
        if_match: str,
        key: str | None,
    ) -> SpaceChange:
        body |= {"reason": reason, "affected_token": agreed.token, "if_affected": agreed.if_affected}
        query = {"dry_run": "true"} if dry_run else None
        return await self._client.send(
            method, path, body, SpaceChange, query=query, if_match=if_match, key=key
        )


class BlockingPremises(Blocking):
    """The same calls, without an event loop: each waits for its answer. See `Premises`."""

    spaces = call(Premises.spaces)
    space = call(Premises.space)
    create = call(Premises.create)
    revise = call(Premises.revise)
    set_days = call(Premises.set_days)
    add_seat = call(Premises.add_seat)
    revise_seat = call(Premises.revise_seat)


def _path(space_id: str) -> str:
    return f"{_ALL}/{quote(space_id, safe='')}"


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
