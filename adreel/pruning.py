"""Removes takes that nobody uses: only when asked, and in an order that a cut can't turn into a loss.

The job forgets the scene first, else a resume would buy it anew; then the take's record goes, then its files. What a
cut leaves are files without a record, which `adreel verify` names as orphans; never a record without its clip.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from adreel.errors import InputError
from adreel.records import Records
from adreel.takes import AttemptState, Choices, Take
from adreel.views import current_take

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_OVER = {AttemptState.STORED, AttemptState.FAILED}


def parse_age(text: str) -> timedelta:
    """Read an age such as 12h, 30d or 8w; InputError otherwise."""
    found = re.fullmatch(r"(\d{1,6})([hdw])", text.strip())
    if found is None:
        raise InputError(f"--older-than is {text!r}: give a number with h, d or w, such as 30d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def prunable(records: Records, before: datetime, *, keep_current: bool = True) -> Iterator[Take]:
    """Find the takes that ended before a moment and are not current; an open one may still bring its clip home."""
    for session_id in records.session_ids():
        choices = records.choices(session_id)
        for scenario in records.session(session_id).scenarios:
            takes = records.takes(session_id, scenario)
            kept = current_take(takes, choices) if keep_current else None
            for take in takes:
                is_over = bool(take.attempts) and take.attempts[-1].state in _OVER
                if is_over and take.updated_at < before and take != kept:
                    yield take


def prune(records: Records, take: Take) -> None:
    """Remove a take, its clip and its poster."""
    _forget_choice(records, take)
    _forget_scene(records, take)
    records.remove_take(take)
    if take.clip is not None:
        records.storage.remove(take.clip.file)
        records.storage.remove(take.clip.poster)


def _forget_choice(records: Records, take: Take) -> None:
    choices = records.choices(take.session_id)
    if choices.takes.get(take.scenario) == take.job_id:
        rest = {scenario: job_id for scenario, job_id in choices.takes.items() if scenario != take.scenario}
        records.save_choices(take.session_id, Choices(**{**choices.model_dump(), "takes": rest}))


def _forget_scene(records: Records, take: Take) -> None:
    job = records.job(take.job_id)
    if job is None:
        return
    rest = [scenario for scenario in job.scenarios if scenario != take.scenario]
    if rest:
        records.save_job(job.model_copy(update={"scenarios": rest}))
    else:
        records.remove_job(job.job_id)
