"""The commands that only read records: status, sessions, takes; and the choice of a take."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from adreel.cli.output import printable
from adreel.errors import AdreelError, NotFound
from adreel.models.api import ClipWarning, SessionSummary, State
from adreel.models.scenarios import Scenario
from adreel.models.takes import Take
from adreel.records import Records
from adreel.records.suggestions import suggest_action
from adreel.records.verification import verify
from adreel.records.views import JobView, choose_take, current_take, job_view, session_view, session_views
from adreel.settings import Settings
from adreel.storage import Storage

COLOURS = {"completed": "green", "failed": "red", "partial": "yellow", "generating": "cyan"}


def open_records(settings: Settings) -> Records:
    """Return the records that the settings point to."""
    return Records(Storage.of(settings))


def show_status(name: str, *, as_json: bool) -> None:
    """Show a job, or each scene of a session."""
    records = open_records(Settings.load())
    if records.job(name) is not None:
        show_job(job_view(records, name), as_json=as_json)
        return
    try:
        view = session_view(records, name)
    except NotFound:
        raise NotFound(f"{name!r} is neither a job nor a session in {records.place}") from None
    if as_json:
        print_json(_time_last(view))
        return
    rows = [
        (video.scenario, video.status, money(video.cost), video.take, location(records, video.video_url))
        for video in view.scene_videos
    ]
    print_table(("scene", "state", "cost", "take of job", "clip"), rows)
    _print_warnings((video.scenario, video.warnings) for video in view.scene_videos)
    print_line(f"session {name}: {view.state or 'nothing generated yet'}, cost {money(view.cost)}")


def show_job(view: JobView, *, as_json: bool) -> None:
    """Show the scenes of a job, with their clips or reasons."""
    if as_json:
        print_json(view)
        return
    rows = [
        (
            scene.scenario,
            scene.status if scene.status != "generating" else f"generating, {scene.progress} %",
            f"{scene.duration:.1f} s" if scene.duration else "",
            money(scene.cost),
            scene.location or scene.error or "",
        )
        for scene in view.scenes
    ]
    print_table(("scene", "state", "length", "cost", "clip"), rows)
    _print_warnings((scene.scenario, scene.warnings) for scene in view.scenes)
    print_line(f"job {view.job_id}: {view.overall_status}, cost {money(view.cost)}")


def show_resumed(views: list[JobView], *, as_json: bool) -> None:
    """Show the resumed jobs."""
    if as_json:
        print_json(views)
        return
    for view in views:
        show_job(view, as_json=False)
    if not views:
        print_line("nothing is open: there is nothing to resume")


def show_actions(records: Records, settings: Settings, views: list[JobView]) -> None:
    """Print the next command for each scene without a clip, and whether it buys one."""
    for view in views:
        job = records.job(view.job_id)
        allowed = settings.attempts * (job.rounds if job else 1)
        resumed: list[str] = []
        for scene in view.scenes:
            if scene.status == State.COMPLETED:
                continue
            action = suggest_action(records.take(view.session_id, scene.scenario, view.job_id), allowed)
            if action.resumes:
                resumed.append(f"  {scene.scenario}: {action.text}")
            else:
                print_line(f"Rerun one scene:  adreel regenerate {view.session_id} {scene.scenario}")
                print_line(f"  {scene.scenario}: {action.text}")
        if resumed:
            print_line("\n".join([f"Resume the job:  adreel resume {view.job_id}", *resumed]))


def show_sessions(*, as_json: bool) -> int:
    """List the sessions with their states; returns the exit code."""
    records = open_records(Settings.load())
    views, broken = session_views(records)
    if as_json:
        print_json([_time_last(view) for view in views])
    elif not views and not broken:
        print_line(f"no sessions in {records.place}")
    else:
        rows = [(view.session_id, view.state or "new", money(view.cost), view.product_name) for view in views]
        print_table(("session", "state", "cost", "product"), rows)
    return show_broken(broken)


def show_broken(broken: list[AdreelError]) -> int:
    """Name what can't be read, on stderr; returns the exit code."""
    for error in broken:
        print_line(f"adreel: {error}", err=True)
    return 1 if broken else 0


def show_takes(session_id: str, scenario: Scenario | None, *, as_json: bool) -> None:
    """List the takes of a session, the oldest first; an arrow marks the current ones."""
    records = open_records(Settings.load())
    session = records.session(session_id)
    choices = records.choices(session_id)
    every = {each: records.takes(session_id, each) for each in ([scenario] if scenario else session.scenarios)}
    if as_json:
        print_json([take for takes in every.values() for take in takes])
        return
    current = [take for takes in every.values() if (take := current_take(takes, choices))]
    rows = [_take_row(take, is_current=take in current) for takes in every.values() for take in takes]
    print_table(("", "scene", "take", "state", "made", "cost", "seed", "what"), rows)
    for take in (take for takes in every.values() for take in takes):
        _print_warnings([(f"{take.scenario} {take.short_id}", take.warnings)])
        if take.aside:
            print_line(f"kept aside: {take.scenario} {take.short_id}: {records.storage.location(take.aside.file)}")


def show_findings(*, as_json: bool) -> int:
    """Check the storage and show what is wrong; returns the exit code."""
    records = open_records(Settings.load())
    findings = verify(records)
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            print_line(f"{finding.kind}: {records.storage.location(finding.path)}: {finding.message}")
        print_line(f"{len(findings)} findings in {records.storage.url}")
    return 1 if findings else 0


def use_take(session_id: str, scenario: Scenario, name: str) -> None:
    """Choose an older take."""
    take = choose_take(open_records(Settings.load()), session_id, scenario, name)
    print_line(f"{session_id} {scenario} now shows take {take.short_id} of job {take.job_id}")


def print_json(value: Any) -> None:
    """Print models and dataclasses as JSON."""
    from pydantic import TypeAdapter

    document = TypeAdapter(Any).dump_python(value, mode="json")
    print(json.dumps(document, indent=2))  # noqa: T201 - a command's answer


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
            line.append(f"\n  {last}", "bold" if number == 0 else "")
        line.rstrip()
        console.print(line)


def print_line(text: str, *, err: bool = False) -> None:
    """Print a line with its control characters escaped."""
    Console(stderr=err, highlight=False, soft_wrap=True, markup=False, emoji=False).print(printable(text))


def money(cost: float | None) -> str:
    """Return USD for people; a cost that the provider did not report is not called 0."""
    return "unknown" if cost is None else f"${cost:.2f}"


def location(records: Records, video_url: str | None) -> str:
    """Return where a served clip lies in storage."""
    return records.storage.location(video_url.removeprefix("/outputs/")) if video_url else ""


def _time_last(summary: SessionSummary) -> dict[str, Any]:
    # The HTTP API has another order of keys; programs may compare the output of earlier versions by its bytes.
    return {**summary.model_dump(exclude={"updated_at"}), "updated_at": summary.updated_at}


def _print_warnings(found: Iterable[tuple[str, list[ClipWarning]]]) -> None:
    for name, warnings in found:
        for warning in warnings:
            print_line(f"warning: {name}: {warning.message}")


def _take_row(take: Take, *, is_current: bool) -> tuple[str, ...]:
    return (
        ">" if is_current else "",
        take.scenario,
        take.short_id,
        take.state,
        take.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        money(take.cost),
        str(take.attempts[-1].seed or "") if take.attempts else "",
        take.problem.message if take.problem else take.scene.visual_description[:60],
    )
