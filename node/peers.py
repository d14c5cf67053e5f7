"""Links between members: one TCP connection from each to each, `node.links` end by end.

Whom this member dials is told from outside (`set_peers`, from the configuration in force) and may change at any time. Whom it listens to is
judged from outside as well (`judge`): when a link is greeted, when its first frame has come, and again whenever the configuration has
changed (`rejudge`). A peer that was let in and is not among those to dial is one that knows a newer configuration than we do: it
is dialled at the address that it gave, for as long as its own link stands.

Strangers cost one small buffer for at most HANDSHAKE_SECONDS, and at most MAX_STRANGERS of them exist at a time. A member that is refused tries
again, ever more calmly: what refused it may be undone, or not have been heard of yet.

A link that overflows or misbehaves is closed, never thinned out: the consensus core may rely on "in order and without gaps, or broken".
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping

from node.links import HANDSHAKE_SECONDS, AcceptedLink, DialledLink
from node.membership import Introduction, Verdict
from node.secret import Secret

log = logging.getLogger("deskraft.peers")

MAX_STRANGERS = 64
REDIAL_SECONDS = (0.05, 0.2)
OTHER_ADDRESS_SECONDS = 10.0
REFUSED_REDIAL_SECONDS = (0.2, 2.0)  # after the first refusal, and at most; doubled in between

Address = tuple[str, int]

_REFUSALS = {
    "not-a-member": "not a member of the cluster",
    "other-disk": "the cluster knows it by another disk",
    "other-founding": "its cluster was founded another time",
}


class Mesh:
    """All links of one member. Callbacks run on the event loop.

    `introduce()`: what to say of ourselves, asked at each dial. `judge(introduction)`: whether to let a peer in.
    `on_frame(peer, payload)`: a frame arrived. `on_accepted(peer, introduction)` / `on_silent(peer)`: the peer's link to us is up / broke;
    a newer link of a peer that replaces an older is accepted anew, without a silence between. `on_greeted(peer, verdict)`: a peer that we
    dialled has let us in or refused us. `on_up` / `on_down`: frames to the peer can(not) be sent.
    """

    def __init__(
        self,
        *,
        cluster: str,
        node_id: str,
        listen: Address,
        secret: Secret,
        introduce: Callable[[], Introduction],
        judge: Callable[[Introduction], Verdict],
        on_frame: Callable[[str, bytes], None],
        on_up: Callable[[str], None],
        on_down: Callable[[str], None],
        on_accepted: Callable[[str, Introduction], None],
        on_silent: Callable[[str], None],
        on_greeted: Callable[[str, Verdict], None],
    ) -> None:
        self.cluster = cluster
        self.node_id = node_id
        self.secret = secret
        self.introduce = introduce
        self.judge = judge
        self.on_frame = on_frame
        self._on_up = on_up
        self._on_down = on_down
        self._on_accepted = on_accepted
        self._on_silent = on_silent
        self._on_greeted = on_greeted
        self._listen = listen
        self._peers: dict[str, Address] = {}
        self._dialling: dict[str, _Dialling] = {}
        self._ended: set[asyncio.Task[None]] = set()
        self._dialled: dict[str, DialledLink] = {}
        self._accepted: dict[str, AcceptedLink] = {}
        self._strangers: dict[AcceptedLink, None] = {}
        self._unflushed: dict[str, DialledLink] = {}
        self._refusals_logged: set[tuple[str, str, str]] = set()
        self._server: asyncio.Server | None = None
        self._closing = False
        self.refused = 0

    async def start(self) -> None:
        """Listen and dial. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        host, port = self._listen
        self._server = await loop.create_server(lambda: AcceptedLink(self), host, port, backlog=MAX_STRANGERS)
        self._settle_dialling()

    # Whom to dial, and whom to listen to.

    def set_peers(self, addresses: Mapping[str, Address]) -> None:
        """Dial these members (our own name is left out) and nobody else; one whose address has changed is dialled anew."""
        self._peers = {peer_id: addresses[peer_id] for peer_id in addresses if peer_id != self.node_id}
        self._settle_dialling()

    def rejudge(self) -> None:
        """The configuration has changed: close the links of those who are no longer let in. They are told when they dial again."""
        for link in list(self._accepted.values()):
            self._judge_again(link)

    def _judge_again(self, link: AcceptedLink) -> bool:
        verdict = self.judge(link.introduction)
        if verdict.code:
            self.note_refusal(link.introduction, verdict)
            link.close(_REFUSALS.get(verdict.code, verdict.code))
        return not verdict.code

    def _settle_dialling(self) -> None:
        """Make the dialling tasks those that are wanted now."""
        if self._server is None or self._closing:
            return
        wanted = dict(self._peers)
        for peer_id, link in self._accepted.items():
            if peer_id not in wanted and (address := parse_address(link.introduction.raft)) is not None:
                wanted[peer_id] = address
        for peer_id, dialling in list(self._dialling.items()):
            if wanted.get(peer_id) != dialling.address:
                self._stop_dialling(peer_id)
        for peer_id, address in wanted.items():
            if peer_id not in self._dialling:
                self._dialling[peer_id] = _Dialling(self, peer_id, address)

    def said_by(self, peer_id: str) -> Address | None:
        """Where a peer whose link to us stands says that it listens."""
        link = self._accepted.get(peer_id)
        return None if link is None else parse_address(link.introduction.raft)

    def _stop_dialling(self, peer_id: str) -> None:
        task = self._dialling.pop(peer_id).stop()
        self._ended.add(task)
        task.add_done_callback(self._ended.discard)

    # Sending.

    def send(self, peer_id: str, payload: bytes) -> None:
        """Send a frame with the next `flush`, or lose it when the link is down."""
        link = self._dialled.get(peer_id)
        if link is not None and link.up:
            link.send(payload)
            self._unflushed[peer_id] = link

    def flush(self) -> None:
        """Write what was sent since the last time: one write for each peer."""
        unflushed, self._unflushed = self._unflushed, {}
        for link in unflushed.values():
            if link.up:
                link.flush()

    def redial(self, peer_id: str) -> None:
        """The peer seems gone although its connection stands: start anew."""
        link = self._dialled.get(peer_id)
        if link is not None:
            link.abort()

    def drop(self, peer_id: str, why: str) -> None:
        """Break the link *from* a peer that sent what no correct member sends."""
        link = self._accepted.get(peer_id)
        if link is not None:
            link.close(why)

    # What the links report.

    def dialled_up(self, peer_id: str, link: DialledLink, verdict: Verdict) -> None:
        """The handshake of a link of ours is complete."""
        self._dialled[peer_id] = link
        self._on_greeted(peer_id, verdict)
        self._on_up(peer_id)

    def dialled_refused(self, peer_id: str, verdict: Verdict) -> None:
        """The listener knows us and does not let us in."""
        self._on_greeted(peer_id, verdict)

    def dialled_down(self, peer_id: str, link: DialledLink) -> None:
        """A link of ours broke."""
        if self._dialled.get(peer_id) is link:
            del self._dialled[peer_id]
            self._on_down(peer_id)

    def stranger_came(self, link: AcceptedLink) -> None:
        """A new connection; the oldest stranger makes room."""
        if len(self._strangers) >= MAX_STRANGERS:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            if oldest.transport is not None:
                oldest.transport.abort()
        self._strangers[link] = None

    def stranger_refused(self) -> None:
        """A hello that is not authentic. Logged once in a while: the log is no place to fill for strangers."""
        self.refused += 1
        if self.refused & (self.refused - 1) == 0:
            log.warning("refused %d unauthenticated connections so far on the peer port", self.refused)

    def note_refusal(self, introduction: Introduction, verdict: Verdict) -> None:
        """A member that is not let in. Logged once for each disk and reason: it will try again and again."""
        refusal = (introduction.member_id, introduction.incarnation, verdict.code)
        if refusal not in self._refusals_logged:
            self._refusals_logged.add(refusal)  # bounded by what holders of the secret have made
            log.warning(
                "refused the member %s: %s",
                introduction.member_id,
                _REFUSALS.get(verdict.code, verdict.code),
            )

    def accepted_up(self, peer_id: str, link: AcceptedLink) -> None:
        """A peer's link is authenticated; a newer one replaces an older. It is judged once more: the handshake took its time."""
        self._strangers.pop(link, None)
        if not self._judge_again(link):
            return
        older = self._accepted.get(peer_id)
        self._accepted[peer_id] = link
        if older is not None:
            older.close("the peer connected anew")
        self._settle_dialling()
        self._on_accepted(peer_id, link.introduction)

    def accepted_down(self, link: AcceptedLink) -> None:
        """A link to us broke."""
        self._strangers.pop(link, None)
        if link.peer_id is not None and self._accepted.get(link.peer_id) is link:
            del self._accepted[link.peer_id]
            self._settle_dialling()
            self._on_silent(link.peer_id)

    async def close(self) -> None:
        """Close everything at once."""
        self._closing = True
        if self._server is not None:
            self._server.close()  # first, so that nobody comes in behind those who are sent away
        for peer_id in list(self._dialling):
            self._stop_dialling(peer_id)
        await asyncio.gather(*self._ended, return_exceptions=True)
        for accepted in [*self._accepted.values(), *self._strangers]:
            if accepted.transport is not None:
                accepted.transport.abort()
        if self._server is not None:
            await self._server.wait_closed()


