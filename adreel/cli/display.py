"""Printing of JSON, tables and lines, and what several commands show: a job, next steps and errors."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import indent, wrap
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from adreel.cli.output import printable
from adreel.errors import AdreelError, collect_errors
from adreel.models.api import WITHOUT_CLIP, ClipWarning, SessionSummary, State
from adreel.models.cuts import CutFile, CutView
from adreel.models.deliveries import DeliveredFile
from adreel.models.parts import Part, label_of, shown_name
from adreel.models.scenarios import Scenario
from adreel.models.spend import exact_usd, money, show_cost, to_micros
from adreel.models.takes import sum_costs
from adreel.records import Records
from adreel.records.suggestions import suggest_action
from adreel.records.views import JobView, warning_lines
from adreel.settings import Settings

WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
COLOURS = {
    "completed": "green",
    "failed": "red",
    "partial": "yellow",
    "generating": "cyan",
    "cancelled": "bright_black",
}


def show_job(view: JobView) -> None:
    """Print the scenes of a job with their clips, or why they have none."""
    rows = [
        (
            shown_name(scene.scenario),
            scene.status if scene.status != "generating" else f"generating, {scene.progress} %",
            f"{scene.duration:.1f} s" if scene.duration else "",
            cost_beside_estimate(scene.cost, scene.estimate, scene.billed),
            scene.location or (scene.error or "").removeprefix(f"{label_of(scene.scenario)}: "),
        )
        for scene in view.scenes
    ]
    part, file = part_headings(scene.scenario for scene in view.scenes)
    print_table((part, "state", "length", "cost", file), rows)
    show_warnings((shown_name(scene.scenario), scene.warnings) for scene in view.scenes)
    campaign = f" of campaign {view.campaign}" if view.campaign else ""
    cost = cost_beside_estimate(view.cost, sum_costs([scene.estimate for scene in view.scenes]), view.billed)
    print_line(f"job {view.job_id}{campaign}: {view.overall_status}, cost {cost}")


def part_headings(parts: Iterable[Part]) -> tuple[str, str]:
    """Return the headings of the columns of parts and of their files."""
    return ("scene", "clip") if all(isinstance(part, Scenario) for part in parts) else ("part", "file")


def show_next_steps(view: JobView | SessionSummary, *, only_failed: bool = False) -> None:
    """Print the next command for each scene without a clip, whether it buys a clip, and files that were kept aside."""
    states = WITHOUT_CLIP if only_failed else {*WITHOUT_CLIP, State.GENERATING}
    if isinstance(view, JobView):
        scenes = [(scene.scenario, view.job_id) for scene in view.scenes if scene.status in states]
    else:
        videos = [*view.scene_videos, *view.additions]
        scenes = [(video.scenario, video.take) for video in videos if video.status in states]
    if not scenes:
        return
    settings = Settings.load()
    records = Records.of(settings)
    resumable: dict[str, list[str]] = {}
    errors: list[AdreelError] = []
    for part, job_id in scenes:
        name = shown_name(part)
        with collect_errors(errors):
            job, take = records.job(job_id), records.take(view.session_id, part, job_id)
            action = suggest_action(take, settings.attempts * (job.rounds if job else 1))
            if take and take.aside:
                print_line(f"kept aside: {name}: {records.storage.location(take.aside.file)}")
            if action.resumes:
                resumable.setdefault(job_id, []).append(f"  {name}: {action.text}")
            else:
                print_line(rerun_of(view.session_id, part))
                print_line(f"  {name}: {action.text}")
    for job_id, texts in resumable.items():
        print_line("\n".join([f"Resume the job:  adreel resume {job_id}", *texts]))
    show_errors(errors)


def rerun_of(session_id: str, part: Part) -> str:
    """Return the line with the command that buys a part again."""
    what = "one scene" if isinstance(part, Scenario) else f"the {label_of(part)}"
    return f"Rerun {what}:  adreel regenerate {session_id} {shown_name(part)}"


def show_cut(view: CutView) -> None:
    """Print the files of a finished ad, as they were measured."""
    for file in view.files:
        show_film(file)
    show_warnings([("cut", view.warnings)])


def show_film(film: CutFile | DeliveredFile) -> None:
    """Print a finished file, as it was measured."""
    loudness = "silent" if film.loudness is None else f"{film.loudness:.1f} LUFS"
    peak = "" if film.true_peak is None else f"  {film.true_peak:.1f} dBTP"
    print_line(f"{film.file}  {film.duration:.1f} s  {loudness}{peak}  {film.size / 1e6:.1f} MB")


def show_errors(errors: list[AdreelError]) -> int:
    """Print errors of unreadable records on stderr; returns the exit code."""
    for error in errors:
        print_line(f"adreel: {error}", err=True)
    return 1 if errors else 0


def show_warnings(named: Iterable[tuple[str, Iterable[ClipWarning]]]) -> None:
    """Print how requests and clips differ from what was described."""
    for line in warning_lines(named):
        print_line(f"warning: {line}")


def print_json(value: Any) -> None:
    """Print models and dataclasses as JSON."""
    from pydantic import TypeAdapter

    document = TypeAdapter(Any).dump_python(value, mode="json")
    print(json.dumps(document, indent=2))  # noqa: T201 - a command's answer


def print_json_list(values: Iterable[Any]) -> int:
    """Print models and dataclasses as a JSON list, each when it comes; returns their number."""
    from pydantic import TypeAdapter

    count = 0
    for count, value in enumerate(values, 1):
        document = json.dumps(TypeAdapter(Any).dump_python(value, mode="json"), indent=2)
        start = "[\n" if count == 1 else ",\n"
        print(start + indent(document, "  "), end="", flush=True)  # noqa: T201 - a command's answer
    print("\n]" if count else "[]")  # noqa: T201
    return count


def print_table(headings: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table whose last column is never wrapped or cut; long paths move to their own lines."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    lines = [[" ".join(printable(cell).split()) for cell in row] for row in (headings, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    is_beside = not console.file.isatty() or sum(widths) + 2 * (len(widths) - 1) <= console.width
    for number, (*cells, last) in enumerate(lines):
        styles = ["bold" if number == 0 else COLOURS.get(cell.split(",")[0], "") for cell in cells]
        line = Text()
        for cell, width, style in zip(cells, widths, styles, strict=False):
            line.append(cell, style).append(" " * (width - cell_len(cell) + 2))
        if is_beside:
            line.append(last, "bold" if number == 0 else COLOURS.get(last, ""))
        elif last:
            line.rstrip()
            # A path has no blanks that it may be broken at, or is written as it is.
            parts = [last] if Path(last).is_absolute() else wrap(last, console.width - 2, **WHOLE_WORDS)
            line.append("".join(f"\n  {part}" for part in parts), "bold" if number == 0 else "")
        line.rstrip()
        console.print(line)


def print_line(text: str, *, err: bool = False) -> None:
    """Print a line with its control characters escaped. On a terminal, prose is broken between words."""
    console = Console(stderr=err, highlight=False, soft_wrap=True, markup=False, emoji=False)
    lines = printable(text).split("\n")
    if console.is_terminal:
        lines = [part for line in lines for part in _wrapped(line, console.width)]
    console.print("\n".join(lines))


def _wrapped(line: str, width: int) -> list[str]:
    # Commands and paths are copied from the terminal, so they stay whole.
    if len(line) <= width or "  adreel " in line or "/" in line:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    return wrap(line, width, subsequent_indent=indent, **WHOLE_WORDS)


def cost_beside_estimate(cost: float | None, estimate: float | None, billed: float) -> str:
    """Return a cost for people, with the estimate if the bill was another."""
    if cost is None or estimate is None or round(cost - estimate, 6) == 0:
        return show_cost(cost, billed)
    if money(cost) == money(estimate):
        return f"${exact_usd(to_micros(cost))} (expected ${exact_usd(to_micros(estimate))})"
    return f"{money(cost)} (expected {money(estimate)})"
