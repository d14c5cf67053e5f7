"""Who is let in, over real sockets: introductions, verdicts that can be believed, and a set of peers that changes while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from node import peers
from node.links import MAX_ANSWER_BYTES
from node.membership import Introduction
from node.secret import Secret
from tests.node.mesh import (
    LINES,
    STRANGER,
    WELCOME,
    Net,
    answer_bytes,
    free_port,
    hello_bytes,
    said_before_closing,
    until,
)


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    net = Net()
    yield net
    await net.close()


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


async def test_a_peer_that_has_moved_is_found_where_it_says(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our file has an old address of it; while its own link to us stands, what it says of itself is tried as well."""
    monkeypatch.setattr(peers, "OTHER_ADDRESS_SECONDS", 0.2)
    old = {**net.addresses, "n2": ("127.0.0.1", free_port())}
    one = await net.end("n1", addresses=old)
    await net.end("n2")
    await until(lambda: "n2" in one.up)


async def test_a_file_that_is_right_is_followed(net: Net) -> None:
    """What a peer says of itself is not asked while the address that we were given works: it may be one that only its own machine reaches."""
    one, two = await net.end("n1"), await net.end("n2")
    two.raft = f"127.0.0.1:{free_port()}"
    await until(lambda: "n2" in one.up and "n1" in two.up)
    one.mesh.redial("n2")
    await until(lambda: one.downs == 1 and "n2" in one.up)
