"""The command `spend`: what was estimated and billed, from the records of takes."""

import sys
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adreel.cli.options import Json
from adreel.errors import InputError
from adreel.models.scenarios import Scenario
from adreel.models.spend_groups import Group

if TYPE_CHECKING:
    from adreel.models.spend_reports import Line, Lines, Report

Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="UTC day, such as 2026-11-01")]


def spend(
    by: Annotated[Group, typer.Option(help="What each line sums up")] = Group.CAMPAIGN,
    since: Day = None,
    until: Day = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with sums in USD")] = False,
    as_json: Json = False,
) -> None:
    """Show what was spent, and what it was estimated at.

    Lists unknown bills, takes that no ad uses and the cost per finished ad. Exits 1 if a record is unreadable, which is
    named and left out.
    """
    from adreel.cli.display import print_json, show_errors
    from adreel.flows.running import open_records
    from adreel.spend.reports import build_report

    if as_csv and as_json:
        raise InputError("give --csv or --json, not both")
    first, last = since.date() if since else None, until.date() if until else None
    if first and last and first > last:
        raise InputError(f"--since {first} is after --until {last}: exchange them")
    report = build_report(open_records(), by, first, last)
    if as_json:
        print_json(_document(report, first, last))
    elif as_csv:
        report.write_csv(sys.stdout)
    else:
        _print_tables(report)
    raise typer.Exit(show_errors(report.unreadable))


def _document(report: "Report", since: date | None, until: date | None) -> dict[str, Any]:
    def part(lines: "Lines") -> dict[str, Any]:
        rows = [{report.by.value: name, **line.values()} for name, line in sorted(lines.by_name.items())]
        return {"rows": rows, "total": lines.total.values()}

    return {"by": report.by, "since": since, "until": until, **part(report.money), "emulator": part(report.emulator)}


def _print_tables(report: "Report") -> None:
    from adreel.cli.display import print_line, print_table
    from adreel.models.spend_reports import EMULATOR

    if not report.money.by_name:
        print_line("nothing was spent" if report.emulator.by_name else "nothing was ordered")
    for lines in (report.money, report.emulator):
        if not lines.by_name:
            continue
        is_of_parts = report.by == Group.SCENE and not lines.by_name.keys() <= set(Scenario)
        group = "part" if is_of_parts else report.by.value
        title = group if lines is report.money else f"{group} ({EMULATOR})"
        headings = (title, "ads", "finished", "files", "estimated", "billed", "unknown", "unused", "per finished ad")
        rows = [_cells(name, line) for name, line in sorted(lines.by_name.items())]
        print_table(headings, [*rows, _cells("total", lines.total)])
        if lines.total.without_estimate:
            print_line(
                f"{lines.total.without_estimate} takes have no estimate: their price was unknown or not recorded"
            )


def _cells(name: str, line: "Line") -> tuple[str, ...]:
    from adreel.models.spend import money, to_usd

    unused = f"{line.unused} ({money(to_usd(line.unused_billed))})" if line.unused else ""
    per_finished = "" if line.per_finished is None else money(to_usd(line.per_finished))
    counts = (name, str(line.ads), str(line.finished), str(line.clips))
    sums = (money(to_usd(line.estimated)), money(to_usd(line.billed)))
    return (*counts, *sums, str(line.unknown or ""), unused, per_finished)
