"""Bytes that nobody sane sends, over a raw connection: never a 500, always HTTP, and the node goes on."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.api.conftest import Node

ODD = [
    b"\xff",
    b"\xff\xfe",
    b"%ff",
    b"%00",
    b"%",
    b"%zz",
    b"\xd1\x8f",
    b"\xed\xa0\x80",
    b"%ed%a0%80",
    b"\x7f",
    b"{",
    b"..",
    b"%2e%2e%2f",
    b"'",
    b'"',
    b"<",
    b"A" * 3000,
]
TARGETS = [
    b"/history?%s=1",
    b"/history?cursor=%s",
    b"/history?limit=%s",
    b"/api/v1/spaces/%s",
    b"/api/v1/bookings/%s",
    b"/%s",
    b"/api/v1/spaces/hq/availability?date=%s",
    b"/api/v1/spaces/%s/availability?date=2026-12-01",
    b"/?consistency=%s",
    b"http://x/%s",
    b"//%s",
]


async def _send(port: int, request: bytes) -> bytes:
    """The first line of the answer, or nothing when the connection was closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.readline(), 3)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def _is_fine(line: bytes) -> bool:
    return line.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4", b"HTTP/1.0 4")) or b" 503 " in line


@pytest.mark.parametrize("target", TARGETS)
async def test_odd_bytes_in_the_address(node: Node, target: bytes, caplog: pytest.LogCaptureFixture) -> None:
    token = (await node.user()).encode()
    assert node.client.port is not None
    for odd in ODD:
        address = target.replace(b"%s", odd)
        line = await _send(
            node.client.port,
            b"GET " + address + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + b"\r\n\r\n",
        )
        assert _is_fine(line), (address, line)
    assert (await node.get("/livez")).status == 200
    assert "internal-error" not in caplog.text


@pytest.mark.parametrize(
    "header",
    [
        b"Authorization: Bearer ",
        b"Authorization: ",
        b"Idempotency-Key: ",
        b"Deskraft-Min-Index: ",
        b"Content-Type: ",
        b"Origin: ",
        b"Expect: ",
        b"Content-Encoding: ",
        b"Content-Length: ",
        b"Transfer-Encoding: ",
        b"Host: ",
    ],
)
async def test_odd_bytes_in_the_headers(node: Node, header: bytes, caplog: pytest.LogCaptureFixture) -> None:
    token = (await node.user()).encode()
    assert node.client.port is not None
    signed = b"" if header.startswith(b"Auth") else b"Authorization: Bearer " + token + b"\r\n"
    for odd in ODD:
        body = b'{"booking_id": "x"}'
        length = (
            b""
            if header.startswith((b"Content-Length", b"Transfer"))
            else b"Content-Length: %d\r\n" % len(body)
        )
        head = b"POST /cancel HTTP/1.1\r\n" + signed + length + header + odd + b"\r\n\r\n"
        line = await _send(node.client.port, head + body)
        assert _is_fine(line), (header, odd, line)
    assert (await node.get("/livez")).status == 200
    assert "internal-error" not in caplog.text


async def test_bodies_with_flipped_bytes(node: Node) -> None:
    token = await node.user()
    good = b'{"seat": "A1", "date": "2026-12-01", "time": "10:00", "space": "hq", "slots": 1}'
    rng = random.Random(7)
    for _ in range(400):
        body = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            match rng.randrange(3):
                case 0:
                    body[rng.randrange(len(body))] = rng.randrange(256)
                case 1:
                    del body[rng.randrange(len(body))]
                case _:
                    body.insert(rng.randrange(len(body)), rng.choice(b'"{}[]:,\\\x00\xff0-eE.'))
        answer = await node.post("/book", bytes(body), token)
        assert answer.status in (201, 400, 409, 422), (bytes(body), await answer.text())
