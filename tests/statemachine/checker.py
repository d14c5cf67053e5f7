"""Judges a state by the slowest and plainest means, sharing no code with what it judges."""

from __future__ import annotations

from statemachine.records import CELLS_PER_DAY
from statemachine.state import State


def complaints(state: State) -> list[str]:
    """Everything that is wrong with a state: doubled seats, bitmaps and indexes that do not follow from the tables."""
    found = []
    taken: dict[tuple[str, str, int], str] = {}
    for booking in state.bookings.values():
        if booking.status != "confirmed":
            continue
        for cell in range(booking.start_cell, booking.end_cell):
            place = (booking.space_id, booking.seat_id, cell)
            if place in taken:
                found.append(f"{booking.id} and {taken[place]} hold {place}")
            taken[place] = booking.id
    by_seat = [
        booking_id for days in state.live_by_seat.values() for ids in days.values() for booking_id in ids
    ]
    confirmed = [booking.id for booking in state.bookings.values() if booking.status == "confirmed"]
    if sorted(by_seat) != sorted(confirmed):
        found.append("live bookings by seat")
    for space in state.spaces.values():
        listed = {seat.id for seat in space.seats}
        for seat_id in state.occupancy.seat_ids(space.id):
            details = state.details_of(space.id, seat_id)
            if (seat_id in listed) != (details is None or not details.retired):
                found.append(f"{seat_id} is listed by {space.id}, and retired")
        for seat in space.seats:
            cells = {cell for space_id, seat_id, cell in taken if (space_id, seat_id) == (space.id, seat.id)}
            days = {cell // CELLS_PER_DAY for cell in cells}
            for day in days | {day + 1 for day in days} | {day - 1 for day in days}:
                bits = sum(
                    1 << (cell - day * CELLS_PER_DAY) for cell in cells if cell // CELLS_PER_DAY == day
                )
                if state.seat_cells(space.id, seat.id, day) != bits:
                    found.append(f"bitmap of {space.id} {seat.id} on day {day}")
    for user in state.users.values():
        mine = [booking for booking in state.bookings.values() if booking.user_id == user.id]
        if list(state.user_bookings(user.id)) != [booking.id for booking in mine]:
            found.append(f"bookings of {user.id}")
        live = [booking for booking in mine if booking.status == "confirmed"]
        for day in {
            cell // CELLS_PER_DAY for booking in live for cell in (booking.start_cell, booking.end_cell)
        }:
            start, end = day * CELLS_PER_DAY, (day + 1) * CELLS_PER_DAY
            touching = [
                booking.id for booking in live if booking.start_cell < end and booking.end_cell > start
            ]
            if list(state.user_bookings_on_day(user.id, day)) != touching:
                found.append(f"live bookings of {user.id} on day {day}")
        if user.login_key and state.user_by_login_key(user.login_key) != user:  # an erased one has none
            found.append(f"login of {user.id}")
    for session in state.sessions.values():
        if session.expires_at_ms <= state.now_ms:
            found.append(f"session {session.id} outlived its time")
    for remembered in state.outcomes.values():
        if remembered.expires_at_ms <= state.now_ms:
            found.append(f"key {remembered.key} outlived its time")
        if state.outcome_of(remembered.scope, remembered.key) != remembered.outcome:
            found.append(f"key {remembered.key} leads elsewhere")
    return found
