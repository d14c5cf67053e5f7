"""The network of a world: one-way connections like those of `node.peers`, in order and without gaps, or broken.

As there, a member dials each of the others, and only the dialler sends. A connection has two ends that learn of its fate at different moments,
as over TCP:

- the sender believes in it until it notices (`Link.outgoing`); what it sends after the other end is gone is lost;
- the receiver reads on from it until it is drained, reset, or replaced by a newer one from the same sender (`Link.incoming`). So messages
  arrive that the sender takes for lost and sends again over the next connection: the duplicates that a real network makes. Nothing is ever
  delivered twice on one connection, out of order, or from an older connection after a newer one.

Links can be cut (what is under way waits for the cut to heal or the connection to break), frozen, slow, or torn in the middle of a frame.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from node.membership import Introduction
from tests.simulation.events import stream

if TYPE_CHECKING:
    from tests.simulation.world import World

RECONNECT_SECONDS = (0.001, 0.15)
USUAL_DELAY_SECONDS = (0.0002, 0.004)
LONG_DELAY_SECONDS = (0.01, 0.1)
LONG_DELAY_SHARE = 0.03
NOTICED_IN_CUT_SHARE = (
    0.02  # of the messages sent into a cut, those at which the sender gives the connection up
)
HALF_OPEN_SECONDS = (4.5, 5.0)  # silence for 1.5 s, and 3 s more, make a member dial anew (`node.driver`)
LINGER_SHARE = 0.5  # of the broken connections, those from which the receiver still gets what is under way
MAX_UNSENT_BYTES = 128 << 10  # small beside that of `node.peers`, so that slow links overflow now and then


class Connection:
    """Messages on the way, oldest first. None stands for half a frame: the end of what the receiver can read."""

    __slots__ = ("half_open", "queue", "unread_bytes")

    def __init__(self) -> None:
        self.half_open = False  # one end went with its machine, and could not say so
        self.queue: deque[bytes | None] = deque()
        self.unread_bytes = 0


class Link:
    """From one member to another: who holds which end of which connection, and what ails the path."""

    __slots__ = (
        "bytes_per_second",
        "cut_until",
        "frozen_until",
        "incoming",
        "introduction",
        "last_arrival",
        "outgoing",
        "slow_until",
        "tear",
    )

    def __init__(self) -> None:
        self.outgoing: Connection | None = None
        self.incoming: Connection | None = None
        self.introduction = Introduction("", "", "", 0, "")  # of the sender, when it dialled
        self.cut_until = 0.0
        self.frozen_until = 0.0
        self.slow_until = 0.0
        self.bytes_per_second = 0.0
        self.tear = False
        self.last_arrival = 0.0


class Network:
    """All links of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = stream(world.seed, "network")
        self._delays = world.settings.delays
        self.links: dict[tuple[str, str], Link] = {}
        self.messages = 0

    def add_member(self, node_id: str) -> None:
        """Paths between a new member and all others."""
        for other in sorted({a for a, _ in self.links} | set(self._world.nodes)):
            if other != node_id:
                self.links.setdefault((node_id, other), Link())
                self.links.setdefault((other, node_id), Link())

    def heal(self) -> None:
        """The faults are over."""
        for (a, b), link in self.links.items():
            link.cut_until = link.frozen_until = link.slow_until = self._world.now
            link.tear = False
            if link.last_arrival > self._world.now + LONG_DELAY_SECONDS[1]:
                self.break_link(a, b)  # else what a slow link was given would trickle on through the calm

    def connect_later(self, a: str, b: str) -> None:
        """`a` will dial `b` in a moment, as often as it takes."""
        self._world.at(self._rng.uniform(*RECONNECT_SECONDS), lambda: self._connect(a, b))

    def _connect(self, a: str, b: str) -> None:
        world, link = self._world, self.links[a, b]
        dialler, listener = world.nodes[a], world.nodes[b]
        if link.outgoing is not None or dialler.core is None or not self._dials(a, b):
            return
        if listener.core is None or world.now < max(
            link.cut_until, dialler.paused_until, listener.paused_until
        ):
            self.connect_later(a, b)
            return
        introduction = dialler.core.introduction()
        verdict = listener.core.judge(introduction)
        dialler.core.greeted(b, verdict)
        if verdict.code:
            self.connect_later(a, b)
            return
        link.introduction = introduction
        link.outgoing = link.incoming = Connection()  # a newer one replaces an older, without a word
        link.last_arrival = world.now
        link.tear = False
        listener.core.introduced(a, introduction)
        dialler.core.link_up(b)
        self.connect_later(b, a)  # who dials us is dialled back, though we may not know it yet

    def _dials(self, a: str, b: str) -> bool:
        core = self._world.nodes[a].core
        return core is not None and (b in core.addresses() or self.links[b, a].incoming is not None)

    def members_changed(self, node_id: str) -> None:
        """A member knows another configuration: it dials whom that names, and closes links that it forbids."""
        core = self._world.nodes[node_id].core
        assert core is not None
        for a, b in sorted(self.links):
            link = self.links[a, b]
            if b == node_id and link.incoming is not None and core.judge(link.introduction).code:
                link.incoming = None
                core.peer_silent(a)
                self.break_link(a, b)
            if a == node_id and link.outgoing is None:
                self.connect_later(a, b)

    def break_link(self, a: str, b: str, *, drained: bool = False) -> None:
        """The sender loses the connection. The receiver does too: at once, or when it has read what is under way (`drained`)."""
        link = self.links[a, b]
        if link.outgoing is None:
            return
        link.outgoing = None
        if (core := self._world.nodes[a].core) is not None:
            core.link_down(b)
            self.connect_later(a, b)
        if link.incoming is not None and not (drained and link.incoming.queue):
            self._receiver_loses(a, b)

    def _receiver_loses(self, a: str, b: str) -> None:
        link = self.links[a, b]
        link.incoming = None
        if (core := self._world.nodes[b].core) is not None:
            core.peer_silent(a)

    def break_as_chance_will(self, a: str, b: str) -> None:
        """A connection dies as connections do: with what is under way, or after it."""
        self.break_link(a, b, drained=self._rng.random() < LINGER_SHARE)

    def links_of_dead(self, node_id: str) -> None:
        """A process ended: what it sent may still arrive; what was sent to it is lost."""
        for a, b in list(self.links):
            if a == node_id:
                self.break_as_chance_will(a, b)
            elif b == node_id:
                self.links[a, b].incoming = None
                self.break_link(a, b)

    def links_of_unpowered(self, node_id: str) -> None:
        """A machine lost its power: the other ends of its connections stay open until the machine is back and refuses what comes, or
        until somebody misses what should come (`HALF_OPEN_SECONDS`).
        """
        for (a, b), link in self.links.items():
            if a == node_id:
                link.outgoing = None
                if link.incoming is not None:
                    self._half_open(a, b, link.incoming)
            elif b == node_id:
                link.incoming = None
                if link.outgoing is not None:
                    self._half_open(a, b, link.outgoing)

    def _half_open(self, a: str, b: str, connection: Connection) -> None:
        connection.half_open = True
        self._world.at(self._rng.uniform(*HALF_OPEN_SECONDS), lambda: self._missed(a, b, connection))

    def _missed(self, a: str, b: str, connection: Connection) -> None:
        link = self.links[a, b]
        if link.outgoing is connection:
            self.break_link(a, b)
        elif link.incoming is connection:
            self._receiver_loses(a, b)

    def send(self, a: str, b: str, payload: bytes) -> None:
        """Put a message on its way, or lose it."""
        link = self.links[a, b]
        connection = link.outgoing
        if connection is None:
            return
        world, rng = self._world, self._rng
        now = world.now
        self.messages += 1
        world.trace.absorb(payload)
        if world.recorder is not None:
            world.recorder.sent(a, b, payload)
        if now < link.cut_until and rng.random() < NOTICED_IN_CUT_SHARE:
            self.break_as_chance_will(a, b)
            return
        if (
            link.incoming is not connection
        ):  # nobody reads the other end any more, which the sender has not noticed
            if (
                connection.half_open and world.nodes[b].alive and now >= link.cut_until
            ):  # a machine that is back
                world.at(rng.uniform(*USUAL_DELAY_SECONDS), lambda: self._missed(a, b, connection))
            return
        if link.tear:
            self._tear(a, b, connection)
            return
        delay = rng.uniform(
            *(USUAL_DELAY_SECONDS if rng.random() >= LONG_DELAY_SHARE else LONG_DELAY_SECONDS)
        )
        arrival = max(now + delay * self._delays, link.last_arrival, link.frozen_until)
        if now < link.slow_until:
            arrival += len(payload) / link.bytes_per_second
            if connection.unread_bytes > MAX_UNSENT_BYTES:
                self.break_link(a, b, drained=True)
                return
        link.last_arrival = arrival
        connection.queue.append(payload)
        connection.unread_bytes += len(payload)
        world.at(arrival - now, lambda: self._deliver(a, b, connection))

    def _tear(self, a: str, b: str, connection: Connection) -> None:
        """The connection ends inside this frame: the receiver sees its beginning and then the end, the sender notices some time later."""
        link = self.links[a, b]
        link.tear = False
        connection.queue.append(None)
        self._world.at(max(0.0, link.last_arrival - self._world.now), lambda: self._deliver(a, b, connection))

        def notice() -> None:
            if link.outgoing is connection:
                self.break_link(a, b)

        self._world.at(self._rng.uniform(0.0, 0.5), notice)

    def _deliver(self, a: str, b: str, connection: Connection) -> None:
        """The next message of the connection; TCP holds it while the path or the receiver stands still."""
        world, link = self._world, self.links[a, b]
        if link.incoming is not connection:
            return
        node = world.nodes[b]
        until = max(link.cut_until, link.frozen_until, node.paused_until)
        if world.now < until:
            link.last_arrival = max(link.last_arrival, until)
            world.at(until - world.now, lambda: self._deliver(a, b, connection))
            return
        payload = connection.queue.popleft()
        if payload is None:
            self._receiver_loses(a, b)
            return
        connection.unread_bytes -= len(payload)
        node.receive(a, payload)
        lingers = link.outgoing is not connection and link.incoming is connection
        if lingers and not connection.queue and not connection.half_open:
            self._receiver_loses(a, b)  # drained
