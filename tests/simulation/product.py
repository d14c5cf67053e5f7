"""The whole product as a load beside the ordinary clients of a world: `people` who book together, again and again, wait, move, check in, and
administrators who close days, retire seats, set policies, block, reset, promote.

They keep to spaces and users of their own, so the witness's history stays one of plain bookings. What they were promised is judged at
the end (`promises`), from the feed of the state and from the answers they got.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from statemachine.commands import Command, CreateSpace, NewSpace, OpenSession, RegisterUser, SetCheckIn
from statemachine.people_commands import SetRole
from statemachine.records import Seat
from statemachine.state import State
from tests.simulation.clients import BIRTH_AT, Operation
from tests.simulation.events import stream
from tests.simulation.people import (
    ANNEX,
    CLOSES,
    CORNER,
    DEPUTY,
    FOR_EVER_MS,
    HEAD,
    OPENS,
    SEATS,
    Person,
    account,
    administrator,
    regular,
)
from tests.simulation.promises import complaints

if TYPE_CHECKING:
    from tests.simulation.world import World

REGULARS = ("r1", "r2", "r3", "r4")
GRACE_MINUTES = 3
ADMINISTRATORS_SHARE = 0.4  # how often one of them does something, for once that a regular does
BEGINS_AFTER = 1.0  # seconds after the birth
FINAL = ("not-born",)  # everything else is an answer: whoever wants to try again looks anew


@dataclass
class Act:
    """One thing that a person did. `listed` are the bookings of a dry run, when it was a change that had one."""

    operation: Operation
    person: str
    session: str
    listed: tuple[str, ...] = ()


class Product:
    """Attach it to a world before it runs."""

    def __init__(self, world: World, every_seconds: float) -> None:
        self._world = world
        self._every_seconds = every_seconds
        self._rng = stream(world.seed, "product")
        self._people = {user_id: Person(user_id) for user_id in (HEAD, DEPUTY, *REGULARS)}
        self.acts: list[Act] = []

    def start(self) -> None:
        """Soon after the cluster was born."""
        self._world.at(BIRTH_AT + BEGINS_AFTER, lambda: self._prepare(self._preparations()))

    def _preparations(self) -> Iterator[tuple[str, Command, str]]:
        seats = tuple(Seat(seat, seat) for seat in SEATS)
        yield "log-in", OpenSession("s-head", HEAD, "hash", "", FOR_EVER_MS), ""
        yield "create", CreateSpace(NewSpace(ANNEX, ANNEX, "UTC", OPENS, CLOSES, 60, seats)), "s-head"
        yield "create", CreateSpace(NewSpace(CORNER, CORNER, "UTC", 0, 1440, 5, seats)), "s-head"
        yield "check-in-rule", SetCheckIn(CORNER, GRACE_MINUTES), "s-head"
        for user_id in (DEPUTY, *REGULARS):
            yield "register", RegisterUser(user_id, user_id, user_id, "hash"), ""
        yield "role", SetRole(DEPUTY, "admin"), "s-head"

    def _prepare(self, left: Iterator[tuple[str, Command, str]]) -> None:
        following = next(left, None)
        if following is None:
            self._people[HEAD].session = "s-head"
            self._act()
            return
        kind, command, session = following
        operation = Operation(f"prepare{len(self.acts)}", kind, command, self._world.now, again=FINAL)
        self.acts.append(Act(operation, HEAD, session))
        self._world.clients.begin(operation, HEAD if session else "x", session, lambda: self._prepare(left))

    def _act(self) -> None:
        world, dice = self._world, self._rng
        if world.calm:
            return
        world.at(dice.expovariate(1 / self._every_seconds), self._act)
        free = [person for person in self._people.values() if not person.busy and not person.gone]
        states = [node.core.state for node in world.nodes.values() if node.core is not None]
        if not free or not states:
            return
        weights = [ADMINISTRATORS_SHARE if person.id in (HEAD, DEPUTY) else 1 for person in free]
        person, state = dice.choices(free, weights)[0], dice.choice(states)
        if CORNER not in state.spaces or person.id not in state.users or DEPUTY not in state.users:
            return
        if not state.users[person.id].login_key:
            person.gone = True
            return
        name = f"p{len(self.acts)}"
        listed: tuple[str, ...] = ()
        if not person.session or person.one_time:
            chosen = account(person, name, state, dice)
        elif person.id in REGULARS:
            chosen_or_none = regular(person, name, state, dice)
            if chosen_or_none is None:
                return
            chosen = chosen_or_none
        else:
            present = [user_id for user_id in REGULARS if not self._people[user_id].gone]
            chosen_or_none, listed = administrator(person, name, state, present or [DEPUTY], dice)
            if chosen_or_none is None:
                return
            chosen = chosen_or_none
        self._do(person, name, *chosen, listed)

    def _do(self, person: Person, name: str, kind: str, command: Command, listed: tuple[str, ...]) -> None:
        operation = Operation(name, kind, command, self._world.now, again=FINAL)
        operation.user = person.id
        logging_in = kind == "log-in"
        act = Act(operation, person.id, "" if logging_in else person.session, listed)
        self.acts.append(act)
        person.busy = True
        scope = f"login:{person.id}" if logging_in else person.id
        self._world.clients.begin(operation, scope, act.session, lambda: self._learn(person, operation))

    def _learn(self, person: Person, operation: Operation) -> None:
        """What an answer tells of one's own account."""
        assert operation.outcome is not None
        person.busy = False
        code, kind = operation.outcome.code, operation.kind
        if code == "unauthenticated" or (kind in ("log-out-everywhere", "erase") and code == "ok"):
            person.session, person.one_time = "", False
        elif code == "password-change-needed":
            person.one_time = True
        elif kind == "log-in" and code == "ok":
            person.session = f"s-{operation.key}"
        elif kind == "change-password":
            person.one_time = False
            person.password = f"own-{operation.key}" if code == "ok" else person.password
            person.session = person.session if code == "ok" else ""
        if kind == "erase" and code == "ok":
            person.gone = True

    def complaints(self, state: State) -> list[str]:
        """Where the state is not what was promised."""
        return complaints(self.acts, state)
