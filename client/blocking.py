"""Blocking calls made of asynchronous ones, with their types, names and words.

A class of blocking calls names the asynchronous methods that it offers, and nothing is written twice:

    class BlockingPeople(Blocking):
        sessions = call(People.sessions)    # def sessions(self) -> list[LogIn]
        users = items(People.users)         # def users(self, *, search: str = "", …) -> Iterator[Profile]

`Blocking` keeps what is asked (`asked`) and how a coroutine is run to its end (`run`).
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Run(Protocol):
    """Runs a coroutine on the loop of the blocking client and waits for what it returns."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T:
        """The result, or what it raised."""
        ...


class Blocking:
    """Whose calls block. `asked` is the object whose asynchronous methods the calls are made of."""

    def __init__(self, asked: object, run: Run) -> None:
        self.asked = asked
        self.run = run


class _Descriptor(Generic[P, R]):
    """Stands in a class for a method, and is bound to an instance as a method is."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        functools.update_wrapper(self, method)  # type: ignore[arg-type]  # it is callable once it is bound

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Blocking, owner: type) -> Callable[P, R]: ...
    def __get__(self, instance: Blocking | None, owner: type) -> Self | Callable[P, R]:
        return self if instance is None else functools.wraps(self._method)(self._bound(instance))

    def _bound(self, instance: Blocking) -> Callable[P, R]:
        raise NotImplementedError


class _Call(_Descriptor[P, R]):
    def _bound(self, instance: Blocking) -> Callable[P, R]:
        def blocking(*args: P.args, **kwargs: P.kwargs) -> R:
            result: R = instance.run(self._method(instance.asked, *args, **kwargs))
            return result

        return blocking


class _Items(_Descriptor[P, Iterator[T]]):
    def _bound(self, instance: Blocking) -> Callable[P, Iterator[T]]:
        def blocking(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            items: AsyncIterator[T] = self._method(instance.asked, *args, **kwargs)
            while (item := instance.run(_next(items))) is not _END:
                yield item

        return blocking


_END: Any = object()


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items, _END)


def call(method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> _Call[P, R]:
    """The blocking call of an asynchronous method."""
    return _Call(method)


def items(method: Callable[Concatenate[Any, P], AsyncIterator[T]]) -> _Items[P, T]:
    """The iterator of an asynchronous iterator; each item is waited for when it is asked for."""
    return _Items(method)
