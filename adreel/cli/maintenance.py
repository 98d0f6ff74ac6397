"""The commands that copy clips out of the storage, and that prune it."""

from pathlib import Path

from adreel.cli.display import money, open_records, print_json, print_line, print_table, show_broken
from adreel.errors import AdreelError, collect_errors
from adreel.models.takes import Take, utc_now
from adreel.records import Records
from adreel.records.export import fetch
from adreel.records.pruning import parse_age, prunable, prune
from adreel.settings import Settings


def fetch_clips(session_id: str, folder: Path, *, as_json: bool) -> int:
    """Copy a session's current clips into a folder and name them; returns the exit code."""
    fetched = list(fetch(open_records(Settings.load()), session_id, folder))
    if as_json:
        print_json(fetched)
    else:
        for scene in fetched:
            what = f"{scene.file}{' (was there)' if scene.was_there else ''}" if scene.file else "has no clip yet"
            print_line(f"{scene.scenario}: {what}")
    return 0 if all(scene.file for scene in fetched) else 1


def prune_takes(older_than: str, *, keep_current: bool, dry_run: bool, as_json: bool) -> int:
    """Remove takes that nobody uses, or only list them; returns the exit code, 1 if a record can't be read."""
    records = open_records(Settings.load())
    broken: list[AdreelError] = []
    takes = list(prunable(records, utc_now() - parse_age(older_than), keep_current=keep_current, broken=broken))
    if not dry_run:
        takes = _pruned(records, takes, keep_current=keep_current, broken=broken)
    if as_json:
        print_json(takes)
    else:
        _show_pruned(records, takes, dry_run=dry_run)
    return show_broken(broken)


def _pruned(records: Records, takes: list[Take], *, keep_current: bool, broken: list[AdreelError]) -> list[Take]:
    pruned = []
    for take in takes:
        with collect_errors(broken):
            if prune(records, take, keep_current=keep_current):
                pruned.append(take)
    return pruned


def _show_pruned(records: Records, takes: list[Take], *, dry_run: bool) -> None:
    if takes:
        print_table(
            ("session", "scene", "take of job", "made", "cost", "clip"), [_row(records, take) for take in takes]
        )
    size = sum(file.size for take in takes if (file := take.clip or take.aside)) / 1e6
    print_line(
        f"{'would remove' if dry_run else 'removed'} {len(takes)} takes, {size:.1f} MB, of {records.storage.url}"
    )


def _row(records: Records, take: Take) -> tuple[str, ...]:
    file = take.clip or take.aside
    clip = records.storage.location(file.file) if file else take.state
    made = take.created_at.strftime("%Y-%m-%d %H:%M")
    return take.session_id, take.scenario, take.job_id, made, money(take.cost), clip
