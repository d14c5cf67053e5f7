"""Reading server-sent events: bytes in, messages out. By the rules of WHATWG HTML, 9.2.6; no I/O.

The stream of a node is read like anybody's: lines may end in any of the three ways, a byte order mark may stand in front,
unknown fields are ignored, and a message that the connection cut in two is not a message.
"""

from __future__ import annotations

import codecs

from msgspec import Struct

MAX_MESSAGE_CHARACTERS = 1024 * 1024  # a node's are a thousandth of it; more is no Deskraft node


class Message(Struct, frozen=True):
    """One message. `id` is the last one that was given, with this message or before it."""

    kind: str
    data: str
    id: str


class TooLong(Exception):  # noqa: N818 - named for what it says of the message
    """A message or a line beyond MAX_MESSAGE_CHARACTERS."""


class MessageReader:
    """Takes the bytes of one connection as they come. `last_id` moves when a message, or an empty one, has ended."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._after_return = False  # the last piece ended in CR: a LF that follows belongs to it
        self._kind = ""
        self._data: list[str] = []
        self._size = 0
        self._id = last_id

    def feed(self, piece: bytes) -> list[Message]:
        """The messages that are whole with this piece. Raises TooLong."""
        text = self._decoder.decode(piece)
        if self._after_return and text:
            text = text.removeprefix("\n")
            self._after_return = False
        if text.endswith("\r"):
            self._after_return = True
        *lines, self._rest = (self._rest + text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        found = []
        for line in lines:
            self._size += len(line)
            if self._size > MAX_MESSAGE_CHARACTERS:
                raise TooLong
            if line:
                self._field(line)
            elif (message := self._end()) is not None:
                found.append(message)
        if self._size + len(self._rest) > MAX_MESSAGE_CHARACTERS:
            raise TooLong
        return found

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and "\0" not in value:
            self._id = value

    def _end(self) -> Message | None:
        kind, data = self._kind or "message", self._data
        self._kind, self._data, self._size = "", [], 0
        self.last_id = self._id
        return Message(kind, "\n".join(data), self.last_id) if data else None
