"""The broker: every event is published to a stream of NATS JetStream, and kept there before it counts as delivered.

- **Subject** `<prefix>.<cluster>.<type without "deskraft.">`, such as `deskraft.demo.booking.confirmed`; the message is the CloudEvent.
- **Once.** `Nats-Msg-Id` is `<cluster>/<event id>`: within the stream's duplicate window JetStream drops what comes again, as it does after a change
  of leaders or when an answer got lost. Past the window, which an outage of the broker may outlast, receivers drop it by that same id.
- **Kept.** An event is delivered when the stream has acknowledged it (PubAck), a repeat that it dropped included.
- **The stream** is made when it is missing. One that is there is never changed, for its limits are its operator's business; but it is not
  used when it would not take our subjects, would forget ids too soon or acknowledges nothing: that is said until it is put right.
- **Away.** One connection, made when something is to be delivered and dropped at the first sign of trouble. nats-py would reconnect by
  itself and keep what is published meanwhile in memory; both are the outbox's part, which also survives this node.

nats-py is an optional dependency (`deskraft[nats]`) and is imported when a courier is made, so that nobody else needs it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import ssl
from typing import TYPE_CHECKING, Any

import msgspec

from node.config_outbox import Nats
from node.config_values import Mistake
from node.couriers import Delivered, Delivery, Rejected, Result, Retry
from statemachine.events import Event
from statemachine.sinks import Place, Sink
from statemachine.state import State

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.api import StreamConfig, StreamInfo

CONNECT_SECONDS = 4.0  # to all servers in turn, and to see the stream
ACKNOWLEDGE_SECONDS = 4.0
CLOSE_SECONDS = 2.0
TYPE_PREFIX = "deskraft."
MESSAGE_ID = "Nats-Msg-Id"
CONTENT_TYPE = "application/cloudevents+json"

_log = logging.getLogger("deskraft.broker")


class _AwayError(Exception):
    """The broker, or its stream, takes nothing now; the message says why."""


def message_id(cluster: str, event_id: str) -> str:
    """What a stream, which may be shared by clusters, knows an event by."""
    return f"{cluster}/{event_id}"


def covers(pattern: str, subject: str) -> bool:
    """Whether all that `subject` stands for is taken by a stream's `pattern`; both may have `*` and `>`."""
    theirs, ours = pattern.split("."), subject.split(".")
    for position, word in enumerate(theirs):
        if word == ">":
            return len(ours) > position
        if position >= len(ours) or ours[position] == ">" or word not in ("*", ours[position]):
            return False
    return len(theirs) == len(ours)


