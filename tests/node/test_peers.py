"""Links between members over real sockets: the right ones get in, soon; everybody else gets nothing and costs nothing.

Waiting is always for a condition, with a bound. A `Proxy` between two members records, cuts and spoils what goes through it.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from node import links
from node import messages as m
from node.links import HANDSHAKE_SECONDS, MAX_ANSWER_BYTES, MAX_HELLO_BYTES, Answer, Hello
from node.membership import Introduction, Verdict
from node.peers import MAX_STRANGERS, Mesh
from node.secret import Secret

LINES = ["one " + "0" * 40, "two " + "1" * 40, "three " + "2" * 40]
BOUND_SECONDS = 4.0
WELCOME = Verdict("", final=False, index=7)
STRANGER = Verdict("not-a-member", final=True, index=7)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until(condition: Callable[[], object], seconds: float = BOUND_SECONDS) -> None:
    """Wait for a condition; the pause only paces the looking."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not come about in time"
        await asyncio.sleep(0.005)


class End:
    """One member's links, what arrived over them, and a heartbeat as a member has."""

    def __init__(
        self, node_id: str, addresses: dict[str, tuple[str, int]], lines: list[str], cluster: str
    ) -> None:
        self.node_id = node_id
        self.received: list[tuple[str, bytes]] = []
        self.up: set[str] = set()
        self.ups = 0
        self.downs = 0
        self.silent: list[str] = []
        self.accepted: list[Introduction] = []
        self.greeted: list[tuple[str, Verdict]] = []
        self.refuses: dict[str, Verdict] = {}  # by incarnation or name
        self.incarnation = "disk of " + node_id
        self.introduced = 0
        self.raft = "{}:{}".format(*addresses[node_id])
        self.mesh = Mesh(
            cluster=cluster,
            node_id=node_id,
            listen=addresses[node_id],
            secret=Secret(lines),
            introduce=self._introduce,
            judge=lambda who: self.refuses.get(who.incarnation, self.refuses.get(who.member_id, WELCOME)),
            on_frame=lambda peer_id, payload: self.received.append((peer_id, payload)),
            on_up=self._on_up,
            on_down=self._on_down,
            on_accepted=self._on_accepted,
            on_silent=self.silent.append,
            on_greeted=lambda peer_id, verdict: self.greeted.append((peer_id, verdict)),
        )
        self.mesh.set_peers(addresses)
        self._beat: asyncio.Task[None] | None = None

    def _introduce(self) -> Introduction:
        self.introduced += 1
        return Introduction(self.node_id, self.incarnation, "f" * 32, self.introduced, self.raft)

    def _on_accepted(self, peer_id: str, introduction: Introduction) -> None:
        assert peer_id == introduction.member_id
        self.accepted.append(introduction)

    def _on_up(self, peer_id: str) -> None:
        self.ups += 1
        self.up.add(peer_id)

    def _on_down(self, peer_id: str) -> None:
        self.downs += 1
        self.up.discard(peer_id)

    async def start(self) -> End:
        await self.mesh.start()
        self._beat = asyncio.get_running_loop().create_task(self._beats())
        return self

    async def _beats(self) -> None:
        while True:
            for peer_id in sorted(self.up):
                self.mesh.send(peer_id, b"beat")
            self.mesh.flush()
            await asyncio.sleep(0.1)

    def send(self, peer_id: str, *payloads: bytes) -> None:
        for payload in payloads:
            self.mesh.send(peer_id, payload)
        self.mesh.flush()

    async def close(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        await self.mesh.close()

    def payloads(self, peer_id: str) -> list[bytes]:
        return [payload for sender, payload in self.received if sender == peer_id and payload != b"beat"]


class Proxy:
    """Stands where one member expects another: passes bytes on, remembers them, and does harm on demand."""

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        self._target_port = target_port
        self.recorded: list[bytearray] = []  # what the dialler said, by connection
        self.answered: list[bytearray] = []
        self.flip_at: int | None = None  # byte of the next connections' stream to spoil
        self.frozen = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            onward = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(onward[1])
        said, heard = bytearray(), bytearray()
        self.recorded.append(said)
        self.answered.append(heard)
        back = asyncio.get_running_loop().create_task(self._pass(onward[0], writer, heard, False))
        self._tasks.add(back)
        with suppress(asyncio.CancelledError):  # `close` ends it, and nobody waits for more
            await self._pass(reader, onward[1], said, True)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray, spoil: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if spoil and self.frozen.is_set():
                    await asyncio.Event().wait()
                start = len(record)
                record += data
                if spoil and self.flip_at is not None and start <= self.flip_at < len(record):
                    data = bytearray(data)  # type: ignore[assignment]
                    data[self.flip_at - start] ^= 1  # type: ignore[index]
                    self.flip_at = None
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()


class Net:
    """Makes ends and proxies, and closes them."""

    def __init__(self) -> None:
        self.addresses = {node_id: ("127.0.0.1", free_port()) for node_id in ("n1", "n2", "n3")}
        self._opened: list[End | Proxy] = []
        self._strangers: list[asyncio.StreamWriter] = []

    async def end(
        self,
        node_id: str,
        lines: list[str] | None = None,
        cluster: str = "desks",
        through: dict[str, Proxy] | None = None,
        addresses: dict[str, tuple[str, int]] | None = None,
        refuses: dict[str, Verdict] | None = None,
        raft: str | None = None,
    ) -> End:
        known = dict(self.addresses if addresses is None else addresses)
        for peer_id, proxy in (through or {}).items():
            known[peer_id] = ("127.0.0.1", proxy.port)
        end = End(node_id, known, lines or LINES[:1], cluster)
        end.refuses = refuses or {}
        end.raft = end.raft if raft is None else raft
        self._opened.append(end)
        return await end.start()

    async def proxy(self, to: str) -> Proxy:
        proxy = Proxy(free_port(), self.addresses[to][1])
        self._opened.append(proxy)
        return await proxy.start()

    async def stranger(self, to: str = "n1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.addresses[to])
        self._strangers.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self._strangers:
            writer.transport.abort()
        for opened in self._opened:
            await opened.close()
        await asyncio.sleep(0.01)  # aborted connections end in the loop's next turns


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    net = Net()
    yield net
    await net.close()


async def said_before_closing(reader: asyncio.StreamReader, seconds: float = BOUND_SECONDS) -> bytes:
    """Everything the other side says until it closes; it must close."""
    said = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(seconds):
            said = await reader.read()
    return said


def hello_bytes(
    *,
    secret: Secret | None = None,
    version: int = 2,
    cluster: str = "desks",
    sender: str = "n2",
    receiver: str = "n1",
    kid: str | None = None,
) -> bytes:
    """A hello as a member makes it, with whatever is wrong with it, correctly signed with that secret."""
    secret = secret or Secret(LINES[:1])
    introduction = Introduction(sender, "disk of " + sender, "", 0, "127.0.0.1:1")
    hello = Hello(version, cluster, receiver, kid or secret.active_kid, secrets.token_bytes(32), introduction)
    raw = msgspec.msgpack.encode(hello)
    mac = links.keyed_mac(secret.derive(b"peer hello"), raw)
    return len(raw).to_bytes(2, "little") + raw + mac


async def test_members_connect_and_frames_arrive_in_order(net: Net) -> None:
    """The way it should be: both directions up, every frame once, in order, whole, whatever its size."""
    one, two = await net.end("n1"), await net.end("n2")
    await until(lambda: "n2" in one.up and "n1" in two.up)
    sent = [secrets.token_bytes(size) for size in [0, 1, 100, 70_000, 1 << 20, 5, m.MAX_MESSAGE_BYTES]]
    for payload in sent:
        one.send("n2", payload)
        two.send("n1", payload[::-1])
    await until(lambda: len(two.payloads("n1")) == len(sent) == len(one.payloads("n2")))
    assert two.payloads("n1") == sent
    assert one.payloads("n2") == [payload[::-1] for payload in sent]
    assert (one.downs, two.downs) == (0, 0)


@pytest.mark.parametrize(
    ("lines", "cluster"),
    [(LINES[1:2], "desks"), (LINES[:1], "tables")],
    ids=["another secret", "another cluster"],
)
async def test_who_does_not_belong_gets_no_link(net: Net, lines: list[str], cluster: str) -> None:
    """It dials for a while and is refused each time; not one frame passes in either direction, and the log says so."""
    one = await net.end("n1")
    other = await net.end("n2", lines, cluster)
    await until(lambda: one.mesh.refused >= 3)
    assert not one.up
    assert not other.up
    assert not one.accepted
    assert not other.greeted
    assert not one.received
    assert not other.received


async def test_a_hello_for_another_member_is_of_no_use(net: Net) -> None:
    """Somebody in the middle passes a true hello on to a third member: it is not the one addressed, and stays silent."""
    await net.end("n3")
    proxy = await net.proxy("n3")
    two = await net.end("n2", through={"n1": proxy})
    await until(lambda: len(proxy.recorded) >= 3)
    assert not any(proxy.answered)
    assert "n1" not in two.up


WRONG_HELLOS: dict[str, bytes] = {
    "nothing": b"",
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(600),
    "zeros": bytes(2000),
    "a length over the limit": (MAX_HELLO_BYTES + 1).to_bytes(2, "little"),
    "no msgpack": (4).to_bytes(2, "little") + b"\xc1\xc1\xc1\xc1" + bytes(32),
    "a wrong signature": hello_bytes()[:-1] + b"\0",
    "another secret": hello_bytes(secret=Secret(LINES[1:2])),
    "another key id": hello_bytes(kid="0" * 12),
    "a text that is none": (4).to_bytes(2, "little") + b"\x96\x02\xa1\xff" + bytes(32),
    "another version": hello_bytes(version=1),
    "another cluster": hello_bytes(cluster="tables"),
    "another receiver": hello_bytes(receiver="n3"),
    "the member itself": hello_bytes(sender="n1"),
}


async def test_a_stranger_receives_not_one_byte_and_is_closed(net: Net) -> None:
    """Whatever is wrong with it, at once or within the time of a handshake; a member that comes meanwhile gets in."""
    one = await net.end("n1")
    began = asyncio.get_running_loop().time()

    async def knock(data: bytes) -> bytes:
        reader, writer = await net.stranger()
        writer.write(data)
        said = await said_before_closing(reader)
        writer.close()
        return said

    answers = await asyncio.gather(*(knock(data) for data in WRONG_HELLOS.values()))
    assert dict(zip(WRONG_HELLOS, answers, strict=True)) == dict.fromkeys(WRONG_HELLOS, b"")
    assert asyncio.get_running_loop().time() - began < HANDSHAKE_SECONDS + 3.0
    assert not one.received
    two = await net.end("n2")
    await until(lambda: "n2" in one.up and "n1" in two.up)


async def test_who_connects_and_dawdles_is_closed(net: Net) -> None:
    """Nothing, half a hello, one byte at a time, or a true hello without a frame behind it: closed when the handshake's time is over."""
    await net.end("n1")
    began = asyncio.get_running_loop().time()

    async def dawdle(data: bytes, drip: bool) -> int:
        reader, writer = await net.stranger()
        closed = asyncio.get_running_loop().create_task(said_before_closing(reader))
        writer.write(data)
        while drip and not closed.done():
            with suppress(ConnectionError):
                writer.write(b"\0")
                await writer.drain()
            await asyncio.wait([closed], timeout=0.05)
        said = await closed
        writer.close()
        return len(said)

    true_hello = hello_bytes()
    said = await asyncio.gather(
        dawdle(b"", False),
        dawdle(true_hello[:20], False),
        dawdle((300).to_bytes(2, "little"), True),
        dawdle(true_hello, False),
    )
    lasted = asyncio.get_running_loop().time() - began
    assert HANDSHAKE_SECONDS * 0.9 < lasted < HANDSHAKE_SECONDS + 3.0
    assert list(said[:3]) == [0, 0, 0]
    assert 64 < said[3] <= 2 + MAX_ANSWER_BYTES + 32, (
        "who proved to know the secret gets the verdict, and no more"
    )


async def test_a_recorded_conversation_is_of_no_use(net: Net) -> None:
    """A hello with all frames behind it, recorded and said again: the answer to it is new, so no frame of it is authentic."""
    one = await net.end("n1")
    proxy = await net.proxy("n1")
    two = await net.end("n2", through={"n1": proxy})
    await until(lambda: "n1" in two.up)
    two.send("n1", b"pay me")
    await until(lambda: one.payloads("n2") == [b"pay me"])
    recording = bytes(proxy.recorded[0])
    assert b"pay me" in recording
    await two.close()
    await until(lambda: one.silent == ["n2"])
    count, accepted = len(one.received), list(one.accepted)
    reader, writer = await net.stranger()
    writer.write(recording)
    await said_before_closing(reader)
    writer.close()
    assert len(one.received) == count
    assert one.accepted == accepted
    assert one.silent == ["n2"], "it never counted as that member"


async def test_a_recorded_hello_costs_no_memory(net: Net) -> None:
    """Until its first frame is authentic the other side may be anybody: it cannot make the member collect megabytes."""
    one = await net.end("n1")
    reader, writer = await net.stranger()
    writer.write(hello_bytes())
    assert await reader.read(1024)
    writer.write((m.MAX_MESSAGE_BYTES).to_bytes(4, "little") + bytes(16))
    writer.write(bytes(6 << 20))
    most = 0
    closed = asyncio.get_running_loop().create_task(said_before_closing(reader))
    while not closed.done():
        most = max([most, *(len(link._buffer) for link in one.mesh._strangers)])
        await asyncio.wait([closed], timeout=0.01)
    writer.close()
    assert most < 1 << 20
    assert not one.received


@pytest.mark.parametrize("where", ["length", "mac", "payload"])
async def test_a_spoiled_frame_closes_the_link_and_is_not_delivered(net: Net, where: str) -> None:
    """One flipped bit anywhere in a frame; afterwards the members connect anew and go on."""
    one = await net.end("n1")
    proxy = await net.proxy("n1")
    two = await net.end("n2", through={"n1": proxy})
    await until(lambda: one.received)
    begin = len(proxy.recorded[0])
    proxy.flip_at = begin + {"length": 3, "mac": 4, "payload": 20 + 3}[where]
    await until(lambda: two.downs == 1 and two.ups == 2)
    assert {payload for _, payload in one.received} == {b"beat"}
    two.send("n1", b"after")
    await until(lambda: one.payloads("n2") == [b"after"])


async def test_an_overlong_frame_is_refused_when_it_is_announced(net: Net) -> None:
    """The length alone closes the link; nothing is collected until it would be complete."""
    one, two = await net.end("n1"), await net.end("n2")
    await until(lambda: "n1" in two.up and one.received)
    two.send("n1", bytes(m.MAX_MESSAGE_BYTES + 1))
    await until(lambda: two.downs == 1 and two.ups == 2)
    assert not one.payloads("n2")
    assert one.silent == ["n2"]


async def test_two_hundred_strangers_keep_no_member_out(net: Net) -> None:
    """They come at once and stay as long as they are let; only a bounded number is kept, and a real peer gets in among them."""
    one = await net.end("n1")
    strangers = await asyncio.gather(*(net.stranger() for _ in range(200)))
    two = await net.end("n2")
    more = await asyncio.gather(*(net.stranger() for _ in range(100)))
    most = len(one.mesh._strangers)
    await until(lambda: "n2" in one.up and "n1" in two.up and one.received)
    assert most <= MAX_STRANGERS
    two.send("n1", b"here")
    await until(lambda: one.payloads("n2") == [b"here"])
    await until(lambda: not one.mesh._strangers)
    assert one.downs == 0

    async def said(reader: asyncio.StreamReader) -> bytes:
        # Whom the machine's own queue never let through is not closed either, so there is no end to wait for.
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(0.2):
                return await reader.read(1)
        return b""

    assert not any(await asyncio.gather(*(said(reader) for reader, _ in [*strangers, *more])))


class Malice:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self._path),)


