"""The limits of the replicated state. Each has an answer, named beside it; none is ever silently exceeded.

They are part of the state machine's meaning: members with different limits would diverge, so a change of one
is a change of the log's format.
"""

from __future__ import annotations

MAX_KEYS_PER_SCOPE = 10_000  # clients' keys remembered for one scope: too-many-keys
MAX_CLIENT_KEYS = 2_000_000  # clients' keys remembered in all: too-many-keys
MAX_USERS = 1_000_000  # too-many-users
MAX_CALENDARS = 100_000  # too-many-calendars
MAX_SESSIONS_PER_USER = 50  # the oldest is ended to make room
MAX_FAILURE_ROWS = 20_000  # throttle keys with failed log-ins: the one quiet for longest is forgotten
MAX_AUDIT_RECORDS = 100_000  # the oldest is forgotten; the numbers of the others tell that it was there
FEED_EVENTS_KEPT = 100_000  # of the feed: the oldest is forgotten; readers who still stand there are told
MAX_AUDIT_DETAIL_CHARS = 512  # the rest of the text is cut
MAX_BOOKING_SLOTS = 288  # off-grid
MAX_AFFECTED = 5_000  # bookings touched by one change of a space or seat: too-many-affected
MAX_BOOKING_CELLS = 7 * 288  # off-grid; bounds the days that one booking touches
MAX_BASKET_ITEMS = 20  # seats and times in one request: invalid-body
MAX_WAITING = 50_000  # places in lines, in all: waitlist-full
MAX_WAITING_PER_USER = 20  # too-many-waiting
MAX_WAITING_PER_SLOT = 100  # who could be served by the same place: waitlist-full
MAX_WAITING_PER_DAY = (
    1_000  # in one space on the UTC days of the wish; bounds what freeing a seat examines: waitlist-full
)
MAX_DUE_PER_ENTRY = 200  # what happens by itself in one entry; the rest in the next one
MAX_GRACE_MINUTES = 24 * 60  # before a booking is released: invalid-body
MAX_SERIES_BOOKINGS = 60  # of one series: invalid-body
MAX_STEPS_PER_BOOKING = (
    100  # changes of one booking that its history keeps; cancelling is always possible: too-many-changes
)
MAX_REASON_CHARS = 200  # invalid-body
MAX_SINKS = 20  # where events are delivered to: too-many-sinks
MAX_HELD_EVENTS = 500  # held back for one sink: its cursor stops until some are delivered
MAX_DEAD_LETTERS = 1_000  # of one sink: the oldest is forgotten and counted as dropped
MAX_WEBHOOK_TYPES = 50  # that one webhook names: invalid-body
MAX_OVERLAP_MS = 7 * 24 * 3600 * 1000  # for which two keys of a webhook sign: invalid-body
MAX_NOTIFICATIONS = 100_000  # users who have said what they want to hear: too-many-notifications
MAX_REMIND_MINUTES = 7 * 24 * 60  # before the start of a booking: invalid-body
MAX_ADDRESSES_PER_DAY = 5  # codes that one user has mailed: too-many-addresses

# What follows bounds what a node may put into a command. Nodes check what people send before it gets here, so
# going past one of these is a node's mistake: malformed.
MAX_SPACES = 1_000  # of a change: too-many-spaces
MAX_SEATS_PER_SPACE = 1_000
MAX_SPECIAL_DAYS = 300  # ranges of dates with other hours in one space; nodes answer invalid-body
MAX_OUTAGES = 32  # of one seat, those that are over left out; nodes answer invalid-body
MAX_CLOSING_RANGES = 4_096  # that travel with one change; nodes answer change-too-wide
MAX_LINE_WINDOWS = 4_096  # that travel with one change; who waits on the days beyond is outdated
MAX_PLACE = 1_000_000  # x and y on the plan; nodes answer invalid-body
MAX_GRID_WINDOWS = 64
MAX_WINDOW_SLOTS = 2 * 288
MAX_CELL = 2_500_000_000  # about the year 25,000
MAX_STAMP_MS = MAX_CELL * 300_000  # the same time as a stamp; the whole batch is malformed beyond it
MAX_SESSION_LIFETIME_MS = 400 * 24 * 3600 * 1000
MAX_ID_CHARS = 64
MAX_FAILURES_NOTED = 64  # throttle keys in one command
MAX_KEY_CHARS = 256
MAX_SCOPE_CHARS = 256
MAX_FINGERPRINT_BYTES = 32
MAX_ADDRESS_CHARS = 254  # of mail: RFC 5321; nodes answer invalid-body
MAX_URL_CHARS = 1_024  # of webhooks; nodes answer invalid-body
MAX_SETTLED_ROWS = 400  # in one settlement
MAX_WHY_CHARS = 200  # nodes cut the rest
MAX_TEXT_CHARS = 512  # logins, names, labels, password hashes

# Alternatives offered with a refusal.
MAX_ALTERNATIVES_SAME_SEAT = 3
MAX_ALTERNATIVES_OTHER_SEATS = 3
ALTERNATIVES_REACH_CELLS = 3 * 288  # how far in time from the request a free slot is looked for
MAX_SEATS_EXAMINED = 128  # how many neighbours of the seat are looked at