class BrokerCourier:
    """Publishes to one stream. Made without a connection; `close` leaves it as new."""

    def __init__(self, cluster: str, config: Nats) -> None:
        """Raises `Mistake` when nats-py is not installed or a file of `tls` is not usable."""
        if importlib.util.find_spec("nats") is None:
            raise Mistake("nats", "needs the package nats-py; install it with: pip install 'deskraft[nats]'")
        self._cluster = cluster
        self._config = config
        self._subjects = f"{config.prefix}.{cluster}.>"
        self._needs_tls = any(server.startswith("tls://") for server in config.servers)
        self._tls = _tls_context(config) if self._needs_tls else None
        self._connecting = asyncio.Lock()
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None

    def wants(self, sink: Sink, place: Place, event: Event, state: State) -> bool:
        """Everything."""
        return True

    async def deliver(self, delivery: Delivery) -> Result:
        """Publish, and wait until the stream has it."""
        from nats import errors
        from nats.js.errors import APIError

        kind = str(delivery.cloud["type"]).removeprefix(TYPE_PREFIX)
        client: Client | None = None
        try:
            client, stream = await self._connected()
            await stream.publish(
                f"{self._config.prefix}.{self._cluster}.{kind}",
                msgspec.json.encode(delivery.cloud),
                timeout=ACKNOWLEDGE_SECONDS,
                stream=self._config.stream,
                headers={
                    MESSAGE_ID: message_id(self._cluster, delivery.event_id),
                    "Content-Type": CONTENT_TYPE,
                },
            )
        except _AwayError as error:
            return Retry(str(error), away=True)
        except errors.MaxPayloadError:
            return Rejected("larger than the broker takes")
        except APIError as error:  # the stream itself said no: it is full, sealed, or another one by now
            await self._drop(client)
            return Retry(f"the stream refused: {error.description or error.code}", away=True)
        except (errors.Error, OSError, TimeoutError) as error:
            await self._drop(client)
            return Retry(f"no acknowledgement: {_line(error)}", away=True)
        return Delivered()

    async def close(self) -> None:
        """Let the connection go."""
        await self._drop(self._client)

    async def _connected(self) -> tuple[Client, JetStreamContext]:
        """The connection, and the stream behind it. Raises _AwayError."""
        async with self._connecting:  # deliveries that come at once share the attempt
            client, stream = self._client, self._stream
            if client is not None and stream is not None and client.is_connected:
                return client, stream
            await self._drop(client)
            return await self._connect()

    async def _connect(self) -> tuple[Client, JetStreamContext]:
        from nats import errors
        from nats.aio.client import Client

        client = Client()
        seen: list[str] = []
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await client.connect(**self._options(client, seen))
                self._refuse_plain(client)
                stream = client.jetstream(timeout=ACKNOWLEDGE_SECONDS)
                await self._verify(stream)
        except (errors.Error, OSError, TimeoutError, _AwayError) as error:
            await _closed(client)
            if isinstance(error, _AwayError):
                raise
            why = seen[-1] if seen and isinstance(error, errors.NoServersError) else _line(error)
            raise _AwayError(f"cannot connect: {why}") from None
        except BaseException:  # cancelled: the connection would be nobody's
            await _closed(client)
            raise
        self._client, self._stream = client, stream
        return client, stream

    def _options(self, client: Client, seen: list[str]) -> dict[str, Any]:
        config = self._config

        async def note(error: Exception) -> None:
            seen.append(_line(error))
            _log.debug("connecting: %s", seen[-1])

        def password() -> str:
            self._refuse_plain(client)
            return config.password

        return {
            "servers": list(config.servers),
            "name": f"deskraft {self._cluster}",
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "connect_timeout": CONNECT_SECONDS,
            "error_cb": note,
            "tls": self._tls,
            "user": config.user or None,
            "password": password if config.user else None,
        }

    def _refuse_plain(self, client: Client) -> None:
        """Raise _AwayError when TLS was asked for and the server does not offer it.

        nats-py takes its word for it: whoever stands in between could take TLS away and be given the password. It asks for the password after
        the server's greeting, so that is the moment to look; there is no public way to do it.
        """
        if self._needs_tls and not client._server_info.get("tls_required"):
            raise _AwayError("cannot connect: the server offers no TLS, and tls:// asks for it")

    async def _verify(self, stream: JetStreamContext) -> None:
        """See that the stream is there and will do; make it when it is missing. Raises _AwayError."""
        from nats.js.errors import APIError, NotFoundError

        config = self._config
        try:
            try:
                info: StreamInfo = await stream.stream_info(config.stream)
            except NotFoundError:
                info = await stream.add_stream(self._wanted())
                _log.info("event=stream-made stream=%s subjects=%s", config.stream, self._subjects)
        except APIError as error:
            raise _AwayError(f"stream {config.stream}: {error.description or error.code}") from None
        why = self._unfit(info.config)
        if why is not None:
            raise _AwayError(f"stream {config.stream} {why}")

    def _wanted(self) -> StreamConfig:
        from nats.js.api import StorageType, StreamConfig

        return StreamConfig(
            name=self._config.stream,
            description="Events of Deskraft",
            subjects=[self._subjects],
            storage=StorageType.FILE,
            num_replicas=self._config.replicas,
            duplicate_window=self._config.duplicate_minutes * 60,
        )

    def _unfit(self, found: StreamConfig) -> str | None:
        """Why a stream that is there cannot be used; None when it can."""
        window_seconds = self._config.duplicate_minutes * 60
        if not any(covers(pattern, self._subjects) for pattern in found.subjects or []):
            return f"does not take {self._subjects}"
        if found.duplicate_window < window_seconds:
            return f"forgets ids after {found.duplicate_window:g} s; duplicate_minutes asks for {window_seconds} s"
        if found.no_ack:
            return "acknowledges nothing (no_ack)"
        return None

    async def _drop(self, client: Client | None) -> None:
        """Close a connection that is no longer to be used; another one may have been made meanwhile."""
        if client is None:
            return
        if self._client is client:
            self._client = self._stream = None
        await _closed(client)


async def _closed(client: Client) -> None:
    from nats import errors

    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()
    except (errors.Error, OSError, TimeoutError) as error:
        _log.debug("closing: %s", _line(error))


def _tls_context(config: Nats) -> ssl.SSLContext:
    files = config.tls
    try:
        context = ssl.create_default_context(cafile=files.ca_file)
    except OSError as error:  # SSLError is one
        raise Mistake("nats.ca_file", f"not usable: {_line(error)}") from None
    if files.cert_file is not None:
        try:
            context.load_cert_chain(files.cert_file, files.key_file)
        except OSError as error:
            raise Mistake("nats.cert_file", f"not usable: {_line(error)}") from None
    return context


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
