"""How a call can end other than well: every exception is a `DeskraftError`, its text fit to show to a person."""

from __future__ import annotations

from collections.abc import Mapping

from client.answers import Alternative, Problem


class DeskraftError(Exception):
    """Anything that the client raises on purpose."""


class Refused(DeskraftError):  # noqa: N818 - a refusal is an answer, not a failure of the program
    """The cluster decided against the request; asking again unchanged gives the same."""

    def __init__(self, problem: Problem, retry_after_seconds: float | None = None) -> None:
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds
        where = "".join(f"; {error.pointer or '/'}: {error.detail}" for error in problem.errors)
        super().__init__((problem.detail or problem.title or f"status {problem.status}") + where)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def code(self) -> str:
        """The problem's name, such as "seat-taken"."""
        return self.problem.code

    @property
    def alternatives(self) -> list[Alternative]:
        """Free places offered instead of a taken one."""
        return self.problem.alternatives


class Unauthenticated(Refused):
    """No log-in, a wrong password, or a session that has ended."""


class NoNodeAnswers(DeskraftError):  # noqa: N818 - named for what the user sees
    """No node could serve the request before its deadline; it was not carried out.

    `reasons` says for each server asked what it answered last.
    """

    def __init__(self, reasons: Mapping[str, str], summary: str = "no node answers") -> None:
        self.reasons = dict(reasons)
        told = "; ".join(f"{server}: {reason}" for server, reason in self.reasons.items())
        super().__init__(f"{summary} ({told})" if told else summary)


class OutcomeUnknown(NoNodeAnswers):
    """The deadline passed while a write may or may not have been carried out.

    Repeat the same call with `key` to learn which; it will not happen twice.
    """

    def __init__(self, reasons: Mapping[str, str], key: str) -> None:
        self.key = key
        super().__init__(reasons, f"the outcome is not known; ask again with the idempotency key {key}")


class BadAnswer(DeskraftError):  # noqa: N818 - named for what the user sees
    """A server answered with something that no Deskraft node says."""
