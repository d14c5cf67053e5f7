"""Events of the feed as bytes: each is made once for those who see it in full and once for everybody else.

`Teller` remembers what it has made for the newest places, so that ten thousand streams and pages that look at the same
events share one text of each. What it remembers is bounded, and never looked at by anything that decides.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from node.cloudevents import Story, cloud_event, place_text, seen_by, story_of
from statemachine.feed import Feed, Place, Told

MAX_REMEMBERED_EVENTS = 4_096

_encode = msgspec.json.Encoder().encode


class View(Struct, frozen=True):
    """What a reader asked for, and as whom: the empty `user_id` is anybody. Empty `spaces` and `types`: all."""

    user_id: str = ""
    administrator: bool = False
    spaces: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def wants(self, story: Story, kind: str) -> bool:
        """Whether an event that the reader sees under the type `kind` is among what was asked for."""
        if self.spaces and not any(space in self.spaces for space in story.spaces):
            return False
        return not self.types or any(kind == each or kind.startswith(f"{each}.") for each in self.types)


class Tale:
    """One event at its place, and its texts as far as somebody has asked for them."""

    __slots__ = ("_cluster", "_full", "_public", "event", "place", "story")

    def __init__(self, cluster: str, told: Told) -> None:
        self._cluster = cluster
        self.place: Place = (told[0], told[1])
        self.event = told[2]
        self.story = story_of(told[2])
        self._full = b""
        self._public = b""

    def text(self, view: View) -> bytes:
        """The CloudEvent as the reader sees it, or nothing when there is nothing to see or it was not asked for."""
        story = self.story
        seen = seen_by(story, view.user_id, administrator=view.administrator)
        if seen is None or not view.wants(story, seen.type):
            return b""
        if seen is story:
            self._full = self._full or _encode(cloud_event(self._cluster, self.place, story, seen))
            return self._full
        self._public = self._public or _encode(cloud_event(self._cluster, self.place, story, seen))
        return self._public

    def message(self, view: View) -> bytes:
        """The same as a server-sent event (WHATWG HTML, 9.2): `id` first, so that a cut after it loses nothing."""
        text = self.text(view)
        return b"id: %s\ndata: %s\n\n" % (place_text(self.place).encode(), text) if text else b""


class Teller:
    """Makes tales. Two generations of at most MAX_REMEMBERED_EVENTS each are kept."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._young: dict[Place, Tale] = {}
        self._old: dict[Place, Tale] = {}

    def after(self, feed: Feed, place: Place, limit: int) -> list[Tale]:
        """The next events after a place."""
        return [self._tale(told) for told in feed.after(place, limit)]

    def page(
        self, feed: Feed, place: Place, view: View, limit: int, examined: int
    ) -> tuple[list[bytes], Place]:
        """Up to `limit` texts after a place, after a look at no more than about `examined` events; and the place that the
        look has reached.
        """
        texts: list[bytes] = []
        while len(texts) < limit and examined > 0:
            tales = self.after(feed, place, min(limit, examined))
            if not tales:
                break
            examined -= len(tales)
            for tale in tales:
                place = tale.place
                if text := tale.text(view):
                    texts.append(text)
                    if len(texts) == limit:
                        break
        return texts, place

    def _tale(self, told: Told) -> Tale:
        place = (told[0], told[1])
        tale = self._young.get(place)
        if tale is not None and tale.event is told[2]:
            return tale
        tale = self._old.get(place)
        if tale is None or tale.event is not told[2]:  # an erasure has put another event there
            tale = Tale(self._cluster, told)
        if len(self._young) >= MAX_REMEMBERED_EVENTS:
            self._old, self._young = self._young, {}
        self._young[place] = tale
        return tale
