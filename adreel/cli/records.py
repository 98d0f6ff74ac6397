"""The commands that read and maintain the records: status, takes, use, verify, fetch, prune."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from adreel.cli.display import (
    cost_beside_estimate,
    part_headings,
    print_json,
    print_json_list,
    print_line,
    print_table,
    show_cut,
    show_errors,
    show_job,
    show_next_steps,
    show_warnings,
)
from adreel.errors import AdreelError, collect_errors
from adreel.flows import in_process
from adreel.flows.running import open_records
from adreel.models.api import WITHOUT_CLIP, SessionSummary
from adreel.models.parts import PARTS, Part, kind_of, scenario_of, shown_name
from adreel.models.spend import show_cost, to_usd
from adreel.models.takes import Take, utc_now
from adreel.records import Records, export, pruning
from adreel.records.deleting import deleted_sessions, remove_session
from adreel.records.suggestions import why_no_clip
from adreel.records.verification import each_finding
from adreel.records.views import JobView, current_take, scene_status, words_of
from adreel.spend.budgets import Budgets

ROWS = 100
"""Pruned takes that a table shows."""


def show_status(name: str, *, as_json: bool) -> None:
    """Show a job, or each scene of a session, with the next command for scenes that have failed."""
    view = in_process.status(name)
    if as_json:
        print_json(view if isinstance(view, JobView) else {**_with_time_last(view), "cuts": in_process.cuts(name)})
        return
    records = open_records()
    if isinstance(view, JobView):
        show_job(view)
    else:
        rows = []
        for video in [*view.scene_videos, *view.additions]:
            clip = records.storage.location(video.video_url.removeprefix("/outputs/")) if video.video_url else ""
            if video.status in WITHOUT_CLIP:
                # An unreadable record is named below.
                with suppress(AdreelError):
                    job, take = records.job(video.take), records.take(name, video.scenario, video.take)
                    clip = why_no_clip(scene_status(job, take, video.scenario), take) if job else ""
            rows.append(
                (
                    shown_name(video.scenario),
                    video.status,
                    cost_beside_estimate(video.cost, video.estimate, video.billed),
                    video.take,
                    clip,
                )
            )
        part, file = part_headings(video.scenario for video in [*view.scene_videos, *view.additions])
        print_table((part, "state", "cost", "take of job", file), rows)
        show_warnings((shown_name(video.scenario), video.warnings) for video in [*view.scene_videos, *view.additions])
        campaign = f" of campaign {view.campaign}" if view.campaign else ""
        state = "nothing generated yet"
        if view.scene_videos or view.additions:
            state = f"{view.state or 'new'}, cost {show_cost(view.cost, view.billed)}"
        print_line(f"session {name}{campaign}: {state}")
        cuts = in_process.cuts(name)
        # After `adreel use`, an earlier cut may be the right one again.
        for cut in [cut for cut in cuts if cut.state == "current"][:1] or cuts[:1]:
            stale = f" (a clip or a setting has changed: adreel cut {name})" if cut.state == "stale" else ""
            print_line(f"cut {cut.cut_id}: {cut.state}{stale}")
            show_cut(cut)
    show_next_steps(view, only_failed=True)


def _with_time_last(summary: SessionSummary) -> dict[str, Any]:
    # The HTTP API has another order of keys. Programs may compare the output with that of earlier versions.
    return {**summary.model_dump(exclude={"updated_at"}), "updated_at": summary.updated_at}


def show_takes(session_id: str, scenario: Part | None, *, as_json: bool) -> None:
    """List the takes of a session from old to new; an arrow marks the current ones."""
    takes = in_process.takes(session_id, scenario)
    if as_json:
        print_json(takes)
        return
    records = open_records()
    choices = records.choices(session_id)
    current = [current_take([take for take in takes if take.scenario == each], choices) for each in PARTS]
    rows = [
        (
            ">" if take in current else "",
            shown_name(take.scenario),
            take.short_id,
            take.state,
            take.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            cost_beside_estimate(take.cost, take.estimate, to_usd(take.billed)),
            str(take.attempts[-1].seed or "") if take.attempts else "",
            take.problem.message if take.problem else words_of(take)[:60],
        )
        for take in takes
    ]
    print_table(("", "part", "take", "state", "created", "cost", "seed", "description"), rows)
    show_warnings((f"{shown_name(take.scenario)} {take.short_id}", take.warnings) for take in takes)
    for take in takes:
        if take.aside:
            print_line(
                f"kept aside: {shown_name(take.scenario)} {take.short_id}: {records.storage.location(take.aside.file)}"
            )


def use_take(session_id: str, part: Part, name: str) -> None:
    """Make an older take the current one, or a still the first frame of its scene."""
    take = in_process.choose_take(session_id, part, name)
    print_line(f"{session_id} {shown_name(part)} now shows take {take.short_id} of job {take.job_id}")
    if kind_of(part) == "still":
        print_line(
            f"the next clip of {scenario_of(part)} starts from it: adreel generate {session_id} --scene"
            f" {scenario_of(part)}, or adreel regenerate {session_id} {scenario_of(part)}"
        )


def show_findings(*, checksums: bool, as_json: bool) -> int:
    """Check the storage and show the findings; returns the exit code."""
    records = open_records()
    findings = each_finding(records, checksums=checksums)
    if as_json:
        return 1 if print_json_list(findings) else 0
    count = 0
    for finding in findings:
        print_line(f"{finding.kind}: {records.storage.location(finding.path)}: {finding.message}")
        count += 1
    print_line(f"{count} findings in {records.storage.url}")
    return 1 if count else 0


def fetch_clips(session_id: str, folder: Path, *, as_json: bool) -> int:
    """Copy the current clips of a session into a folder; returns the exit code."""
    fetched = list(export.fetch(open_records(), session_id, folder))
    if as_json:
        print_json(fetched)
    else:
        for scene in fetched:
            what = f"{scene.file}{' (already there)' if scene.was_there else ''}" if scene.file else "has no clip yet"
            print_line(f"{scene.scenario if scene.scenario == 'cut' else shown_name(scene.scenario)}: {what}")
    return 0 if all(scene.file for scene in fetched) else 1


def prune_takes(older_than: str, *, keep_current: bool, dry_run: bool, as_json: bool, cuts: bool = False) -> int:
    """Remove unused takes and segments, or only list them; returns the exit code, 1 if a record is unreadable."""
    records = open_records()
    broken: list[AdreelError] = []
    before = utc_now() - pruning.parse_age(older_than)

    def remove_takes() -> Iterator[Take]:
        for take in pruning.prunable(records, before, keep_current=keep_current, broken=broken):
            is_removed = dry_run
            with collect_errors(broken):
                is_removed = is_removed or pruning.prune(records, take, keep_current=keep_current)
            if is_removed:
                yield take

    if not dry_run:
        # The hold of a dead run becomes its cost while the record of the take tells it.
        Budgets(records).reconcile(broken=broken)
    count, size = (print_json_list(remove_takes()), 0) if as_json else _show_removed(records, remove_takes())
    cut_files, cut_count, segment_count = list[str](), 0, 0
    for cut in pruning.prunable_cuts(records, before, broken) if cuts else ():
        with collect_errors(broken):
            cut_files += [file.file for file in cut.files]
            cut_count += 1
            if not dry_run:
                pruning.prune_cut(records, cut)
    for path in pruning.unused_segments(records, broken):
        with collect_errors(broken):
            segment_count += 1
            if not dry_run:
                records.storage.remove(path)
    deleted_count = 0
    for session_id in deleted_sessions(records, before, broken):
        with collect_errors(broken):
            deleted_count += 1
            if not dry_run:
                remove_session(records, session_id)
    if not as_json:
        action = "would remove" if dry_run else "removed"
        print_line(f"{action} {count} takes, {size / 1e6:.1f} MB, of {records.storage.url}")
        if cut_count or segment_count:
            files = f": {', '.join(cut_files)}" if cut_files else ""
            print_line(f"{action} {cut_count} cuts and {segment_count} segments{files}")
        if deleted_count:
            print_line(f"{action} what was left of {deleted_count} deleted sessions")
    return show_errors(broken)


def _show_removed(records: Records, takes: Iterator[Take]) -> tuple[int, int]:
    """Show takes in tables of some rows; returns their number and the size of their files in bytes."""
    count = size = 0
    while page := list(islice(takes, ROWS)):
        rows = []
        for take in page:
            stored = take.clip or take.aside
            clip = records.storage.location(stored.file) if stored else take.state
            made = take.created_at.strftime("%Y-%m-%d %H:%M")
            rows.append(
                (
                    take.session_id,
                    shown_name(take.scenario),
                    take.job_id,
                    made,
                    show_cost(take.cost, to_usd(take.billed)),
                    clip,
                )
            )
            size += stored.size if stored else 0
        part, file = part_headings(take.scenario for take in page)
        print_table(("session", part, "take of job", "created", "cost", file), rows)
        count += len(page)
    return count, size
