"""What a member remembers of what it saw: changes, each once, and only the last ones."""

from __future__ import annotations

from itertools import count

from node.sightings import SIGHTINGS_KEPT, Sightings


def seen(sightings: Sightings) -> list[tuple[str, str | None, int]]:
    """What is remembered, oldest first, without the times."""
    return [(each.kind, each.member_id, each.term) for each in reversed(sightings.newest_first())]


def test_changes_are_noted_once() -> None:
    clock = count(1_000)
    sightings = Sightings("n1", lambda: next(clock))
    for _ in range(3):
        sightings.peer("n2", False, 0)  # never heard: not news
        sightings.peer("n3", True, 1)
        sightings.leader(None, 1)
    for leader_id, term in (("n3", 1), ("n3", 1), (None, 2), (None, 3), ("n3", 3), ("n1", 4)):
        sightings.leader(leader_id, term)
    sightings.peer("n3", False, 4)
    assert seen(sightings) == [
        ("started", "n1", 0),
        ("heard", "n3", 1),
        ("leads", "n3", 1),
        ("no-leader", None, 2),
        ("leads", "n3", 3),
        ("leads", "n1", 4),
        ("silent", "n3", 4),
    ]
    times = [each.at_ms for each in sightings.newest_first()]
    assert times == sorted(times, reverse=True)


def test_only_the_last_ones_are_kept() -> None:
    sightings = Sightings("n1", lambda: 0)
    for term in range(2 * SIGHTINGS_KEPT):
        sightings.leader("n1", term)
    assert [each[2] for each in seen(sightings)] == list(range(SIGHTINGS_KEPT, 2 * SIGHTINGS_KEPT))
