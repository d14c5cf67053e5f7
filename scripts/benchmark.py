"""Behind `scripts/bench`: the command line, the environment, then `benchmarking` inside it. Standard library only."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

HTTP_CASES = ("availability", "history", "book", "contend", "mix", "failure")
CASES = ("core", *HTTP_CASES, "client", "catchup", "page")
PEERS = ("aiohttp",)
PEERS_NOT_BUILT = ("etcd", "rqlite", "postgres")
MAX_SECONDS = 600  # an access token lasts 15 minutes and is renewed between cases only
MIN_SECONDS = 1
DEFAULT_SECONDS = 10
MAX_BOOKINGS = 2_000_000
MIN_BOOKINGS = 10_000  # fewer are fetched before anybody could look
DEFAULT_BOOKINGS = 200_000

HELP = """\
cases (all of them unless --case names some):
  core          no HTTP: commands and read indexes on three members, 1 to 1,000 outstanding
  availability  a day of a space with 20 seats
  history       the newest page of one's own bookings
  book          a free seat every time
  contend       20 requests for each seat and hour; exactly one of them may win
  mix           90 % reads, 10 % bookings and cancellations
  failure       mix, while a follower is killed with SIGKILL and comes back
  client        one request at a time, by the client library and without it
  catchup       bookings at a fixed rate on two nodes, while the third fetches a snapshot of --bookings bookings,
                is cut off half way, goes on, and installs it

  page          the web page in Chromium: the first render of 200 seats × 14 hours, and changes of other people as they
                are seen; left out where there is no Chromium

peers, measured beside the nodes in the same run:
  aiohttp       a server that answers a constant; what a request costs is told as a multiple of its cost

The HTTP cases before `client`: three nodes as processes with fsync on, 100 signed-in connections spread over them, each sending
its next request when the last one is answered. Latencies are therefore those of a saturated machine.

Exits 0 when nothing was violated: no seat sold twice, no confirmed booking lost, no status that the case does not
allow, no node dead. A missed speed target is told and is no violation. 2 is wrong usage."""


def list_of(known: tuple[str, ...], text: str) -> list[str]:
    """The names of a comma-separated list. Raises ArgumentTypeError."""
    names = [name for name in text.replace(" ", "").split(",") if name]
    for name in names:
        if name in PEERS_NOT_BUILT and known is PEERS:
            raise argparse.ArgumentTypeError(
                f"{name} is not measured by this version; there is: {', '.join(PEERS)}"
            )
        if name not in known:
            raise argparse.ArgumentTypeError(f"unknown: {name}; there is: {', '.join(known)}")
    if not names:
        raise argparse.ArgumentTypeError(f"names expected, of: {', '.join(known)}")
    return [name for name in known if name in names]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"from {MIN_SECONDS} to {MAX_SECONDS} expected")
    return seconds


def _bookings(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not MIN_BOOKINGS <= number <= MAX_BOOKINGS:
        raise argparse.ArgumentTypeError(f"from {MIN_BOOKINGS} to {MAX_BOOKINGS} expected")
    return number


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; ends the process with 2 on a mistake."""
    parser = argparse.ArgumentParser(
        prog="./scripts/bench",
        description="Measure Deskraft on this machine, with its own processes on free loopback ports.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--case",
        type=lambda text: list_of(CASES, text),
        default=list(CASES),
        metavar="LIST",
        help="which cases",
    )
    parser.add_argument(
        "--peers",
        type=lambda text: list_of(PEERS, text),
        default=list(PEERS),
        metavar="LIST",
        help="beside what",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=DEFAULT_SECONDS,
        metavar="S",
        help="for each case (default: %(default)s)",
    )
    parser.add_argument(
        "--bookings",
        type=_bookings,
        default=DEFAULT_BOOKINGS,
        metavar="N",
        help="in the snapshot of catchup (default: %(default)s)",
    )
    parser.add_argument(
        "--json", type=lambda text: Path(text).absolute(), metavar="FILE", help="write the figures too"
    )
    return parser.parse_args(arguments)


def main() -> NoReturn:
    """Parse, install, and become the benchmark."""
    chosen = parse(sys.argv[1:])
    from environment import (
        ROOT,
        SetupError,
        ensure,
        ensure_program,
    )  # beside this file; of no use inside the environment

    if not sys.platform.startswith("linux"):
        print("scripts/bench: Linux is needed: the nodes' CPU time is read from /proc", file=sys.stderr)
        sys.exit(2)
    try:
        if "page" in chosen.case:
            ensure_program("chromium", "the case page")
        python = ensure(
            frozenset({"test"} if "page" in chosen.case else ())
        )  # Playwright comes with the tests
    except SetupError as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        sys.exit(2)
    arguments = [
        "--case",
        ",".join(chosen.case),
        "--peers",
        ",".join(chosen.peers),
        "--seconds",
        str(chosen.seconds),
        "--bookings",
        str(chosen.bookings),
    ]
    arguments += ["--json", str(chosen.json)] if chosen.json else []
    os.chdir(ROOT)
    os.execv(python, [str(python), "-m", "scripts.benchmarking", *arguments])  # noqa: S606 - the one just made


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
