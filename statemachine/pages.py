"""A sequence that grows at its end and shrinks at its beginning, and that can be looked at as it was.

The large tables keep the order of their rows in one. A view of it is taken in time that grows with the number
of *pages*, a thousandth of the number of items, and stays as it was: full pages never change, and the view
notes how far the last one had been filled and where the first began.

An item may also be **forgotten** before its turn. It stays where it is and is passed over, which costs nothing but the
memory of it until its page goes; views that were taken before still show it.

Full pages are tuples, because a tuple of what the garbage collector does not follow is not followed either: a
million ids or records cost a collection nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, islice
from operator import is_not
from typing import Generic, TypeVar

T = TypeVar("T")

PAGE_ITEMS = 1024
RUN_ITEMS = 16  # how many items a walk hands out at once


class Pages(Generic[T]):
    """Append at the end, take from the beginning."""

    __slots__ = ("_full", "_gone", "_skip", "_tail")

    def __init__(self) -> None:
        self._full: deque[tuple[T, ...]] = deque()
        self._tail: list[T] = []  # appended to until it is full, and never changed otherwise
        self._skip = 0  # items of the first page that have been taken
        self._gone: set[int] = set()  # identities of items that are forgotten and still stand in a page

    def __len__(self) -> int:
        return len(self._full) * PAGE_ITEMS + len(self._tail) - self._skip - len(self._gone)

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(self.view().runs())

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Pages) else NotImplemented

    __hash__ = None  # type: ignore[assignment] # it changes

    def append(self, item: T) -> None:
        """Add an item at the end."""
        tail = self._tail
        tail.append(item)
        if len(tail) == PAGE_ITEMS:
            self._full.append(tuple(tail))
            self._tail = []
            self._drop_taken()

    def first(self) -> T | None:
        """The oldest item, if there is one."""
        while self._gone and (oldest := self._oldest()) is not None and id(oldest) in self._gone:
            self._gone.discard(id(oldest))
            self._drop_oldest()
        return self._oldest()

    def _oldest(self) -> T | None:
        if self._full:
            return self._full[0][self._skip]
        return self._tail[self._skip] if self._skip < len(self._tail) else None

    def drop_first(self) -> None:
        """Take the oldest item away. A page goes when all of it has been taken."""
        if self._gone:
            self.first()  # passes over those that are forgotten
        self._drop_oldest()

    def forget(self, item: T) -> None:
        """Pass over an item from now on: this very object, which stands in the sequence once and is in nobody's way."""
        self._gone.add(id(item))

    def slice(self, first: int, count: int) -> list[T]:
        """Some items by their places. Only for a sequence of which nothing is ever forgotten."""
        assert not self._gone
        last = min(first + count, len(self))
        found: list[T] = []
        at = first
        while at < last:
            page, place = divmod(at + self._skip, PAGE_ITEMS)
            items = self._full[page] if page < len(self._full) else self._tail
            taken = items[place : place + last - at]
            found += taken
            at += len(taken)
        return found

    def rewrite(self, change: Callable[[T], T]) -> None:
        """Put something else in the place of some items: `change` gives the same object for all others. Views that were taken
        before still show what was. Only for a sequence of which nothing is ever forgotten.
        """
        assert not self._gone
        for at, page in enumerate(self._full):
            changed = tuple(map(change, page))
            if any(map(is_not, changed, page)):
                self._full[at] = changed
        tail = list(map(change, self._tail))
        if any(map(is_not, tail, self._tail)):
            self._tail = tail

    def _drop_oldest(self) -> None:
        assert self._full or self._skip < len(self._tail)
        self._skip += 1
        if self._full:
            self._drop_taken()

    def _drop_taken(self) -> None:
        if self._skip == PAGE_ITEMS:
            self._full.popleft()
            self._skip = 0

    def view(self) -> View[T]:
        """The sequence as it is now; what happens later does not change it."""
        raw = len(self) + len(self._gone)
        return View(tuple(self._full), self._tail, self._skip, raw, frozenset(self._gone))


class View(Generic[T]):
    """What a sequence was. It may be walked any number of times."""

    __slots__ = ("_full", "_gone", "_length", "_skip", "_tail")

    def __init__(
        self, full: tuple[tuple[T, ...], ...], tail: list[T], skip: int, length: int, gone: frozenset[int]
    ) -> None:
        self._full = full
        self._tail = tail
        self._skip = skip
        self._length = length
        self._gone = gone

    def __len__(self) -> int:
        return self._length - len(self._gone)

    def runs(self) -> Iterator[list[T]]:
        """The items in order, RUN_ITEMS at a time wherever the pages end: how a sequence is cut follows from its
        items alone.
        """
        items: Iterator[T] = chain.from_iterable(self._pieces())
        if self._gone:
            gone = self._gone
            items = (item for item in items if id(item) not in gone)
        while run := list(islice(items, RUN_ITEMS)):
            yield run

    def _pieces(self) -> Iterator[Iterator[T]]:
        left = self._length
        skip = self._skip
        for page in chain(self._full, (self._tail,)):
            yield islice(page, skip, skip + left)  # the last page may have grown since
            left -= len(page) - skip
            skip = 0