async def test_a_pickle_does_nothing(net: Net, tmp_path: Path) -> None:
    """H9: neither as a hello, nor as a frame of a true member, nor as a message or an entry is anything ever unpickled."""
    bomb = pickle.dumps(Malice(tmp_path / "boom"), protocol=2)
    one, two = await net.end("n1"), await net.end("n2")
    reader, writer = await net.stranger()
    writer.write(len(bomb).to_bytes(4, "big") + bomb + bytes(600))
    assert await said_before_closing(reader) == b""
    writer.close()
    await until(lambda: "n1" in two.up)
    two.send("n1", bomb)
    await until(lambda: one.payloads("n2"))
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        m.decode(one.payloads("n2")[0])
    assert not (tmp_path / "boom").exists()
    pickle.loads(bomb)  # the control: it would have worked
    assert (tmp_path / "boom").exists()


async def test_a_link_that_overflows_is_closed(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that reads no more is not kept in memory for ever: the link breaks and says so, and nothing is thinned out."""
    monkeypatch.setattr(links, "MAX_UNSENT_BYTES", 4 << 20)
    one = await net.end("n1")
    proxy = await net.proxy("n1")
    two = await net.end("n2", through={"n1": proxy})
    await until(lambda: "n1" in two.up and one.received)
    proxy.frozen.set()
    count = 0
    while not two.downs:
        two.send("n1", bytes(1 << 20))
        count += 1
        assert count < 100, "it takes ever more"
        await asyncio.sleep(0)
    proxy.frozen.clear()
    await until(lambda: two.ups == 2)


async def test_links_come_back_after_a_cut(net: Net) -> None:
    """Both sides notice that a connection broke, and it is there again soon, time after time."""
    one = await net.end("n1")
    proxy = await net.proxy("n1")
    two = await net.end("n2", through={"n1": proxy})
    for number in range(1, 4):
        await until(lambda: "n1" in two.up and one.received)
        one.received.clear()
        proxy.cut()
        await until(lambda: two.downs == number and len(one.silent) == number)  # noqa: B023 - called at once
    await until(lambda: "n1" in two.up)
    two.send("n1", b"back")
    await until(lambda: one.payloads("n2") == [b"back"])


async def test_a_member_that_comes_later_is_found(net: Net) -> None:
    """Dialling goes on while nobody listens; a restarted peer's new connection replaces the old one."""
    two = await net.end("n2")
    await until(lambda: two.introduced == 0 and two.mesh._dialling)
    one = await net.end("n1")
    await until(lambda: "n1" in two.up and "n2" in one.up)
    await one.close()
    await until(lambda: "n1" not in two.up)
    again = await net.end("n1")
    await until(lambda: "n1" in two.up and "n2" in again.up)


async def test_a_peer_that_connects_anew_replaces_its_older_connection(net: Net) -> None:
    """After a cut that only one side noticed there are two links from one peer for a moment: the newer counts, and none is taken for silence."""
    one = await net.end("n1")
    proxy = await net.proxy("n1")
    two = await net.end("n2", through={"n1": proxy})
    await until(lambda: one.received)
    two.mesh.redial("n1")
    await until(lambda: two.ups == 2)
    two.send("n1", b"again")
    await until(lambda: one.payloads("n2") == [b"again"])
    assert len(one.mesh._accepted) == 1


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ([LINES[0], LINES[1]], [LINES[0]]),
        ([LINES[0], LINES[1]], [LINES[1], LINES[0]]),
        ([LINES[1], LINES[0]], [LINES[1]]),
        ([LINES[2], LINES[0], LINES[1]], [LINES[1], LINES[2]]),
    ],
)
async def test_the_secret_is_rotated_without_a_pause(net: Net, mine: list[str], theirs: list[str]) -> None:
    """In each step of a rotation members with different first lines understand each other, as long as both know both active lines."""
    one, two = await net.end("n1", mine), await net.end("n2", theirs)
    await until(lambda: "n2" in one.up and "n1" in two.up)
    one.send("n2", b"to two")
    two.send("n1", b"to one")
    await until(lambda: two.payloads("n1") == [b"to two"] and one.payloads("n2") == [b"to one"])


