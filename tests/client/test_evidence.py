"""The comparison of members: equal, different, silent, and where they began to differ."""

from __future__ import annotations

import pytest

from client.aio import Client
from client.answers import Cluster, Member, Receipt
from client.errors import NoNodeAnswers
from client.evidence import compare


class Members:
    """Stands for a client: each member's digests by index; one that is None does not answer."""

    def __init__(self, *histories: list[str] | None) -> None:
        self.histories = {f"http://n{number}:1": each for number, each in enumerate(histories, 1)}
        self.foundings = dict.fromkeys(self.histories, "f")
        self.asked = 0

    def _cluster(self, server: str) -> Cluster:
        history = self.histories[server]
        if history is None:
            raise NoNodeAnswers({server: "no connection"})
        members = [Member(url[7:9], "r", url[7:], None, True, None) for url in self.histories]
        last = len(history) - 1
        return Cluster(
            "demo",
            server[7:9],
            "follower",
            None,
            1,
            last,
            last,
            history[last],
            members,
            founding=self.foundings[server],
        )

    async def cluster(self) -> Cluster:
        return self._cluster("http://n1:1")

    async def cluster_as_seen_by(self, server: str) -> Cluster:
        return self._cluster(server)

    async def receipt(self, index: int, server: str) -> Receipt:
        self.asked += 1
        history = self.histories[server]
        assert history is not None
        return Receipt(server[7:9], index, history[index], 0, len(history) - 1)


def client(members: Members) -> Client:
    return members  # type: ignore[return-value]  # it has what is asked of it


HISTORY = [f"d{number}" for number in range(1000)]


async def test_members_of_one_history_are_proved_where_the_last_of_them_stands() -> None:
    compared = await compare(client(Members(HISTORY, HISTORY[:900], HISTORY[:990])))
    assert compared.proved and compared.index == 899
    assert set(compared.digests.values()) == {"d899"}


async def test_the_first_difference_is_found_by_halving() -> None:
    other = [*HISTORY[:400], *(f"e{number}" for number in range(400, 1000))]
    members = Members(HISTORY, HISTORY, other)
    compared = await compare(client(members))
    assert not compared.proved
    assert "first at entry 400" in compared.faults[0]
    assert members.asked < 60


@pytest.mark.parametrize(("digest", "proved"), [("d500", True), ("x", False)])
async def test_a_kept_receipt_is_compared(digest: str, proved: bool) -> None:
    compared = await compare(client(Members(HISTORY, HISTORY)), 500, digest)
    assert compared.proved is proved


async def test_who_does_not_answer_or_is_another_is_no_proof() -> None:
    compared = await compare(client(Members(HISTORY, None)))
    assert not compared.proved and "n2 does not answer" in compared.faults[0]
    members = Members(HISTORY, HISTORY)
    members.foundings["http://n2:1"] = "g"
    compared = await compare(client(members))
    assert "another cluster or founding" in compared.faults[0]
