"""Outside of the cluster: thousands of people who look, and a receiver of webhooks that dies.

Open event streams at one member cost memory and connections but no answers. Most of them wait for something that does not happen, as most
pages of a browser do; a few hear everything. What those hear is held against each other when the crowd goes: in order, once, and without holes.
"""

from __future__ import annotations

import asyncio

from tests.chaos.faults.field import Field
from tests.integration.listeners import Listener, allow_descriptors, open_streams

STREAMS = 2000
ALL_EARS = 40  # of them hear everything
QUIET = "?type=deskraft.space"  # nobody changes a space in a storm
TURNED_AWAY = (
    b"lost",
    b"HTTP/1.1 429",
    b"HTTP/1.1 503",
)  # what a member may answer that has no leader, or enough
DESCRIPTORS = 3 * STREAMS + 1000  # of this process: the crowd, that of an overlapping one, and all else


def missing_descriptors() -> str:
    """Why this machine does not allow a crowd; "" when it does, and then this process has what it needs."""
    return "" if allow_descriptors(DESCRIPTORS) else f"this process may not open {DESCRIPTORS} files"


async def streams(at: Field, seconds: float) -> None:
    """A crowd comes to one member at once, stays, and leaves at one moment."""
    node = at.victim()
    with at.striking("streams", node.id, down=False):
        opened = await open_streams(
            node.api,
            STREAMS,
            lambda _: "",
            lambda number: "" if number < ALL_EARS else QUIET,
        )
        crowd = [one for one in opened if isinstance(one, Listener)]
        lines = {one for one in opened if isinstance(one, bytes) and one.startswith(b"HTTP")}
        at.wrong += [
            f"{node.id} answered {line.decode()} to a stream"
            for line in lines
            if not line.startswith(TURNED_AWAY)
        ]
        try:
            ears = [one for one in opened[:ALL_EARS] if isinstance(one, Listener)]
            begun = [len(one.places) for one in ears]
            await asyncio.sleep(seconds)
            heard = [
                one.places[was:]
                for one, was in zip(ears, begun, strict=True)
                if not one.transport.is_closing()
            ]
        finally:
            for one in crowd:
                one.transport.abort()
    at.wrong += complaints(node.id, heard)


async def receiver(at: Field, seconds: float) -> None:
    """The receiver of webhooks dies in the middle of whatever it does, and comes back over its file."""
    assert at.receiver is not None
    with at.striking("receiver", down=False):
        at.receiver.kill()
        try:
            await asyncio.sleep(seconds)
        finally:
            at.receiver.start()


def complaints(member: str, heard: list[list[tuple[int, int]]]) -> list[str]:
    """What is wrong with what streams of one member heard in the same seconds."""
    wrong = [
        f"a stream of {member} was told twice or out of order" for one in heard if one != sorted(set(one))
    ]
    everything = sorted({place for one in heard for place in one})
    for one in heard:
        # Whoever came or was cut off a moment earlier hears a piece of the whole, and a piece has no holes.
        inside = [place for place in everything if one and one[0] <= place <= one[-1]]
        if inside != one:
            wrong.append(f"a stream of {member} was not told of {sorted(set(inside) - set(one))[:3]}")
    return wrong
