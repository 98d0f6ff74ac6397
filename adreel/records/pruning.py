"""Removes unused takes and cuts on request, in an order in which a crash loses nothing.

The take is marked first, so that no runner continues it. Then its cost is kept for reports. Then the scene is removed
from its job, otherwise a resume would buy it again. Then the take's record is removed, then its files. A crash leaves a
marked take, which the next prune removes, or files without a record, which `adreel verify` reports as orphans. It never
leaves a record without its clip, and the cost counts once.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice

from adreel.errors import AdreelError, ClipUnavailable, InputError, SessionDeleted, collect_errors
from adreel.models.cuts import Cut, segment_path
from adreel.models.parts import scenario_of
from adreel.models.takes import AttemptState, Choices, Job, Take
from adreel.records import Records
from adreel.records.spend import spend_of, take_key
from adreel.records.views import current_cut, current_take

SESSIONS_AT_ONCE = 32
"""Sessions whose takes are in memory together."""
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_OVER = {AttemptState.STORED, AttemptState.FAILED}


def parse_age(text: str) -> timedelta:
    """Read an age such as 12h, 30d or 8w; InputError otherwise."""
    found = re.fullmatch(r"(\d{1,6})([hdw])", text.strip())
    if found is None:
        raise InputError(f"--older-than is {text!r}: give a number with h, d or w, such as 30d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def prunable(
    records: Records, before: datetime, *, keep_current: bool = True, broken: list[AdreelError] | None = None
) -> Iterator[Take]:
    """Find the takes that ended before a moment and are not current.

    Open takes are kept, because their clips may still be fetched, unless the job gave up on an undownloadable clip.
    Unreadable records are added to `broken`, and their scene or session is skipped. Without a list, they raise.
    """
    session_ids = records.each_session_id()
    while page := list(islice(session_ids, SESSIONS_AT_ONCE)):
        for takes, errors in records.map(lambda each: _prunable_of(records, each, before, keep_current), page):
            if broken is None and errors:
                raise errors[0]
            yield from takes
            if broken is not None:
                broken += errors


def _prunable_of(
    records: Records, session_id: str, before: datetime, keep_current: bool
) -> tuple[list[Take], list[AdreelError]]:
    found: list[Take] = []
    errors: list[AdreelError] = []
    with collect_errors(errors), suppress(SessionDeleted):
        choices = records.choices(session_id)
        described = records.session(session_id).scenarios
        for part, job_ids in records.take_ids(session_id).items():
            if not job_ids or scenario_of(part) not in {None, *described}:
                continue
            with collect_errors(errors):
                takes = records.takes(session_id, part)
                kept = current_take(takes, choices) if keep_current else None
                for take in takes:
                    if take == kept or take.updated_at >= before:
                        continue
                    is_over = bool(take.attempts) and take.attempts[-1].state in _OVER
                    if not is_over and take.is_open and take.problem and take.problem.code == ClipUnavailable.code:
                        job = records.job(take.job_id)
                        is_over = job is None or job.ended_at is not None
                    # Another run may still buy the clip of a task in doubt.
                    if is_over and not take.is_in_doubt:
                        found.append(take)
    return found, errors


def prune(records: Records, take: Take, *, keep_current: bool = True) -> bool:
    """Remove a take with its file and its poster; False if it was chosen or resumed meanwhile and stays."""
    is_chosen = is_only_scene = False

    def forget_choice(choices: Choices) -> Choices | None:
        nonlocal is_chosen
        is_chosen = choices.takes.get(take.scenario) == take.job_id
        return choices.without_take(take) if is_chosen and not keep_current else None

    def forget_scene(job: Job | None) -> Job | None:
        nonlocal is_only_scene
        is_only_scene = job is not None and job.scenarios == [take.scenario]
        if job is None or is_only_scene or take.scenario not in job.scenarios:
            return None
        rest = [scenario for scenario in job.scenarios if scenario != take.scenario]
        return job.model_copy(update={"scenarios": rest})

    records.update_choices(take.session_id, forget_choice)
    if is_chosen and keep_current:
        return False
    marked = records.mark_pruned(take)
    if marked is not None and marked.pruned_at is None:
        return False
    key, spend = take_key(take), spend_of(take)
    if marked is not None and spend is not None:
        records.update_pruned_spend(lambda pruned: pruned.with_removing(key, spend))
    records.update_job(take.job_id, forget_scene)
    if is_only_scene:
        records.remove_job(take.job_id)
    records.remove_take(take)
    if spend is not None:
        records.update_pruned_spend(lambda pruned: pruned.with_removed(key))
    asides = [attempt.aside.file for attempt in take.attempts if attempt.aside]
    clip = [take.clip.file, take.clip.poster] if take.clip else []
    for file in (*clip, *asides):
        if file is not None:
            records.storage.remove(file)
    return True


def prunable_cuts(records: Records, before: datetime, broken: list[AdreelError] | None = None) -> Iterator[Cut]:
    """Find the cuts that were made before a moment, but neither the newest nor the current one of their session."""
    for session_id in records.each_session_id():
        with collect_errors(broken):
            old = [cut for cut in records.cuts(session_id)[:-1] if cut.created_at < before]
            current = current_cut(records, session_id) if old else None
            for cut in old:
                if cut != current:
                    yield cut


def prune_cut(records: Records, cut: Cut) -> None:
    """Remove a cut with its files. Its segments stay while another cut names them."""
    records.remove_cut(cut)
    for name in cut.file_names:
        records.storage.remove(name)


def unused_segments(records: Records, broken: list[AdreelError] | None = None) -> Iterator[str]:
    """Find the paths of segments that no cut names. A running cut renders a removed one again when it is needed."""
    for session_id in records.each_session_id():
        with collect_errors(broken):
            names = records.storage.names(segment_path(session_id))
            cuts = records.cuts(session_id) if names else []
            named = {segment.file for cut in cuts for segment in cut.segments}
            for name in names:
                if name not in named:
                    yield segment_path(session_id, name)
