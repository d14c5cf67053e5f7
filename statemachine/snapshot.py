"""A frozen view of the state, its encoding, and the strict way back.

**Freezing** copies no rows (`frozen.py`). Encoding goes on in small pieces while the living state moves ahead.

**Format.** A snapshot is a run of frames (`snapshot_frames.py`). Each body is one msgpack array: first a header (format,
version, index, digest, clock, number of rows of each table), then the rows of the tables in a fixed order
(`snapshot_rows.py`), then a trailer with a checksum over all of them.

**Restoring** fills an empty state through the same methods that the rules use and checks each row (`snapshot_loading.py`), and
at the end makes the state prove itself equal by recomputing the checksum from its own tables. Whatever is wrong raises
SnapshotError; the half-filled state is thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import Any

from statemachine.pages import RUN_ITEMS
from statemachine.snapshot_frames import SnapshotError, bodies, frame, require
from statemachine.snapshot_loading import LOADERS, find_erasing
from statemachine.snapshot_rows import (
    FORMAT,
    OLD_TABLES,
    OLD_VERSIONS,
    ROW_TYPES,
    TABLES,
    VERSION,
    Header,
    Trailer,
    decoder,
    encoder,
)
from statemachine.tables import DIGEST_BYTES, Tables

__all__ = ["FrozenState", "SnapshotError", "checksum_of", "fill", "table_checksums"]

CHUNK_BYTES = 64 * 1024  # a chunk is cut when it has grown to this; one large record may carry it further
_SUM_PERSON = b"deskraft.sum.1"


class FrozenState:
    """The state at one index. It stays so whatever is applied; its memory goes when nobody holds it."""

    __slots__ = ("_born", "_now_ms", "_tables", "digest", "index")

    def __init__(self, tables: Tables) -> None:
        self.index = tables.index
        self.digest = tables.digest
        self._born = tables.born
        self._now_ms = tables.now_ms
        self._tables = tables.frozen_tables()

    def chunks(self) -> Iterator[bytes]:
        """The snapshot in pieces of about CHUNK_BYTES; each step does the work of one piece, or of looking in
        vain for rows, and is then empty. May be walked again.
        """
        header = self._header()
        checksum = _Checksum(header)
        frames = 1
        chain, framed = frame(b"", encoder.encode(header))
        yield framed
        for row_type, runs in zip(ROW_TYPES, self._tables.tables(), strict=True):
            for first, count, rows in _row_pieces(runs):
                if not count:
                    yield b""
                    continue
                checksum.add(rows)
                frames += 1
                # An empty array is the last byte of an empty frame of rows: a counted one takes its place.
                body = encoder.encode(row_type(first, []))[:-1] + b"\xdd" + count.to_bytes(4, "big") + rows
                chain, framed = frame(chain, body)
                yield framed
        yield frame(chain, encoder.encode(Trailer(frames + 1, checksum.digest())))[1]

    def checksum(self) -> bytes:
        """A hash over the header and all rows, in order."""
        checksum = _Checksum(self._header())
        for runs in self._tables.tables():
            for _, _, rows in _row_pieces(runs):
                checksum.add(rows)
        return checksum.digest()

    def _header(self) -> Header:
        return Header(FORMAT, VERSION, self.index, self.digest, self._born, self._now_ms, self._tables.counts)


def checksum_of(tables: Tables) -> bytes:
    """A hash over the header and all rows of the primary tables, in order."""
    return FrozenState(tables).checksum()


def _old_checksum_of(tables: Tables, header: Header) -> bytes:
    """The checksum of a state that was just restored from a file of one of OLD_VERSIONS. In version 1 rows stood as its
    dictionaries do now, in the order of the file.
    """
    checksum = _Checksum(header)
    frozen = dict(zip(TABLES, tables.frozen_tables().tables(), strict=True))
    for name in OLD_TABLES[header.version]:
        runs = frozen[name] if header.version > 1 else _runs_of(getattr(tables, name))
        for _, _, piece in _row_pieces(runs):
            checksum.add(piece)
    return checksum.digest()


def _runs_of(table: dict[str, Any]) -> Iterator[list[Any]]:
    rows = iter(table.values())
    while run := list(islice(rows, RUN_ITEMS)):
        yield run


def table_checksums(tables: Tables) -> dict[str, bytes]:
    """A hash over the rows of each primary table by itself: to find where two states differ."""
    found = {}
    for name, runs in zip(TABLES, tables.frozen_tables().tables(), strict=True):
        checksum = blake2b(digest_size=DIGEST_BYTES, person=_SUM_PERSON)
        for _, _, rows in _row_pieces(runs):
            checksum.update(rows)
        found[name] = checksum.digest()
    return found


def fill(tables: Tables, chunks: Iterable[bytes]) -> None:
    """Fill empty tables from a snapshot. Raises SnapshotError; the tables are then good for nothing."""
    assert tables.index == 0, "only empty tables can be filled"
    try:
        _fill(tables, chunks)
    except ValueError as error:  # msgspec's errors and bad text
        raise SnapshotError(f"snapshot: {error}") from error


def _fill(tables: Tables, chunks: Iterable[bytes]) -> None:
    header: Header | None = None
    trailer: Trailer | None = None
    stage = 0  # the tag of the last frame: it never falls, and rows of a table come in their order
    frames = 0
    loaded = [0] * len(ROW_TYPES)
    for body in bodies(chunks):
        frames += 1
        piece = decoder.decode(body)
        require(trailer is None, "something follows the trailer")
        if header is None:
            require(isinstance(piece, Header), "does not begin with a header")
            assert isinstance(piece, Header)
            require(piece.format == FORMAT, "of another format")
            require(
                piece.version in (*OLD_VERSIONS, VERSION),
                f"of version {piece.version}; this code reads 1 to {VERSION}",
            )
            require(len(piece.digest) == DIGEST_BYTES, "with a digest of the wrong length")
            header = piece
        elif isinstance(piece, Trailer):
            trailer = piece
        else:
            require(not isinstance(piece, Header), "a second header")
            assert not isinstance(piece, Header)
            tag = ROW_TYPES.index(type(piece)) + 1
            require(tag >= stage, "tables out of order")
            require(piece.first == loaded[tag - 1] and len(piece.rows) > 0, "rows out of order")
            stage = tag
            loaded[tag - 1] += len(piece.rows)
            LOADERS[type(piece)](tables, piece.rows)
    if header is None or trailer is None:
        raise SnapshotError("snapshot: cut short")
    require(trailer.frames == frames, "frames are missing")
    names = TABLES if header.version == VERSION else OLD_TABLES[header.version]
    require(_counts_of(names, loaded) == header.counts, "rows are missing")
    tables.index = header.index
    tables.digest = header.digest
    tables.born = header.born
    tables.now_ms = header.now_ms
    find_erasing(tables)
    checksum = checksum_of(tables) if header.version == VERSION else _old_checksum_of(tables, header)
    require(checksum == trailer.checksum, "the restored state is not the one that was written")


def _counts_of(names: Iterable[str], loaded: list[int]) -> tuple[int, ...]:
    counts = dict(zip(TABLES, loaded, strict=True))
    return tuple(counts[name] for name in names)


class _Checksum:
    """A hash over the header's facts and the rows; how the rows are cut into pieces does not matter to it."""

    def __init__(self, header: Header) -> None:
        head = encoder.encode(header)
        self._hash = blake2b(head, digest_size=DIGEST_BYTES, person=_SUM_PERSON)

    def add(self, rows: bytes) -> None:
        self._hash.update(rows)

    def digest(self) -> bytes:
        return self._hash.digest()


def _row_pieces(runs: Iterator[list[Any]]) -> Iterator[tuple[int, int, bytes]]:
    """Encoded rows in pieces of about CHUNK_BYTES: (number of the first row, count, bytes).

    The length is looked at after every run of rows, not after each row. An empty run that finds nothing waiting
    is passed on as a piece without rows.
    """
    first = 0
    piece = bytearray()
    count = 0
    for run in runs:
        for row in run:
            encoder.encode_into(row, piece, -1)
        count += len(run)
        if len(piece) >= CHUNK_BYTES or not run:
            yield first, count, bytes(piece)
            first += count
            count = 0
            piece.clear()
    if count:
        yield first, count, bytes(piece)
