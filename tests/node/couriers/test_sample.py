"""The samples of docs/webhooks.md take what is really sent, and nothing else."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.couriers.addresses import AllowedHosts
from node.couriers.webhook import Message, WebhookPoster
from tests.node.couriers.receiver import Received, receiving
from tests.node.couriers.test_webhook import KEYS, PAYLOAD, RAW, SHOWN

PAGE = Path(__file__).resolve().parents[3] / "docs" / "webhooks.md"


def samples() -> dict[str, Callable[[dict[str, str], bytes, str], Any]]:
    """The functions of the page's blocks of Python."""
    names: dict[str, Any] = {}
    for block in re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        exec(compile(block, str(PAGE), "exec"), names)
    return {name: names[name] for name in ("receive", "receive_plainly")}


@pytest.mark.parametrize("name", ["receive", "receive_plainly"])
async def test_a_sample_takes_what_is_sent_and_nothing_else(name: str) -> None:
    receive = samples()[name]
    poster = WebhookPoster(AllowedHosts.of(["127.0.0.1"]))
    assert RAW is not None and SHOWN is not None
    other = KEYS.raw("wh1", KEYS.new_name())
    assert other is not None
    async with receiving() as receiver:
        for at, keys in ((0, [RAW]), (0, [other, RAW]), (0, [other]), (-600, [RAW]), (600, [RAW])):
            await poster.post(receiver.url, Message("7.0", int(1000 * (time.time() + at)), PAYLOAD), keys)
        await poster.close()
        good, rotated, *bad = receiver.received
    for sent in (good, rotated):
        assert receive(sent.headers, sent.body, SHOWN) == json.loads(PAYLOAD)
    bad += [
        Received("/", good.headers, good.body + b" "),
        Received("/", good.headers | {"webhook-id": "7.1"}, good.body),
        Received("/", good.headers | {"webhook-signature": "v1,"}, good.body),
    ]
    for sent in bad:
        with pytest.raises(Exception, match=r"(?i)too (old|new)|signature"):
            receive(sent.headers, sent.body, SHOWN)
