"""What members say to each other. msgpack arrays with a type tag; decoding validates every field.

The consensus messages mirror those of PySyncObj and carry what its own lack: acknowledgements name the term and the message they
answer. Nothing here is ever pickled.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from node.membership import Change

MAX_MESSAGE_BYTES = 8 << 20  # a peer that announces a longer one is cut off


class _Message(Struct, frozen=True, array_like=True, gc=False):
    pass


class AppendEntries(_Message, tag=1, frozen=True, array_like=True, gc=False):
    """Leader to follower. `sequence` numbers the leader's messages to that follower and comes back in the answer."""

    term: int
    sequence: int
    commit_index: int
    previous_index: int
    previous_term: int
    entries: list[tuple[bytes, int, int]]  # (command, index, term)


class AppendAnswer(_Message, tag=2, frozen=True, array_like=True, gc=False):
    """Follower to leader: `success` = everything below `next_index` matches; `reset` = send again from there."""

    term: int
    sequence: int
    next_index: int
    reset: bool
    success: bool


class RequestVote(_Message, tag=3, frozen=True, array_like=True, gc=False):
    """Candidate to voters."""

    term: int
    last_log_index: int
    last_log_term: int


class Vote(_Message, tag=4, frozen=True, array_like=True, gc=False):
    """A granted vote; refusals are silent."""

    term: int


class PreVote(_Message, tag=5, frozen=True, array_like=True, gc=False):
    """Would you vote for me in `term`? Changes no state (Ongaro's thesis, 9.6)."""

    term: int
    round: int
    last_log_index: int
    last_log_term: int


class PreVoteAnswer(_Message, tag=6, frozen=True, array_like=True, gc=False):
    """Answer to `PreVote`; `term` is the voter's own."""

    term: int
    round: int
    granted: bool


class TimeoutNow(_Message, tag=7, frozen=True, array_like=True, gc=False):
    """The leader hands over: start an election at once (Ongaro's thesis, 3.10)."""

    term: int


class TermNotice(_Message, tag=8, frozen=True, array_like=True, gc=False):
    """You speak in an old term; this is mine."""

    term: int


class Heartbeat(_Message, tag=9, frozen=True, array_like=True, gc=False):
    """From every member to every other: who leads, the wall clock, and the state's digest at a fixed index."""

    term: int
    leading: bool
    wall_ms: int
    applied_index: int
    checkpoint_index: int
    checkpoint_digest: bytes
    wants_vote: bool = False  # a learner that is to become a voter as soon as it has caught up


class ReadProbe(_Message, tag=10, frozen=True, array_like=True, gc=False):
    """Do I still lead `term`? (read index, Ongaro's thesis, 6.4)."""

    term: int
    round: int


class ReadProof(_Message, tag=11, frozen=True, array_like=True, gc=False):
    """I know of no later term than `term`."""

    term: int
    round: int


class ReadRequest(_Message, tag=12, frozen=True, array_like=True, gc=False):
    """Follower to leader: which index must I have applied to answer reads that arrived by now?"""

    request: int


class ReadAnswer(_Message, tag=13, frozen=True, array_like=True, gc=False):
    """`index` -1: I cannot say (not leading, or not yet)."""

    request: int
    index: int


class Forward(_Message, tag=14, frozen=True, array_like=True, gc=False):
    """Encoded envelopes for the leader to put into the log."""

    request_ids: list[int]
    envelopes: list[bytes]


class Refused(_Message, tag=15, frozen=True, array_like=True, gc=False):
    """These requests were not put into the log by this member: it does not lead, or its queue is full."""

    request_ids: list[int]
    overloaded: bool


class ChangeRequest(_Message, tag=19, frozen=True, array_like=True, gc=False):
    """Member to leader: an operator asks for another configuration, or another leader."""

    request: int
    change: Change


class ChangeAnswer(_Message, tag=20, frozen=True, array_like=True, gc=False):
    """`code` "" = it is so, by the configuration of that index; `not-leader` = ask again; others as `node.changes` says."""

    request: int
    code: str
    detail: str
    index: int


class SnapshotOffer(_Message, tag=16, frozen=True, array_like=True, gc=False):
    """Leader to a member that is too far behind for entries: I have this file for you."""

    term: int
    name: str
    index: int
    size_bytes: int


class SnapshotWant(_Message, tag=17, frozen=True, array_like=True, gc=False):
    """Go on from `offset_bytes` of the offered file; at its end: installed."""

    name: str
    offset_bytes: int


class SnapshotChunk(_Message, tag=18, frozen=True, array_like=True, gc=False):
    """A piece of the offered file."""

    name: str
    offset_bytes: int
    data: bytes


Message = (
    AppendEntries
    | AppendAnswer
    | RequestVote
    | Vote
    | PreVote
    | PreVoteAnswer
    | TimeoutNow
    | TermNotice
    | Heartbeat
    | ReadProbe
    | ReadProof
    | ReadRequest
    | ReadAnswer
    | Forward
    | Refused
    | ChangeRequest
    | ChangeAnswer
    | SnapshotOffer
    | SnapshotWant
    | SnapshotChunk
)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """Bytes of a message."""
    return _encoder.encode(message)


def decode(data: bytes | memoryview) -> Message:
    """Inverse of `encode`. Raises `msgspec.DecodeError` (or its `ValidationError`)."""
    message: Message = _decoder.decode(data)
    return message
