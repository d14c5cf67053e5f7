"""What operators and their machines ask a node about itself. Answered from the node alone, without a log-in."""

from __future__ import annotations

from datetime import UTC

from aiohttp import web

from api import metrics
from api.answers import content_answer, json_answer
from api.calls import Call
from api.exchange import Exchange
from api.problems import Refusal
from api.shapes import LiveView, ReadyView, SightingsView, SightingView
from api.timegrid import rfc3339_of_ms
from node.replica import ClusterStatus


async def cluster(exchange: Exchange, _: None) -> web.Response:
    """The cluster as this node sees it."""
    status = exchange.services.replica.status()
    return json_answer(status, status.applied_index)


async def sightings(exchange: Exchange, _: None) -> web.Response:
    """What this node has seen happen to the cluster."""
    services = exchange.services
    seen = [
        SightingView(rfc3339_of_ms(each.at_ms, UTC), each.kind, each.member_id, each.term)
        for each in services.replica.sightings()
    ]
    return json_answer(SightingsView(services.node_id, seen), services.replica.applied_index)


async def livez(exchange: Exchange, _: None) -> web.Response:
    """The process is alive."""
    return json_answer(LiveView("alive"), exchange.services.replica.applied_index)


async def readyz(exchange: Exchange, _: None) -> web.Response:
    """The node can serve."""
    replica = exchange.services.replica
    reason = "The node is stopping." if replica.stopping else replica.not_ready_because()
    if reason is not None:
        raise Refusal("unavailable", reason)
    return json_answer(ReadyView("ready"), replica.applied_index)


async def prometheus(exchange: Exchange, _: None) -> web.Response:
    """Counters and gauges."""
    services = exchange.services
    text = metrics.render(services.metrics, services.passwords, services.streams, services.replica)
    return content_answer(text.encode(), metrics.MEDIA_TYPE, services.replica.applied_index)


CALLS = (
    Call(
        "GET",
        "/api/v1/cluster",
        "The cluster as this node sees it",
        cluster,
        {200: ClusterStatus},
        access="node",
    ),
    Call(
        "GET",
        "/api/v1/cluster/sightings",
        "What this node has seen happen to the cluster",
        sightings,
        {200: SightingsView},
        access="node",
    ),
    Call("GET", "/livez", "Whether the process is alive", livez, {200: LiveView}, access="node"),
    Call(
        "GET",
        "/readyz",
        "Whether the node can serve",
        readyz,
        {200: ReadyView},
        access="node",
        problems=("unavailable",),
    ),
    Call(
        "GET",
        "/metrics",
        "Prometheus metrics",
        prometheus,
        {200: str},
        access="node",
        media_type="text/plain",
    ),
)
