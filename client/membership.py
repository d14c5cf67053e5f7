"""The cluster itself: its members, leader, snapshots, backups and receipts. Calls of `aio.Client`."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from client.answers import Changed, Cluster, Leader, Receipt, Sightings, Snapshot
from client.calling import ATTEMPT_SECONDS, Answer, Call
from client.errors import NoNodeAnswers
from client.ground import LEARN_TIMEOUT_SECONDS, Ground, decoded, new_key

BACKUP_IDLE_SECONDS = 30.0  # without a byte; the whole may take as long as it takes


class Membership(Ground):
    """What operators ask of the cluster."""

    async def cluster(self) -> Cluster:
        """The cluster as the first node that answers sees it."""
        answer = await self._caller.call(Call("GET", "/api/v1/cluster"), self._deadline_seconds)
        return self._learned(answer)

    async def add_member(self, member_id: str, raft: str, api: str) -> Changed:
        """Make a member of a node that is to be started, a learner at first. For administrators, like all that follow.

        Raises Refused: "member-exists", "address-taken", "too-many-members", "change-pending", or what is wrong with the addresses.
        """
        body = {"id": member_id, "raft": raft, "api": api}
        return await self._write("/api/v1/cluster/members", body, Changed, signed=True)

    async def promote_member(self, member_id: str) -> Changed:
        """Let a learner vote. Raises Refused: "not-caught-up", "too-many-voters", "change-pending"."""
        return await self._write(f"{_member_path(member_id)}/promote", {}, Changed, signed=True)

    async def remove_member(self, member_id: str) -> Changed:
        """End a membership. Raises Refused: "would-lose-quorum", "change-pending"; "unknown-member" also when repeated."""
        call = Call("DELETE", _member_path(member_id), key=new_key())
        return decoded(await self._decided(call, signed=True), Changed)

    async def replace_member(self, member_id: str, incarnation: str = "") -> Changed:
        """Give up a member's disk. With its `incarnation`, nothing is done when the member has another one by now."""
        body = {"incarnation": incarnation} if incarnation else {}
        return await self._write(f"{_member_path(member_id)}/replace", body, Changed, signed=True)

    async def transfer_leadership(self, to: str | None = None) -> Leader:
        """Have that voter lead, or the most caught-up one."""
        body = {} if to is None else {"to": to}
        return await self._write("/api/v1/cluster/transfer", body, Leader, signed=True)

    async def write_snapshot(self, server: str) -> Snapshot:
        """Have one given server write a snapshot. Raises NoNodeAnswers when it does not, or needs longer: ask again."""
        session = await self._live_session(self._gives_up_at())
        call = Call("POST", "/api/v1/cluster/snapshot", token=session.access_token)
        answer = await self._caller.ask_one(server, call, ATTEMPT_SECONDS)
        if answer.status >= 500:
            raise NoNodeAnswers({server: answer.problem().detail})
        return decoded(self._accepted(answer), Snapshot)

    async def stream_backup(self, server: str, write: Callable[[bytes], None]) -> int:
        """Have one given server send a backup to `write`; the log index that it reflects. See `client.backups.fetch`.

        Raises Refused, or NoNodeAnswers when the server does not answer, or stops before the end.
        """
        session = await self._live_session(self._gives_up_at())
        call = Call("GET", "/api/v1/cluster/backup", token=session.access_token, min_index=self._min_index)
        answer = await self._caller.stream(server, call, write, BACKUP_IDLE_SECONDS)
        if answer.status >= 500:
            raise NoNodeAnswers({server: answer.problem().detail})
        return self._accepted(answer).index

    async def receipt(self, index: int, server: str | None = None) -> Receipt:
        """The digest at a log index, as one given server (or the first that answers) has it.

        Raises Refused: "forgotten", "not-applied-yet".
        """
        return decoded(await self._told_by(server, f"/api/v1/cluster/receipts/{index}"), Receipt)

    async def sightings(self, server: str | None = None) -> Sightings:
        """What one given server (or the first that answers) has seen happen to the cluster; others may have seen other things."""
        return decoded(await self._told_by(server, "/api/v1/cluster/sightings"), Sightings)

    async def _told_by(self, server: str | None, path: str) -> Answer:
        call = Call("GET", path)
        if server is None:
            return await self._decided(call, signed=False)
        return self._accepted(await self._caller.ask_one(server, call, LEARN_TIMEOUT_SECONDS))


def _member_path(member_id: str) -> str:
    return f"/api/v1/cluster/members/{quote(member_id, safe='')}"
