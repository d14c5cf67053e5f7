"""The open event streams of a node: one hub that writes to all of them, and what bounds them.

**One writer.** A stream has no task and no queue. It is a place in the feed and a connection; what it has not been sent yet
is in the feed, which every node keeps anyway. A single task waits until something has been applied, takes the events
once, and writes the same bytes to every connection whose reader sees the same. What is written is applied, and what is applied
is committed: nothing is ever taken back.

**A slow reader** is left alone while STREAM_BUFFER_BYTES wait in its connection, and cut off after STALLED_SECONDS of that;
it comes back with the place that it has reached. So a stream costs at most its buffer and one batch.

**Bounds.** MAX_STREAMS in all, half of them for readers without a log-in, MAX_STREAMS_PER_USER: 429. After a pass over the
streams the hub rests for as long as the pass took, and within a pass it lets others have their turn: requests come first.

**Who may read on** is asked again whenever something has happened to the user, and at least with each heartbeat: a stream ends with
the token, the session or the role that it was opened with; and all of them when the node has lost the cluster.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from msgspec import structs

from api.problems import Refusal
from api.telling import Tale, Teller, View
from node.cloudevents import place_text
from node.replica import Replica, UnavailableError
from statemachine.feed import BEGINNING, Feed, Place

MAX_STREAMS = 10_000
MAX_STREAMS_PER_USER = 20
HEARTBEAT_SECONDS = 15.0
STALLED_SECONDS = 20.0  # with a full buffer, before a reader is cut off
STREAM_BUFFER_BYTES = 16 * 1024  # that wait in a connection before it is given more
BATCH_EVENTS = 32  # written to a stream at once
RETRY_MS = 1_000  # what a browser waits before it comes back
LOST_SECONDS = 5.0  # without a leader or hopelessly behind, before readers are sent elsewhere
TICK_SECONDS = 1.0
STREAMS_A_TURN = 50
_REST_SECONDS = 0.5  # at most, between two passes

log = logging.getLogger("deskraft.api")


class Stream:
    """One open connection. `alive` says whether its reader may still read."""

    __slots__ = (
        "alive",
        "chunked",
        "ended",
        "full_since",
        "others_view",
        "place",
        "transport",
        "view",
        "written_at",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        view: View,
        place: Place,
        alive: Callable[[], bool],
        *,
        chunked: bool,
    ) -> None:
        self.transport = transport
        self.view = view
        self.others_view = structs.replace(view, user_id="")  # what is not about the reader looks so to all
        self.place = place
        self.alive = alive
        self.chunked = chunked  # HTTP/1.0 knows no chunks
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.written_at = 0.0
        self.full_since = 0.0  # 0: takes what it is given

    def write(self, message: bytes, now: float) -> None:
        """Hand bytes to the connection, in a chunk of their own (RFC 9112, 7.1)."""
        self.transport.write(b"%x\r\n%s\r\n" % (len(message), message) if self.chunked else message)
        self.written_at = now

    def end(self) -> None:
        """Let the answer end."""
        if not self.ended.done():
            self.ended.set_result(None)


class _Batch:
    """The next events after a place, and whom they are about."""

    __slots__ = ("tales", "users")

    def __init__(self, tales: list[Tale]) -> None:
        self.tales = tales
        self.users = {user for tale in tales for user in tale.story.users}


class Streams:
    """All streams of this node."""

    def __init__(self, replica: Replica, cluster: str) -> None:
        self.limit = MAX_STREAMS
        self.cut_off = 0  # slow readers, ever
        self.teller = Teller(cluster)
        self._replica = replica
        self._open: dict[Stream, None] = {}
        self._by_user: dict[str, dict[Stream, None]] = {}
        self._pump: asyncio.Task[None] | None = None
        self._closed = False
        self._somebody_is_behind = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, user_id: str) -> None:
        """Raise `Refusal` when there is no room for one more stream of this user; "" is anybody."""
        if self._closed or self._replica.stopping:
            raise Refusal("unavailable", "This node is stopping. Ask another.")
        mine = self._by_user.get(user_id, {})
        bound = MAX_STREAMS_PER_USER if user_id else self.limit // 2
        if len(mine) >= bound:
            for stream in [each for each in mine if each.transport.is_closing()]:
                self._forget(stream)
        if len(self._by_user.get(user_id, ())) >= bound or len(self._open) >= self.limit:
            raise Refusal("overloaded", "Enough streams are open here. Close one, or ask another node.")

    async def body(self, stream: Stream, first: bytes) -> AsyncIterator[bytes]:
        """The body of an answer: `first`, then whatever the hub writes, until the stream ends."""
        try:
            self.admit(stream.view.user_id)
        except Refusal:
            return  # others were faster since the request was looked at; the reader comes back
        self._open[stream] = None
        self._by_user.setdefault(stream.view.user_id, {})[stream] = None
        try:
            stream.written_at = asyncio.get_running_loop().time()
            yield first  # the head of the answer goes out with it, before the hub writes
            if self._pump is None or self._pump.done():
                self._pump = asyncio.create_task(self._run(), name="event streams")
            if not stream.alive():
                return
            if stream.place < here(self._replica.state.feed):
                self._somebody_is_behind.set()
            await stream.ended
        finally:
            self._forget(stream)

    def close(self) -> None:
        """End all streams now, and take no more."""
        self._closed = True
        for stream in list(self._open):
            stream.end()
        if self._pump is not None:
            self._pump.cancel()

    # --- the task -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Serve for as long as anybody listens; whatever ends it, nobody is left without a writer."""
        try:
            await self._serve_all()
        except Exception:
            log.exception("event=streams-failed")
        finally:
            for stream in list(self._open):
                stream.end()

    async def _serve_all(self) -> None:
        loop = asyncio.get_running_loop()
        lost_since = 0.0
        while self._open and not self._replica.stopping:
            lost_since = 0.0 if self._replica.not_ready_because() is None else lost_since or loop.time()
            if lost_since and loop.time() - lost_since > LOST_SECONDS:
                break  # cut off from the others, it would be silent; elsewhere there may be something to tell
            index = self._replica.applied_index
            began = loop.time()
            until = self._replica.state.feed.last
            if not await self._is_durable():
                await asyncio.sleep(_REST_SECONDS)
                continue
            behind = await self._pass(until, began)
            await asyncio.sleep(min(loop.time() - began, _REST_SECONDS))
            if behind:
                continue
            await self._something_new(index)

    async def _something_new(self, index: int) -> None:
        """Until more than `index` is applied, somebody has come who is behind, or heartbeats may be due."""
        applied = asyncio.ensure_future(self._replica.wait_until_applied(index + 1, TICK_SECONDS))
        behind = asyncio.ensure_future(self._somebody_is_behind.wait())
        try:
            await asyncio.wait({applied, behind}, return_when=asyncio.FIRST_COMPLETED)
            if applied.done() and not isinstance(error := applied.exception(), UnavailableError | None):
                raise error
        finally:
            applied.cancel()
            behind.cancel()
            await asyncio.gather(applied, behind, return_exceptions=True)  # all there was to hear is heard
        self._somebody_is_behind.clear()

    async def _is_durable(self) -> bool:
        """A single voter counts an entry as committed before it is on its disk; what is told has to be there. Elsewhere a
        majority has it on theirs.
        """
        if sum(member.voter for member in self._replica.status().members) > 1:
            return True
        try:
            await self._replica.read_index(TICK_SECONDS)  # which waits for the disk
        except UnavailableError:
            return False
        return True

    async def _pass(self, until: Place | None, now: float) -> bool:
        """Take every stream one batch further; whether one of them is not at the end that there was."""
        pieces: dict[tuple[Place, View], bytes] = {}
        batches: dict[Place, _Batch] = {}
        behind = False
        for number, stream in enumerate(list(self._open), 1):
            if number % STREAMS_A_TURN == 0:
                await asyncio.sleep(0)
            if stream in self._open:
                try:
                    behind |= self._serve(stream, until, now, batches, pieces)
                except Exception:
                    log.exception("event=stream-failed")
                    stream.end()
        return behind

    def _serve(
        self,
        stream: Stream,
        until: Place | None,
        now: float,
        batches: dict[Place, _Batch],
        pieces: dict[tuple[Place, View], bytes],
    ) -> bool:
        if stream.transport.is_closing():
            self._forget(stream)
            stream.end()
            return False
        if stream.transport.get_write_buffer_size() > STREAM_BUFFER_BYTES:
            self._judge_slow(stream, now)
            return False  # with the next event or tick
        stream.full_since = 0.0
        if until is None or stream.place >= until:
            self._beat(stream, now)
            return False
        feed = self._replica.state.feed
        if stream.place < feed.lost_through:
            stream.place = here(feed)
            stream.write(reset_message("too-old", stream.place), now)
            return stream.place < until
        place = stream.place
        batch = batches.get(place)
        if batch is None:
            tales = self.teller.after(feed, place, BATCH_EVENTS)
            batch = batches[place] = _Batch([tale for tale in tales if tale.place <= until])
        view = stream.others_view
        if stream.view.user_id in batch.users:
            view = stream.view
            if not stream.alive():  # what has happened to the user may be that the session ended
                stream.end()
                return False
        name = (place, view)
        piece = pieces.get(name)
        if piece is None:
            piece = pieces[name] = b"".join([tale.message(view) for tale in batch.tales])
        stream.place = batch.tales[-1].place
        if piece:
            stream.write(piece, now)
        return stream.place < until

    def _judge_slow(self, stream: Stream, now: float) -> None:
        stream.full_since = stream.full_since or now
        if now - stream.full_since > STALLED_SECONDS:
            self.cut_off += 1
            stream.transport.abort()
            self._forget(stream)
            stream.end()

    def _beat(self, stream: Stream, now: float) -> None:
        """A sign of life that also moves the reader's place: an `id` without data is remembered and told to nobody."""
        if now - stream.written_at < HEARTBEAT_SECONDS:
            return
        if not stream.alive():
            stream.end()
            return
        stream.write(b": alive\n" + place_message(stream.place), now)

    def _forget(self, stream: Stream) -> None:
        self._open.pop(stream, None)
        mine = self._by_user.get(stream.view.user_id)
        if mine is not None:
            mine.pop(stream, None)
            if not mine:
                del self._by_user[stream.view.user_id]


def here(feed: Feed) -> Place:
    """The newest place of a feed."""
    return feed.last or feed.lost_through


def place_message(place: Place) -> bytes:
    """Tells a reader where it stands, and nothing else."""
    return b"id: %s\n\n" % place_text(place).encode()


def reset_message(reason: str, place: Place) -> bytes:
    """Tells a reader that events are missing: what it knows has to be read anew; the stream goes on from `place`."""
    text = place_text(place)
    return f'id: {text}\nevent: reset\ndata: {{"reason":"{reason}","id":"{text}"}}\n\n'.encode()


def first_message(place: Place | None, feed: Feed) -> tuple[Place, bytes]:
    """Where a stream begins that asks to go on after `place` (None: now), and what it is told first."""
    hello = f"retry: {RETRY_MS}\n".encode()
    if place is None or place == here(feed):
        return here(feed), hello + place_message(here(feed))
    if place < feed.lost_through or not feed.has(place):
        reason = "too-old" if BEGINNING <= place < feed.lost_through else "unknown"
        return here(feed), hello + reset_message(reason, here(feed))
    return place, hello + place_message(place)
