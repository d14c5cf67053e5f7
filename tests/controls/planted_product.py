"""The promises of the product, each broken under the people of `tests.simulation.product`."""

from __future__ import annotations

from tests.controls import promised
from tests.controls.promised import busy
from tests.controls.registry import Control, Directed, InWorld

PRODUCT = [
    Control(
        "lists-not-compared",
        "affected bookings",
        "a change touches bookings that its dry run had not listed",
        "the consent names the list, `spaces._refusal_of_consent`",
        "the list is not compared",
        InWorld(busy, patch=promised.lists_are_not_compared, budget=24),
        "its dry run had listed",
    ),
    Control(
        "affected-not-told",
        "affected bookings",
        "bookings under a closure are left as they are, and nobody is told",
        "an event for each, `spaces._settle`",
        "nothing is done",
        InWorld(busy, patch=promised.nobody_is_told),
        "told nobody",
    ),
    Control(
        "anybody-administers",
        "roles",
        "who was demoted goes on changing spaces",
        "the role is asked for in the log, `spaces._refusal_of_maker`",
        "any role will do",
        InWorld(busy, patch=promised.anybody_administers, budget=24),
        "administers nothing",
    ),
    Control(
        "quota-not-counted",
        "policies",
        "a user has more bookings than the policy allows",
        "`policies.breach_by_booking`",
        "nothing is counted",
        InWorld(busy, patch=promised.no_policy_binds),
        "beyond .* quota",
    ),
    Control(
        "blocked-session-lives",
        "people",
        "who is blocked goes on booking",
        "blocking ends the sessions in the same entry, `people.set_blocked`",
        "sessions stay",
        InWorld(busy, patch=promised.blocking_ends_nothing),
        "is blocked and has booked|session that had ended",
    ),
    Control(
        "one-time-password-good",
        "people",
        "a one-time password is good for more than another one",
        "`people.must_change_password`",
        "nobody has to",
        InWorld(busy, patch=promised.one_time_passwords_are_good, budget=24),
        "with a one-time password",
    ),
    Control(
        "basket-in-part",
        "baskets",
        "a refused basket leaves a part of it booked",
        "all are claimed before any is entered, `baskets.book_all`",
        "the first is entered at once",
        InWorld(busy, patch=promised.baskets_in_part),
        "are there",
    ),
    Control(
        "last-comes-first",
        "the waitlist",
        "who came last is served first",
        "the order of the log, `waitlist.offer`",
        "the other way round",
        Directed(promised.the_line_is_in_order),
        "was served before",
    ),
    Control(
        "cancelling-tells-no-line",
        "the waitlist",
        "what is given back can be sniped",
        "cancelling offers in its entry, `cancelling.give_up`",
        "it does not",
        InWorld(busy, patch=promised.cancelling_tells_no_line),
        "waits for what is free",
    ),
    Control(
        "changes-tell-no-line",
        "the waitlist",
        "a seat that is back can be sniped",
        "a change offers in its entry, `statemachine/refitting.py`",
        "it does not",
        InWorld(busy, patch=promised.changes_tell_no_line),
        "waits for what is free",
    ),
]
