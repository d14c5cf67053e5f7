"""Comparing the members of a running cluster: does every one of them hold the same history?

Each member tells the digest of its state at an index (`GET /api/v1/cluster/receipts/{index}`), which is a hash over everything
applied up to there. So one equal digest at an index that all have reached proves that all histories before it are equal; when
they differ, the first index at which they do is looked for as far back as members remember.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from client.answers import Cluster, Receipt
from client.errors import DeskraftError

if TYPE_CHECKING:
    from client.aio import Client


class Compared(Struct, frozen=True):
    """The verdict. `digests` are those at `index` by member id; without faults all members are proved equal."""

    cluster: str
    index: int
    digests: dict[str, str]
    faults: list[str]

    @property
    def proved(self) -> bool:
        """Whether every member has answered, and all alike."""
        return not self.faults


async def compare(client: Client, index: int | None = None, digest: str | None = None) -> Compared:
    """Ask every member for its digest at `index`, or at the last one that all have applied.

    A `digest` that the caller has kept is compared as well. Raises NoNodeAnswers when none answers at all.
    """
    seen = await client.cluster()
    servers = {member.id: f"http://{member.api}" for member in seen.members}
    told = await asyncio.gather(*(_ask(client.cluster_as_seen_by(server)) for server in servers.values()))
    said = dict(zip(servers, told, strict=True))
    faults = [f"{id_} does not answer: {said[id_]}" for id_ in said if isinstance(said[id_], str)]
    answers: dict[str, Cluster] = {id_: each for id_, each in said.items() if isinstance(each, Cluster)}
    for id_, answer in answers.items():
        if (answer.node_id, answer.founding) != (id_, seen.founding):
            faults.append(f"at the address of {id_} answers {answer.node_id} of another cluster or founding")
    if not answers:
        return Compared(seen.cluster, 0, {}, faults)
    at = min(answer.applied_index for answer in answers.values()) if index is None else index
    digests: dict[str, str] = {}
    for id_, found in (await _receipts(client, {id_: servers[id_] for id_ in answers}, at)).items():
        if isinstance(found, Receipt):
            digests[id_] = found.digest
        else:
            faults.append(f"{id_} cannot tell its digest at entry {at}: {found}")
    if digest is not None:
        faults += [
            f"{id_} has {digests[id_]} at entry {at}, not {digest}"
            for id_ in digests
            if digests[id_] != digest
        ]
    if len(set(digests.values())) > 1:
        first = await _first_difference(client, {id_: servers[id_] for id_ in digests}, at)
        faults.append(f"members differ at entry {at}" + (f", and first at entry {first}" if first else ""))
    return Compared(seen.cluster, at, digests, faults)


async def _ask(question: object) -> object:
    try:
        return await question  # type: ignore[misc]  # a coroutine of the client
    except DeskraftError as error:
        return str(error)


async def _receipts(client: Client, servers: dict[str, str], index: int) -> dict[str, object]:
    found = await asyncio.gather(*(_ask(client.receipt(index, server)) for server in servers.values()))
    return dict(zip(servers, found, strict=True))


async def _first_difference(client: Client, servers: dict[str, str], differs_at: int) -> int | None:
    """The lowest index at which the members differ, by halving; None when that is longer ago than they remember."""
    here = await _receipts(client, servers, differs_at)
    oldest = max((each.oldest for each in here.values() if isinstance(each, Receipt)), default=differs_at)
    low, high = oldest, differs_at  # they differ at `high`
    while low < high:
        middle = (low + high) // 2
        found = await _receipts(client, servers, middle)
        digests = {each.digest for each in found.values() if isinstance(each, Receipt)}
        if len(digests) != 1:
            high = middle
        else:
            low = middle + 1
    return high if high > oldest else None