async def test_a_line_that_was_taken_away_opens_nothing(net: Net) -> None:
    """The end of a rotation: who still signs with the old line is refused."""
    one, two = await net.end("n1", [LINES[1]]), await net.end("n2", [LINES[0], LINES[1]])
    await until(lambda: one.mesh.refused >= 2 and "n2" in one.up)
    assert "n1" not in two.up


async def test_a_listener_that_does_not_know_the_secret_gets_no_frame(net: Net) -> None:
    """Whoever answers at a member's address must prove itself before anything is said to it."""
    heard: list[bytes] = []

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(4096))
        writer.write(secrets.token_bytes(64))
        with suppress(ConnectionError):
            heard.append(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(impostor, *net.addresses["n1"])
    two = await net.end("n2")
    await until(lambda: len(heard) >= 6)
    server.close()
    assert not two.up
    assert two.ups == 0
    hellos = heard[0::2]
    assert all(len(data) < 2 + MAX_HELLO_BYTES + 32 for data in hellos)
    assert not any(b"beat" in data for data in heard)


# Who is let in.


async def test_a_welcome_tells_both_sides_of_each_other(net: Net) -> None:
    """The listener learns which disk has come and what it knows; the dialler learns the verdict; the introduction is asked for at each dial."""
    one, two = await net.end("n1"), await net.end("n2")
    await until(lambda: "n2" in one.up and "n1" in two.up and one.accepted and two.accepted)
    assert one.accepted == [
        Introduction("n2", "disk of n2", "f" * 32, one.accepted[0].configuration_index, two.raft)
    ]
    assert two.greeted == [("n1", WELCOME)]
    two.mesh.redial("n1")
    await until(lambda: len(one.accepted) == 2 and two.ups == 2)
    first, second = one.accepted
    assert second.configuration_index > first.configuration_index


async def test_a_refusal_is_delivered_and_nothing_else(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    """Each try is answered with the verdict, ever more calmly; no frame passes; the reason stands in each log once."""
    one = await net.end("n1", refuses={"disk of n2": STRANGER})
    began = asyncio.get_running_loop().time()
    two = await net.end("n2")
    await until(lambda: len(two.greeted) == 4)
    # Pauses of 0.2, 0.4 and 0.8 seconds, less their jitter.
    assert asyncio.get_running_loop().time() - began > 1.0
    assert two.greeted == [("n1", STRANGER)] * 4
    assert not two.up
    assert not one.accepted
    assert not one.silent
    assert one.mesh.refused == 0, "a member is no stranger"
    assert caplog.text.count("refused the member n2: not a member of the cluster") == 1
    assert caplog.text.count("refuses this member: not a member of the cluster") == 1
    one.refuses.clear()
    await until(lambda: "n1" in two.up and one.accepted)
    assert two.greeted[4:] == [("n1", WELCOME)]


async def test_a_member_that_no_configuration_knows_is_told(net: Net) -> None:
    """It holds the secret, so it is no stranger: it gets its verdict, and is not dialled back."""
    one = await net.end("n1", refuses={"n9": STRANGER})
    addresses = {**net.addresses, "n9": ("127.0.0.1", free_port())}
    nine = await net.end("n9", addresses=addresses)
    await until(lambda: ("n1", STRANGER) in nine.greeted)
    assert "n9" not in one.mesh._dialling
    assert not nine.accepted


def answer_bytes(secret: Secret, hello: bytes, verdict: Verdict) -> bytes:
    """An answer as a listener makes it."""
    raw = msgspec.msgpack.encode(Answer(secrets.token_bytes(32), verdict))
    return len(raw).to_bytes(2, "little") + raw + links.keyed_mac(secret.derive(b"peer accept"), hello, raw)


@pytest.mark.parametrize("forgery", ["invented", "repeated", "changed", "too long", "no answer"])
async def test_a_forged_refusal_is_not_believed(net: Net, forgery: str) -> None:
    """A member stops for a refusal, so it must be of its own listener and of now: not invented, repeated or changed on the way."""
    secret = Secret(LINES[:1])
    others = hello_bytes()[2:-32]  # another hello, that was truly refused
    repeated = answer_bytes(secret, others, STRANGER)
    tries = 0

    async def forger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        heard = await reader.read(4096)
        true = answer_bytes(secret, heard[2:-32], WELCOME)
        writer.write(
            {
                "invented": answer_bytes(Secret(LINES[1:2]), heard[2:-32], STRANGER),
                "repeated": repeated,
                "changed": true[:-33] + bytes([true[-33] ^ 1]) + true[-32:],
                "too long": (MAX_ANSWER_BYTES + 1).to_bytes(2, "little") + bytes(40),
                "no answer": true + b"x",
            }[forgery]
        )
        with suppress(ConnectionError):
            assert await reader.read(4096) == b"", "nothing is said to it"
        tries += 1
        writer.close()

    server = await asyncio.start_server(forger, *net.addresses["n1"])
    two = await net.end("n2")
    await until(lambda: tries >= 3)
    server.close()
    assert not two.greeted
    assert not two.up


async def test_a_true_refusal_is_believed(net: Net) -> None:
    """The control of the forgeries: the same answer, made from this hello with the secret, counts."""

    async def listener(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = await reader.read(4096)
        writer.write(answer_bytes(Secret(LINES[:1]), heard[2:-32], STRANGER))
        with suppress(ConnectionError):
            await reader.read(4096)
        writer.close()

    server = await asyncio.start_server(listener, *net.addresses["n1"])
    two = await net.end("n2")
    await until(lambda: two.greeted)
    server.close()
    assert two.greeted[0] == ("n1", STRANGER)


async def test_a_recorded_hello_has_no_effect(net: Net) -> None:
    """Said again it gets a verdict, since it was authentic once, and nothing comes of it: nobody counts as come, nobody is dialled back."""
    one = await net.end("n1")
    reader, writer = await net.stranger()
    writer.write(hello_bytes(sender="n8"))
    said = await said_before_closing(reader)
    writer.close()
    assert 64 < len(said) <= 2 + MAX_ANSWER_BYTES + 32
    assert not one.accepted
    assert "n8" not in one.mesh._dialling
    assert not one.silent


async def test_links_are_judged_again_when_the_configuration_has_changed(net: Net) -> None:
    """Whoever is refused now is cut off at once, learns why at its next dial, and comes back when it may."""
    one, two = await net.end("n1"), await net.end("n2")
    await net.end("n3")
    await until(lambda: {"n2", "n3"} <= {who.member_id for who in one.accepted} and "n1" in two.up)
    one.mesh.rejudge()
    one.refuses["disk of n2"] = STRANGER
    one.mesh.rejudge()
    await until(lambda: one.silent == ["n2"] and two.downs == 1 and ("n1", STRANGER) in two.greeted)
    one.refuses.clear()
    await until(lambda: "n1" in two.up)
    assert one.silent == ["n2"], "the others were left alone"


async def test_a_judgement_that_changes_during_the_handshake_counts(net: Net) -> None:
    """The welcome has been said, the first frame has not come, and the configuration changes in between: the link does not come up."""
    one = await net.end("n1")
    proxy = await net.proxy("n1")
    judged = one.mesh.judge
    verdicts = [WELCOME, STRANGER]
    one.mesh.judge = lambda who: verdicts.pop(0) if verdicts and who.member_id == "n2" else judged(who)
    two = await net.end("n2", through={"n1": proxy})
    await until(lambda: two.ups == 2 and one.accepted)
    assert two.downs == 1
    assert len(one.accepted) == 1
    assert not one.silent, "what never was up did not go down"


async def test_the_set_of_peers_changes_at_any_time(net: Net) -> None:
    """A new one is dialled, one that is gone is left in peace, one that has moved is dialled where it is now."""
    one, two = await net.end("n1"), await net.end("n2")
    three = await net.end("n3")
    await until(lambda: one.up == {"n2", "n3"} and "n1" in two.up and "n1" in three.up)
    for end in (one, two):
        end.refuses["n3"] = STRANGER  # as the same configuration does that takes it out of the set
        end.mesh.set_peers({"n1": net.addresses["n1"], "n2": net.addresses["n2"]})
        end.mesh.rejudge()
    three.mesh.set_peers({})
    await until(lambda: one.up == {"n2"} and two.up == {"n1"} and not three.up)
    assert not three.mesh._dialling
    one.refuses.clear()
    proxy = await net.proxy("n2")
    one.mesh.set_peers({"n2": ("127.0.0.1", proxy.port), "n3": net.addresses["n3"]})
    await until(lambda: one.up == {"n2", "n3"} and proxy.recorded)
    one.send("n2", b"moved")
    await until(lambda: two.payloads("n1") == [b"moved"])
    assert b"moved" in proxy.recorded[0]


async def test_who_is_welcome_and_unknown_is_dialled_back(net: Net) -> None:
    """It knows a newer configuration than we do: it is answered at the address it gave, for as long as its own link stands."""
    known = {"n1": net.addresses["n1"]}
    one = await net.end("n1", addresses=known)
    addresses = {"n9": ("127.0.0.1", free_port()), **known}
    nine = await net.end("n9", addresses=addresses)
    await until(lambda: one.up == {"n9"} and nine.up == {"n1"})
    one.send("n9", b"hello, whoever you are")
    await until(lambda: nine.payloads("n1"))
    await nine.close()
    await until(lambda: one.silent == ["n9"] and not one.up)
    assert not one.mesh._dialling


@pytest.mark.parametrize(
    "raft", ["", "nowhere", "host:", ":7000", "host:0", "host:99999", "host:-1", "a..b:7000", "host:\u0661"]
)
async def test_an_address_that_is_none_is_not_dialled(net: Net, raft: str) -> None:
    """What a member says of itself may be nonsense; its own link is as good as any, and nothing breaks."""
    known = {"n1": net.addresses["n1"]}
    one = await net.end("n1", addresses=known)
    nine = await net.end("n9", addresses={"n9": ("127.0.0.1", free_port()), **known}, raft=raft)
    await until(lambda: one.accepted)
    nine.send("n1", b"here")
    await until(lambda: one.payloads("n9") == [b"here"])
    assert not one.up
    assert all(not dialling._task.done() for dialling in one.mesh._dialling.values())
