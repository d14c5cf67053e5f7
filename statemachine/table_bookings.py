"""The tables of bookings: each by its user, its user's day, its seat and its series; their histories; the occupied cells."""

from __future__ import annotations

from statemachine.alternatives import Finder
from statemachine.names import day_name
from statemachine.occupancy import Occupancy, SeatDays
from statemachine.pages import Pages
from statemachine.premises import seat_name
from statemachine.records import CELL_MS, CELLS_PER_DAY, ERASED, Booking, Series, Step
from statemachine.table_dues import DueTables

MAX_DAY_TUPLE = (
    8  # live bookings of one user and day that are kept as a tuple, which is copied for each change
)

LiveOfDay = tuple[str, ...] | dict[str, None]  # ids, oldest first; a dictionary exactly beyond MAX_DAY_TUPLE


class BookingTables(DueTables):
    """Bookings, series and histories. A booking that ends or moves leaves every index in the same call."""

    def __init__(self) -> None:
        super().__init__()
        self.bookings: dict[str, Booking] = {}
        self.steps: Pages[Step] = Pages()  # of all histories, in the order of the log; none is dropped
        self.series: dict[str, Series] = {}
        # Derived from here on.
        self.booking_ids: Pages[str] = Pages()  # in the order in which they came; none is dropped
        self.series_list: Pages[Series] = Pages()  # the same
        self.series_by_user: dict[str, list[Series]] = {}  # oldest first
        self.occupancy = Occupancy()
        self.alternatives = Finder(self.occupancy)
        self.erasing: dict[
            str, None
        ] = {}  # erased users who still have bookings, by the order of the erasures
        self.bookings_by_user: dict[str, list[str]] = {}  # oldest first
        self.steps_by_booking: dict[
            str, tuple[Step, ...]
        ] = {}  # oldest first; of those that were ever changed
        self.live_by_day: dict[
            str, LiveOfDay
        ] = {}  # by `day_name`; tuples of text cost the collector nothing
        self.live_by_user: dict[str, LiveOfDay] = {}  # oldest first; those that are over may be left out
        self.live_by_seat: dict[
            str, dict[int, tuple[str, ...]]
        ] = {}  # by `seat_name` and UTC day of the start; by start

    def add_booking(self, booking: Booking) -> None:
        """Add a booking. The caller has claimed the cells of a live one."""
        booking_id = booking.id
        user_id = booking.user_id
        self.bookings[booking_id] = booking
        self.booking_ids.append(booking_id)
        if user_id == ERASED:  # nobody looks these up by their user
            if booking.status == "confirmed":
                self._note_seat(booking, booking.start_cell // CELLS_PER_DAY)
            return
        of_user = self.bookings_by_user.get(user_id)
        if of_user is None:
            self.bookings_by_user[user_id] = [booking_id]
        else:
            of_user.append(booking_id)
        if booking.status == "confirmed":
            live_by_day = self.live_by_day
            first = booking.start_cell // CELLS_PER_DAY
            # Nearly always one day; `_day_names` would say the same at the price of a call and a list.
            one_day = booking.end_cell <= (first + 1) * CELLS_PER_DAY
            for name in (f"{first}:{user_id}",) if one_day else _day_names(booking):
                others = live_by_day.get(name)
                if others is None:
                    live_by_day[name] = (booking_id,)
                elif isinstance(others, dict):
                    others[booking_id] = None
                else:
                    live_by_day[name] = _of_day((*others, booking_id))
            self._note_live(booking, first)

    def _note_live(self, booking: Booking, day: int) -> None:
        """Enter a live booking that starts on a UTC day where its user's and its seat's are looked up."""
        user_id, booking_id = booking.user_id, booking.id
        mine = self.live_by_user.get(user_id)
        if mine is None:
            self.live_by_user[user_id] = (booking_id,)
        elif isinstance(mine, dict):
            mine[booking_id] = None
            if not len(mine) & (
                len(mine) - 1
            ):  # at every doubling, so that those that are over do not gather
                self.upcoming_of(user_id)
        else:
            self.live_by_user[user_id] = _of_day((*mine, booking_id))
        self._note_seat(booking, day)

    def _note_seat(self, booking: Booking, day: int) -> None:
        name = seat_name(booking.space_id, booking.seat_id)
        days = self.live_by_seat.get(name)
        if days is None:
            self.live_by_seat[name] = {day: (booking.id,)}
            return
        others = days.get(day, ())
        ids = (*others, booking.id)
        bookings = self.bookings
        # By their starts, which differ on one seat: an order that does not depend on when who was moved here.
        in_order = not others or bookings[others[-1]].start_cell < booking.start_cell
        days[day] = ids if in_order else tuple(sorted(ids, key=lambda each: bookings[each].start_cell))

    def upcoming_of(self, user_id: str) -> LiveOfDay:
        """The ids of a user's live bookings that have not ended, oldest first. Forgets the others among the live."""
        ids = self.live_by_user.get(user_id, ())
        now_ms, bookings = self.now_ms, self.bookings
        left = tuple(each for each in ids if bookings[each].end_cell * CELL_MS > now_ms)
        if len(left) == len(ids):
            return ids
        if not left:
            del self.live_by_user[user_id]
            return ()
        self.live_by_user[user_id] = _of_day(left)
        return self.live_by_user[user_id]

    def end_booking(self, booking: Booking, days: SeatDays) -> None:
        """Replace a live booking by its cancelled record and free its cells."""
        assert booking.status != "confirmed"
        self._replace_booking(booking)
        self.occupancy.release(days, booking.start_cell, booking.end_cell)
        self.expected.pop(booking.id, None)
        self.reminders.pop(booking.id, None)
        self._forget_live(booking)
        self._leave_days(booking)

    def move_booking(self, booking: Booking) -> None:
        """Replace a live booking by the same one at another place. The caller has seen to the cells of both."""
        assert booking.status == "confirmed"
        before = self.bookings[booking.id]
        self._leave_days(before)
        self._leave_seat(before)
        self._replace_booking(booking)
        self._note_seat(booking, booking.start_cell // CELLS_PER_DAY)
        for name in _day_names(booking):
            others = {*self.live_by_day.get(name, ()), booking.id}
            # The order of the log, as a restored state would have it.
            ordered = tuple(each for each in self.bookings_by_user[booking.user_id] if each in others)
            self.live_by_day[name] = _of_day(ordered)

    def take_bookings(self, user_id: str, count: int) -> list[str]:
        """The ids of the newest bookings of a user, newest first. They are no longer the user's: to be erased."""
        of_user = self.bookings_by_user[user_id]
        taken = of_user[-count:]
        if len(taken) == len(of_user):
            del self.bookings_by_user[user_id]
        else:
            del of_user[-count:]
        taken.reverse()
        return taken

    def erase_booking(self, booking: Booking) -> None:
        """Replace a booking by the same one of nobody, and forget its history, which may tell of whom it was."""
        assert booking.user_id == ERASED
        before = self.bookings[booking.id]
        if before.status == "confirmed":
            self._leave_days(before)
            self._leave_user(before)
        self._replace_booking(booking)
        for step in self.steps_by_booking.pop(booking.id, ()):
            self.steps.forget(step)

    def _replace_booking(self, booking: Booking) -> None:
        if self._views:
            before = self.bookings[booking.id]
            for view in self._living_views():
                view.bookings_before.setdefault(booking.id, before)
        self.bookings[booking.id] = booking

    def _forget_live(self, booking: Booking) -> None:
        self._leave_user(booking)
        self._leave_seat(booking)

    def _leave_user(self, booking: Booking) -> None:
        mine = self.live_by_user.get(booking.user_id, ())
        if booking.id in mine:  # else it is over, and was left out
            if isinstance(mine, dict):
                del mine[booking.id]
                if len(mine) <= MAX_DAY_TUPLE:
                    self.live_by_user[booking.user_id] = tuple(mine)
            elif len(mine) > 1:
                self.live_by_user[booking.user_id] = tuple(each for each in mine if each != booking.id)
            else:
                del self.live_by_user[booking.user_id]

    def _leave_seat(self, booking: Booking) -> None:
        days = self.live_by_seat[seat_name(booking.space_id, booking.seat_id)]
        day = booking.start_cell // CELLS_PER_DAY
        others = tuple(each for each in days[day] if each != booking.id)
        if others:
            days[day] = others
        else:
            del days[day]

    def _leave_days(self, booking: Booking) -> None:
        if booking.user_id == ERASED:
            return
        for name in _day_names(booking):
            others = self.live_by_day[name]
            if isinstance(others, dict):
                del others[booking.id]
                if len(others) <= MAX_DAY_TUPLE:
                    self.live_by_day[name] = tuple(others)
            elif len(others) > 1:
                self.live_by_day[name] = tuple(other for other in others if other != booking.id)
            else:
                del self.live_by_day[name]

    def add_step(self, step: Step) -> None:
        """Add a line to the history of a booking."""
        self.steps.append(step)
        self.steps_by_booking[step.booking_id] = (*self.steps_by_booking.get(step.booking_id, ()), step)

    def add_series(self, series: Series) -> None:
        """Add a series. Its record never changes."""
        self.series[series.id] = series
        self.series_list.append(series)
        self.series_by_user.setdefault(series.user_id, []).append(series)

    def forget_series(self, user_id: str) -> None:
        """Forget the series of a user; their bookings are looked after by themselves."""
        for series in self.series_by_user.pop(user_id, ()):
            del self.series[series.id]
            self.series_list.forget(series)


def _of_day(ids: tuple[str, ...]) -> LiveOfDay:
    return ids if len(ids) <= MAX_DAY_TUPLE else dict.fromkeys(ids)


def _day_names(booking: Booking) -> list[str]:
    first = booking.start_cell // CELLS_PER_DAY
    last = (booking.end_cell - 1) // CELLS_PER_DAY
    return [day_name(booking.user_id, day) for day in range(first, last + 1)]
