"""Links between members over real sockets: the right ones get in, soon; everybody else gets nothing and costs nothing.

Waiting is always for a condition, with a bound. A `Proxy` between two members records, cuts and spoils what goes through it.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from node import links
from node import messages as m
from node.links import HANDSHAKE_SECONDS, MAX_ANSWER_BYTES, MAX_HELLO_BYTES
from node.peers import MAX_STRANGERS
from node.secret import Secret
from tests.node.mesh import LINES, Net, hello_bytes, said_before_closing, until


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    net = Net()
    yield net
    await net.close()


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


@pytest.mark.parametrize(
    ("closes", "words"), [(True, "closed our handshake"), (False, "leaves our handshake open")]
)
async def test_who_hangs_is_told_from_who_closes(
    net: Net, caplog: pytest.LogCaptureFixture, closes: bool, words: str
) -> None:
    """An operator should not look for a secret that differs when a process hangs, or packets get lost."""
    kept: list[asyncio.StreamWriter] = []

    async def listener(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept.append(writer)
        if closes:
            writer.close()

    server = await asyncio.start_server(listener, *net.addresses["n1"])
    two = await net.end("n2")
    await until(lambda: words in caplog.text)
    assert caplog.text.count("our handshake") == caplog.text.count(words)
    await two.close()
    for writer in kept:
        writer.close()
    server.close()
    await server.wait_closed()


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
