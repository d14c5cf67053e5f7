"""`deskraft report`: how seats were used, as a table, a picture of the week, JSON or CSV."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from client import completing, drawing, invocation
from client.occupancy import Occupancy

if TYPE_CHECKING:
    from client.aio import Client

DEFAULT_DAYS = 30
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SHADES = " ░▒▓█"
BY = ("day", "hour", "seat", "space", "weekday-hour")


@click.command()
@click.argument("space_id", metavar="[SPACE]", required=False, type=completing.SPACE)
@click.option(
    "--from",
    "first",
    type=completing.DATE,
    metavar="YYYY-MM-DD",
    help="First day. [default: 29 days before the last]",
)
@click.option(
    "--to",
    "last",
    type=completing.DATE,
    metavar="YYYY-MM-DD",
    help="Last day, included. [default: yesterday]",
)
@click.option("--by", type=click.Choice(BY), help="What a row is. [default: day; without SPACE: space]")
@click.option("--csv", "path", type=click.Path(path_type=Path), help="Write the rows to this file instead.")
@invocation.everywhere
def report(
    space_id: str | None, first: str | None, last: str | None, by: str | None, path: Path | None
) -> None:
    """How much of the open time of seats was taken.

    For administrators. In the picture of the week the darker an hour, the fuller it was.

    \b
    Examples:
      deskraft report
      deskraft report hq --by weekday-hour
      deskraft report hq --from 2026-11-01 --to 2026-11-30 --by seat --csv november.csv
    """
    until = last or (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    since = first or (date.fromisoformat(until) - timedelta(days=DEFAULT_DAYS - 1)).isoformat()
    kind = by or ("day" if space_id else "space")

    async def work(client: Client) -> Occupancy | bytes:
        if path is not None:
            return await client.occupancy_csv(space_id, since, until, kind)
        return await client.occupancy(space_id, since, until, kind)

    answer = invocation.run(work)
    if isinstance(answer, bytes):
        assert path is not None
        try:
            path.write_bytes(answer)
        except OSError as error:
            invocation.fail(f"{path}: {error.strerror}")
        click.echo(f"Wrote {path}.")
    elif invocation.wants_json():
        invocation.print_json(answer)
    elif kind == "weekday-hour":
        _draw_heat(answer)
    else:
        _draw_rows(answer)


def _draw_rows(answer: Occupancy) -> None:
    table = drawing.table(answer.by.capitalize(), "Taken", "Open", "Share", "")
    for row in answer.rows:
        if answer.by == "hour" and not row.open_minutes and not row.taken_minutes:
            continue
        bar = "█" * round(20 * min(1.0, row.share or 0.0))
        table.add_row(
            row.label, _hours(row.taken_minutes), _hours(row.open_minutes), _percent(row.share), bar
        )
    share = answer.taken_minutes / answer.open_minutes if answer.open_minutes else None
    drawing.console().print(table)
    click.echo(
        f"{answer.first_date} to {answer.last_date}: {_percent(share)} of {_hours(answer.open_minutes)} taken"
    )


def _draw_heat(answer: Occupancy) -> None:
    share = {(row.weekday, row.hour): row.share for row in answer.rows}
    click.echo("     " + "".join(f"{hour:<3}" for hour in range(24)))
    for weekday, name in enumerate(WEEKDAYS, 1):
        shades = [_shade(share.get((weekday, hour))) for hour in range(24)]
        click.echo(f"{name}  " + "".join(shade * 2 + " " for shade in shades))
    click.echo(
        f"{answer.first_date} to {answer.last_date}, {answer.timezone}; · closed, {SHADES[1:]} up to 25, 50, 75, 100 %"
    )


def _shade(share: float | None) -> str:
    if share is None:
        return "·"
    return SHADES[min(4, -int(-share * 4 // 1))]


def _hours(minutes: int) -> str:
    return f"{minutes / 60:.1f} h"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


COMMANDS: dict[str, click.Command] = {"report": report}
