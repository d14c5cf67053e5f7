"""Counters of the node in the Prometheus text format (version 0.0.4).

Written by hand: a request adds to two dictionaries and nothing else. The label values are routes (never paths),
methods and statuses, so the number of series is bounded by the code.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from api.passwords import PasswordHasher
from api.streams import Streams
from node.replica import ClusterStatus, Replica
from statemachine.sinks import Sink
from statemachine.state import State

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)


class RequestMetrics:
    """How many requests each route answered, how, and how fast."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str, int], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}
        self.in_flight = 0

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer."""
        key = (route, method, status)
        self._answers[key] = self._answers.get(key, 0) + 1
        buckets = self._buckets.get(route)
        if buckets is None:
            buckets = self._buckets[route] = [0] * (len(BUCKETS_SECONDS) + 1)
            self._seconds[route] = 0.0
        buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self._seconds[route] += seconds

    def lines(self) -> list[str]:
        """The series of this object."""
        lines = _header("deskraft_http_requests_total", "counter", "Requests answered.")
        for (route, method, status), count in sorted(self._answers.items()):
            labels = f'route="{route}",method="{method}",status="{status}"'
            lines.append(f"deskraft_http_requests_total{{{labels}}} {count}")
        lines += _header("deskraft_http_request_seconds", "histogram", "Time to answer a request.")
        for route, buckets in sorted(self._buckets.items()):
            total = 0
            for bound, count in zip((*BUCKETS_SECONDS, "+Inf"), buckets, strict=True):
                total += count
                lines.append(f'deskraft_http_request_seconds_bucket{{route="{route}",le="{bound}"}} {total}')
            lines.append(f'deskraft_http_request_seconds_sum{{route="{route}"}} {self._seconds[route]:.6f}')
            lines.append(f'deskraft_http_request_seconds_count{{route="{route}"}} {total}')
        return lines + _one("deskraft_http_in_flight", "gauge", "Requests being answered.", self.in_flight)


def render(requests: RequestMetrics, passwords: PasswordHasher, streams: Streams, replica: Replica) -> str:
    """The whole of `/metrics`."""
    statistics, status = replica.statistics(), replica.status()
    lines = requests.lines()
    lines += _one("deskraft_password_queue", "gauge", "Passwords waiting to be hashed.", passwords.waiting)
    lines += _one("deskraft_event_streams", "gauge", "Open streams of events.", len(streams))
    lines += _one(
        "deskraft_event_streams_cut_total", "counter", "Streams of slow readers cut off.", streams.cut_off
    )
    lines += _cluster_lines(status)
    for name, kind, text, value in (
        ("journal_bytes", "gauge", "Size of the journal.", statistics.journal_bytes),
        ("journal_syncs_total", "counter", "Syncs of the journal to disk.", statistics.journal_syncs),
        ("journal_sync_seconds_total", "counter", "Time spent in them.", statistics.journal_sync_seconds),
        ("entries_applied_total", "counter", "Log entries applied.", statistics.entries_applied),
        ("commands_applied_total", "counter", "Commands applied.", statistics.commands_applied),
        ("snapshots_written_total", "counter", "Snapshots written.", statistics.snapshots_written),
        ("snapshots_installed_total", "counter", "Snapshots taken over.", statistics.snapshots_installed),
        ("elections_total", "counter", "Elections begun here.", statistics.elections),
        ("leader_changes_total", "counter", "Changes of leader seen.", statistics.leader_changes),
        ("read_rounds_total", "counter", "Rounds that confirmed reads.", statistics.read_rounds),
        ("commands_pending", "gauge", "Commands waiting for their outcome.", statistics.commands_pending),
        ("snapshot_index", "gauge", "Log index of the last snapshot.", statistics.snapshot_index),
        ("disk_free_bytes", "gauge", "Room left on the disk of data_dir.", statistics.disk_free_bytes),
        ("clock_skew_seconds", "gauge", "Clock of the node less the median.", statistics.clock_skew_seconds),
    ):
        lines += _one(f"deskraft_{name}", kind, text, value)
    lines += _outbox_lines(replica.state)
    return "\n".join(lines) + "\n"


def _outbox_lines(state: State) -> list[str]:
    """How far the sinks are, as this node has applied it; there are MAX_SINKS at most."""
    readings: tuple[tuple[str, str, str, Callable[[Sink], int]], ...] = (
        (
            "deskraft_outbox_behind",
            "gauge",
            "Events after the cursor of a sink.",
            lambda each: state.feed.count_after(each.cursor),
        ),
        (
            "deskraft_outbox_held",
            "gauge",
            "Events that are tried again.",
            lambda each: len(state.held[each.id]),
        ),
        (
            "deskraft_outbox_dead_letters",
            "gauge",
            "Events given up.",
            lambda each: len(state.dead_letters[each.id]),
        ),
        (
            "deskraft_outbox_delivered_total",
            "counter",
            "Events that a sink has taken.",
            lambda each: each.delivered,
        ),
        (
            "deskraft_outbox_missed_total",
            "counter",
            "Events that fell out of the feed first.",
            lambda each: each.missed,
        ),
        (
            "deskraft_outbox_troubled",
            "gauge",
            "Whether a sink does not answer.",
            lambda each: int(each.troubled_ms > 0),
        ),
        (
            "deskraft_outbox_active",
            "gauge",
            "Whether a sink is delivered to.",
            lambda each: int(each.state == "active"),
        ),
    )
    lines: list[str] = []
    for name, kind, text, value in readings:
        lines += _header(name, kind, text)
        lines += [
            f'{name}{{sink="{sink.id}",kind="{sink.kind}"}} {value(sink)}' for sink in state.sinks.values()
        ]
    return lines


def _cluster_lines(status: ClusterStatus) -> list[str]:
    lines = _one("deskraft_term", "counter", "Term of the node.", status.term)
    lines += _one("deskraft_commit_index", "counter", "Log index known to be committed.", status.commit_index)
    lines += _one("deskraft_applied_index", "counter", "Log index applied.", status.applied_index)
    lines += _one("deskraft_leader", "gauge", "Whether the node leads.", int(status.role == "leader"))
    lines += _one(
        "deskraft_leader_known", "gauge", "Whether it knows a leader.", int(status.leader_id is not None)
    )
    lines += _header("deskraft_peer_reachable", "gauge", "Whether a member is reachable from here.")
    lines += [
        f'deskraft_peer_reachable{{member="{member.id}"}} {int(member.reachable)}'
        for member in status.members
    ]
    return lines


def _header(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _one(name: str, kind: str, text: str, value: float) -> list[str]:
    return [*_header(name, kind, text), f"{name} {value}"]
