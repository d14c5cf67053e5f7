"""Cluster life: operators who add, promote, remove and replace members while everything else goes wrong.

An operator asks through whatever node answers, again and again, as `node.operations` does; two may ask for different things at once. A member that is
added gets a machine with an empty disk; a replaced one loses its disk first. An operator who has lost a disk never gives up replacing it,
because two lost disks of three would be one too many (`_may_lose_a_disk`); everything else he may leave undone.

What is checked is the judge's (`judge`): no member stops without a configuration that says so, and in the end every member of the
last configuration is there, and nobody else.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from node.membership import Change, Configuration
from tests.simulation.member import SimNode
from tests.simulation.plan import Fault

if TYPE_CHECKING:
    from node.effects import Changed
    from tests.simulation.world import World

LIFE_KINDS = ("add_learner", "promote", "remove_follower", "remove_leader", "replace", "two_operators")
MAX_MACHINES = 9
MIN_VOTERS = 3  # a sensible operator does not go below
ATTEMPT_SECONDS = 0.5
PATIENCE_SECONDS = 6.0
BOLD_SHARE = 0.3  # of the removals that leave fewer than that, in worlds that allow it
STAYS_LEARNER_SHARE = 0.3
STARTED_TOO_EARLY_SHARE = (
    0.3  # of the machines with a lost disk, those that are started before they are replaced
)

Done = Callable[[str], None]


class Life:
    """What operators have in hand."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lost: set[str] = set()  # members whose disk is lost and who are not replaced yet
        self._leaving = 0  # voters whose removal is being asked for
        self._maybe_left = (
            0  # the committed configuration as of which the end of a voter's removal is unknown
        )
        self._request = 0
        self.changes: dict[str, int] = {}  # ends by kind and code

    # Asking.

    def ask(
        self, change: Change, dice: random.Random, done: Done, patience: float = PATIENCE_SECONDS
    ) -> None:
        """Ask through random nodes until there is an answer that is not "ask again", or patience is over."""
        end = self._world.now + patience

        def attempt() -> None:
            if self._world.now > end:
                done("gave-up")
                return
            living = [
                node
                for _, node in sorted(self._world.nodes.items())
                if node.core is not None and not node.paused
            ]
            if not living:
                self._world.at(0.1, attempt)
                return
            node = dice.choice(living)
            assert node.core is not None
            self._request += 1
            request = self._request
            answered: list[str] = []

            def answer(effect: Changed | None) -> None:
                if answered:
                    return
                code = "silence" if effect is None else effect.code
                answered.append(code)
                if code in ("silence", "not-leader", "change-pending"):
                    self._world.at(dice.uniform(0.02, 0.2), attempt)
                else:
                    done(code)

            node.changes[request] = answer
            node.core.change(request, change)
            self._world.at(0.0, node.turn)
            self._world.at(ATTEMPT_SECONDS, lambda: answer(None))

        attempt()

    def _asked(self, kind: str, then: Callable[[], None] | None = None) -> Done:
        def done(code: str) -> None:
            name = f"{kind} {code or 'done'}"
            self.changes[name] = self.changes.get(name, 0) + 1
            self._world.note(f"operator: {name}")
            if code == "" and then is not None:
                then()

        return done

    # Knowing.

    def configuration(self) -> Configuration | None:
        """The newest committed configuration (operators talk to each other; what one member believes may be old)."""
        configuration = self._world.judge.configuration
        return configuration if configuration is not None and configuration.founded else None

    # The kinds of faults.

    def strike(self, fault: Fault, victim: SimNode, dice: random.Random) -> None:
        """One event of a cluster's life."""
        configuration = self.configuration()
        if configuration is None:
            return
        match fault.kind:
            case "add_learner":
                self._add(configuration, dice)
            case "promote":
                self._promote(configuration, dice)
            case "remove_follower":
                followers = [id_ for id_ in configuration.by_id if not self._leads(id_)]
                if followers:
                    self._remove(configuration, dice.choice(followers), dice)
            case "remove_leader":
                self._remove(configuration, victim.node_id, dice)
            case "replace":
                self._replace(configuration, victim, dice)
            case "two_operators":
                self._add(configuration, dice)
                self._remove(configuration, dice.choice(sorted(configuration.by_id)), dice)

    def _leads(self, node_id: str) -> bool:
        node = self._world.nodes.get(
            node_id
        )  # none yet: it was added this moment, and its machine is still to come
        return node is not None and node.core is not None and node.core.guard.leading

    def _add(self, configuration: Configuration, dice: random.Random) -> None:
        world = self._world
        if len(world.nodes) >= MAX_MACHINES:
            return
        node_id = f"n{len(world.nodes) + 1}"  # a new name each time: an old machine may still hold a disk of the old one
        wants_vote = dice.random() >= STAYS_LEARNER_SHARE
        change = Change("add", node_id, f"{node_id}:7000", f"{node_id}:8000")
        delay = dice.uniform(0.0, 1.0)
        self.ask(change, dice, self._asked("add", lambda: self._start_new(node_id, wants_vote, delay)))

    def _start_new(self, node_id: str, wants_vote: bool, delay: float) -> None:
        world = self._world
        if node_id in world.nodes:
            return  # another operator added the same one, and it may hold something by now
        world.add_member(node_id)
        world.ids.append(node_id)
        node = world.nodes[node_id]
        node.wants_vote = wants_vote
        world.at(delay, lambda: self._join(node))

    def _join(self, node: SimNode) -> None:
        """Start a machine that is to join: somebody who knows it tells it where to begin."""
        world = self._world
        if node.alive:
            return
        tellers = [
            other.core.applied_placed
            for _, other in sorted(world.nodes.items())
            if other.core is not None and node.node_id in other.core.applied_placed.configuration.by_id
        ]
        if not tellers:
            if self.belongs(node.node_id):
                world.at(0.2, lambda: self._join(node))
            return
        if node.node_id not in world.born_ids:  # those have cluster.yml
            node.joined_by = max(tellers, key=lambda placed: placed.index)
        node.stopped_because = None
        node.boot()

    def belongs(self, node_id: str) -> bool:
        """Whether the newest configuration names it."""
        configuration = self.configuration()
        return configuration is None or node_id in configuration.by_id

    def _promote(self, configuration: Configuration, dice: random.Random) -> None:
        learners = [seat.id for seat in configuration.seats if not seat.voter]
        if learners:
            self.ask(Change("promote", dice.choice(learners)), dice, self._asked("promote"))

    def _remove(self, configuration: Configuration, node_id: str, dice: random.Random) -> None:
        seat = configuration.by_id.get(node_id)
        if seat is None or self._lost:
            return
        leaving = self._leaving if seat.voter else 0
        few = seat.voter and len(configuration.voters) - leaving <= MIN_VOTERS
        if few and not (self._world.settings.few_voters and dice.random() < BOLD_SHARE):
            return
        self._leaving += seat.voter
        told = self._asked("remove")

        def done(code: str) -> None:
            self._leaving -= seat.voter
            if code == "gave-up" and seat.voter:
                self._maybe_left = (
                    self._world.judge.placed_at
                )  # it may stand in somebody's log, and count there already
            told(code)

        self.ask(Change("remove", node_id), dice, done)

    def _may_lose_a_disk(self, configuration: Configuration) -> bool:
        """Only with one voter to spare: whose removal is under way, or may be, is none (Ongaro's thesis, 4.1: the newest entry of a log counts)."""
        certain = not self._leaving and self._maybe_left < self._world.judge.placed_at
        return certain and not self._lost and len(configuration.voters) >= MIN_VOTERS

    def _replace(self, configuration: Configuration, victim: SimNode, dice: random.Random) -> None:
        """The disk is lost; the machine may be started with an empty one before the operator has said so."""
        node_id = victim.node_id
        if node_id not in configuration.by_id or not self._may_lose_a_disk(configuration):
            return
        if not victim.had_identity:
            return  # it was added and died before it was anybody: there is no disk to name
        self._lost.add(node_id)
        disk = victim.identity.incarnation
        victim.crash()
        victim.lose_disk()
        if dice.random() < STARTED_TOO_EARLY_SHARE:
            self._world.faults.restart_later(victim, dice.uniform(0.0, 0.5))
        self._world.at(dice.uniform(0.1, 3.0), lambda: self._ask_to_replace(victim, disk, dice))

    def _ask_to_replace(self, node: SimNode, disk: str, dice: random.Random) -> None:
        def done(code: str) -> None:
            self._asked("replace")(code)
            if code in ("", "unknown-member"):
                self._lost.discard(node.node_id)
                self._world.at(dice.uniform(0.0, 0.5), lambda: self._join(node))
            else:
                self._world.at(0.3, lambda: self._ask_to_replace(node, disk, dice))

        self.ask(Change("replace", node.node_id, disk=disk), dice, done)

    def finish(self) -> None:
        """The faults are over: whoever belongs to the cluster is started (lost disks are still being replaced). A machine whose disk was lost and
        that was removed before it met anybody may know none of those who are left: nobody can tell it, so its operator ends it.
        """
        for node_id, node in sorted(self._world.nodes.items()):
            core = node.core
            if core is not None and core.journal.last_index == 1 and not self.belongs(node_id):
                self._world.note(f"operator: {node_id} is switched off: it has nothing, and is no member")
                node.crash()
            if not node.alive and node_id not in self._lost and self.belongs(node_id):
                if node.stopped_because is not None or node.never_started:
                    self._join(node)
                else:
                    node.boot()