class _Dialling:
    """Keeps one peer dialled until `stop`.

    When that has failed for OTHER_ADDRESS_SECONDS while the peer's own link to us stands, every other attempt goes to where it says that it listens:
    the address that we were given may be an old one.
    """

    def __init__(self, mesh: Mesh, peer_id: str, address: Address) -> None:
        self.address = address
        self._mesh = mesh
        self._peer_id = peer_id
        self._silent = 0  # handshakes in a row that ended without an answer that could be believed
        self._refused = 0  # refusals in a row
        self._logged = ""
        self._failing_since: float | None = None
        self._attempts = 0
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> asyncio.Task[None]:
        """Close the link, dial no more. The task ends soon."""
        self._task.cancel()
        return self._task

    async def _run(self) -> None:
        while True:
            link = await self._dial()
            if link is not None:
                deadline = asyncio.get_running_loop().call_later(
                    HANDSHAKE_SECONDS, self._give_up_unless_answered, link
                )
                try:
                    await link.closed
                finally:
                    deadline.cancel()
                    link.abort()
                self._look_back(link.verdict, in_time=asyncio.get_running_loop().time() < deadline.when())
            await asyncio.sleep(self._pause_seconds())

    async def _dial(self) -> DialledLink | None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                _, link = await loop.create_connection(
                    lambda: DialledLink(self._mesh, self._peer_id), *self._next_address(loop.time())
                )
        except (OSError, TimeoutError, UnicodeError):  # the last: a name that no resolver takes
            self._failing_since = self._failing_since or loop.time()
            return None
        self._failing_since = None
        return link

    def _next_address(self, now: float) -> Address:
        self._attempts += 1
        if (
            self._failing_since is None
            or now - self._failing_since < OTHER_ADDRESS_SECONDS
            or self._attempts % 2
        ):
            return self.address
        return self._mesh.said_by(self._peer_id) or self.address

    @staticmethod
    def _give_up_unless_answered(link: DialledLink) -> None:
        if link.verdict is None:
            link.abort()

    def _look_back(self, verdict: Verdict | None, *, in_time: bool) -> None:
        """What came of the last connection, which ended before or after HANDSHAKE_SECONDS."""
        where = (self._peer_id, *self.address)
        if verdict is None:
            self._silent += 1
            if self._silent & (self._silent - 1) == 0:
                log.warning(
                    "%s (%s:%d) closed our handshake, %d without an answer by now: are cluster and secret_file the same there?"
                    if in_time
                    else "%s (%s:%d) leaves our handshake open, %d without an answer by now: does it hang, or is the way there cut?",
                    *where,
                    self._silent,
                )
            return
        self._silent = 0
        self._refused = self._refused + 1 if verdict.code else 0
        if verdict.code and verdict.code != self._logged:
            log.warning(
                "%s (%s:%d) refuses this member: %s",
                *where,
                _REFUSALS.get(verdict.code, verdict.code),
            )
        self._logged = verdict.code

    def _pause_seconds(self) -> float:
        if self._refused:
            first, most = REFUSED_REDIAL_SECONDS
            longest = min(most, first * 2.0 ** min(self._refused - 1, 16))
            return longest * random.uniform(0.8, 1.0)  # noqa: S311 - jitter, not secrecy
        return random.uniform(*REDIAL_SECONDS)  # noqa: S311 - jitter, not secrecy


def parse_address(raft: str) -> Address | None:
    """An address that a member gave of itself: `host:port`, `[host]:port`; None when it is none."""
    host, _, port = raft.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 1 << 16:
        log.warning("a member said that it listens at %r, which is no address", raft)
        return None
    return host, int(port)
