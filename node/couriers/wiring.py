"""Which couriers a node has: those that cluster.yml gives what they need, made in one place."""

from __future__ import annotations

from node.config_outbox import OutboxConfig
from node.couriers import Courier
from node.couriers.addresses import AllowedHosts
from node.couriers.broker import BrokerCourier
from node.couriers.mail import MailCourier
from node.couriers.signing import SigningKeys
from node.couriers.webhook import WebhookCourier, WebhookPoster
from node.secret import Secret
from statemachine.sinks import SinkKind


def couriers_of(cluster: str, config: OutboxConfig, secret: Secret) -> dict[SinkKind, Courier]:
    """The couriers by the kind of sink. A kind without one is not delivered to while this node leads.

    Raises `Mistake` for what cluster.yml asks and this node does not have.
    """
    poster = WebhookPoster(AllowedHosts.of(config.webhook_allow))
    couriers: dict[SinkKind, Courier] = {"webhook": WebhookCourier(SigningKeys(secret), poster)}
    if config.smtp is not None:
        couriers["mail"] = MailCourier(cluster, config.smtp, secret)
    if config.nats is not None:
        couriers["broker"] = BrokerCourier(cluster, config.nats)
    return couriers
