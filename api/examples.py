"""Examples of the OpenAPI document: a body for each call that takes one, and what the ids of paths are.

They are about one story (Ada books a desk in a coworking of Moscow), decode by the real decoders, and are tried by a test.
"""

from __future__ import annotations

from typing import Any

_BOOKING = "01a2053b-b66b-7810-b4ce-cd20e2e8eddc"
_TEN = "2026-12-01T10:00:00+03:00"
_WISH: dict[str, Any] = {"space_id": "hq", "seat_id": "A1", "starts_at": _TEN, "slots": 2}

PATHS: dict[str, tuple[str, str]] = {
    "booking_id": ("The id of a booking.", _BOOKING),
    "id": ("The id of a member, as in cluster.yml.", "n4"),
    "index": ("A log index.", "42"),
    "seat_id": ("The id of a seat in its space.", "A1"),
    "secret": ("The secret part of a calendar's address.", "NgOBUy2AbRAPos"),
    "series_id": ("The id of a series of bookings.", _BOOKING),
    "session_id": ("The id of a session.", _BOOKING),
    "sink_id": ("The id of a sink.", _BOOKING),
    "space_id": ("The id of a space.", "hq"),
    "user_id": ("The id of a user.", _BOOKING),
    "waiting_id": ("The id of a place in a line.", _BOOKING),
    "webhook_id": ("The id of a webhook.", _BOOKING),
}
"""What a path parameter is, and one such."""

BODIES: dict[str, dict[str, Any]] = {
    "AddMemberBody": {"id": "n4", "raft": "10.0.0.4:7001", "api": "10.0.0.4:8001"},
    "BasketBody": {"items": [_WISH, {**_WISH, "seat_id": "A2"}]},
    "BookBody": {"seat": "A1", "date": "2026-12-01", "time": "10:00", "space": "hq", "slots": 2},
    "BookingBody": _WISH,
    "CancelBody": {"booking_id": _BOOKING},
    "ChangePasswordBody": {
        "old_password": "a long pass phrase",
        "new_password": "a longer pass phrase",
    },
    "CodeBody": {"code": "7K2M9-QX4TD"},
    "DaysBody": {"first": "2026-12-31", "last": "2027-01-01", "reason": "New Year"},
    "EmptyBody": {},
    "LettersBody": {"ids": ["1204.0"]},
    "EraseBody": {"password": "a long pass phrase"},
    "GraceBody": {"grace_minutes": 15},
    "JoinBody": {"space_id": "hq", "seat_id": "A1", "starts_at": _TEN},
    "LoginBody": {"login": "ada", "password": "a long pass phrase"},
    "SignInBody": {"login": "ada", "password": "a long pass phrase"},
    "MoveBody": {"seat_id": "A2", "starts_at": "2026-12-01T12:00:00+03:00"},
    "NewSeatBody": {"id": "N1", "label": "Nook", "zone": "attic", "attributes": ["quiet"], "x": 3, "y": 4},
    "NewSpaceBody": {
        "id": "neva",
        "name": "Neva",
        "timezone": "Europe/Moscow",
        "opens": "10:00",
        "closes": "24:00",
        "slot_minutes": 60,
        "seats": [{"id": "W1", "label": "W1 by the window"}],
    },
    "NotificationsBody": {
        "address": "ada@example.com",
        "language": "en",
        "kinds": ["cancelled", "promoted"],
        "remind_minutes": 60,
    },
    "ReasonBody": {"reason": "I stay at home"},
    "RefreshBody": {"refresh_token": f"{_BOOKING}.0.HxUuNyXo7cWpA1qgTfEd2Kb9RsLmZv5J"},
    "RegisterBody": {"login": "ada", "password": "a long pass phrase"},
    "ReplaceBody": {"incarnation": "0123456789abcdef0123456789abcdef"},
    "RestBody": {"from_booking_id": _BOOKING, "reason": "The project is over"},
    "SeatChangeBody": {"label": "By the window", "attributes": ["window", "monitor"]},
    "SeriesBody": {
        "space_id": "hq",
        "seat_id": "A1",
        "date": "2026-12-01",
        "time": "10:00",
        "rrule": "FREQ=WEEKLY;BYDAY=TU,TH;COUNT=10",
        "mode": "all",
    },
    "SpaceChangeBody": {"name": "Headquarters", "policy": {"horizon_days": 90, "live_bookings": 5}},
    "TransferBody": {"to": "n2"},
    "NewWebhookBody": {
        "url": "https://hooks.example.org/deskraft",
        "description": "Lights on the second floor",
        "types": ["deskraft.booking.confirmed", "deskraft.booking.cancelled"],
    },
    "RotateBody": {"overlap_hours": 24},
    "WebhookChangeBody": {"state": "paused"},
}
"""By the name of the body's type."""
