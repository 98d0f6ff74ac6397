"""The invariants that can be checked in an idle storage and the provider's ledger."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from adreel.emulator.ledger import SUCCESS, Entry, Ledger
from adreel.errors import NotFound
from adreel.models.api import State
from adreel.models.parts import PARTS, Part
from adreel.models.takes import Attempt, AttemptState, Take, task_uuid
from adreel.records import Records
from adreel.records.verification import Finding, verify
from adreel.records.views import job_view, session_view
from tests.rigs.media import is_as_recorded, is_whole

INVARIANTS = {
    "I1": "charge",
    "I2": "no loss",
    "I3": "intent first",
    "I4": "isolation",
    "I5": "immutability",
    "I6": "pointer",
    "I7": "truthful status",
    "I8": "progress",
    "I9": "cost",
    "I10": "convergence",
    "I11": "atomic records",
    "I12": "secrets",
    "I13": "one winner",
    "I14": "deadlines",
    "I15": "kept",
    "I16": "self-contained",
    "I17": "budget",
}
ENDED_WELL_TWICE = 2
IDLE_INVARIANTS = ("I1", "I2", "I3", "I5", "I6", "I7", "I8", "I9", "I11", "I16")

_OF_FINDING = {"changed": "I5", "missing": "I6", "dangling": "I6", "clipless": "I7"}
_OF_FINDING |= {"jobless": "I2", "orphan": "I2", "unreadable": "I11", "outside": "I16"}


@dataclass(frozen=True)
class Violation:
    """A broken invariant and its evidence."""

    invariant: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} {INVARIANTS[self.invariant]}: {self.text}"


def check_idle_storage(records: Records, ledger: Ledger, *, ignoring: Iterable[str] = ("leftover",)) -> list[Violation]:
    """Return the violations in an idle storage, by the ledger and by `verify`."""
    takes = list(_all_takes(records))
    attempts = {str(attempt.uuid): attempt for take in takes for attempt in take.attempts}
    entries = {entry.uuid: entry for entry in ledger.entries}
    return [
        *(_of_finding(finding) for finding in verify(records) if finding.kind not in set(ignoring)),
        *_unknown_tasks(attempts, ledger),
        *(violation for take in takes for violation in _wrong_purchase(take, entries)),
        *(violation for take in takes for violation in _wrong_record(take, entries)),
        *_wrong_status(records),
    ]


def check_kept(records: Records, ledger: Ledger) -> Iterator[Violation]:
    """Return the billed files that are not in the storage byte for byte, including odd ones."""
    takes = {str(attempt.uuid): take for take in _all_takes(records) for attempt in take.attempts}
    for entry in ledger.entries:
        take = takes.get(entry.uuid)
        if entry.outcome != SUCCESS or take is None:
            continue
        attempt = next(attempt for attempt in take.attempts if str(attempt.uuid) == entry.uuid)
        file = take.clip if attempt.state == AttemptState.STORED else attempt.aside
        if attempt.is_open or file is None:
            yield Violation("I15", f"{_name(take)}: {entry.uuid} ({entry.oddity or 'a good file'}) is {attempt.state}")
        elif not records.storage.exists(file.file):
            yield Violation("I15", f"{_name(take)}: {file.file} is not in the storage")
        elif not _was_served(entry, hashlib.sha256(records.storage.read(file.file)).hexdigest()):
            yield Violation("I15", f"{_name(take)}: {file.file} is not what was served ({entry.oddity})")


def check_decoded(records: Records) -> Iterator[Violation]:
    """Return the stored sounds and stills that are broken without a warning, or other than they were measured."""
    for take in _all_takes(records):
        if not take.is_stored or take.clip is None or not records.storage.exists(take.clip.file):
            continue
        content, codes = records.storage.read(take.clip.file), {warning.code for warning in take.clip.warnings}
        if not is_whole(take.request.kind, content) and "brokenOff" not in codes:
            yield Violation("I15", f"{_name(take)}: {take.clip.file} is not whole, and no warning says so")
        if not is_as_recorded(take.request.kind, content, take.clip):
            yield Violation("I7", f"{_name(take)}: {take.clip.file} is not what was measured")


def _was_served(entry: Entry, digest: str) -> bool:
    # A truncated clip counts as the whole clip if it was served twice without an error.
    return digest == entry.sha256 or entry.served.count(digest) >= ENDED_WELL_TWICE


def _all_takes(records: Records) -> Iterator[Take]:
    for session_id in records.session_ids():
        for part in PARTS:
            yield from records.takes(session_id, part)


def _of_finding(finding: Finding) -> Violation:
    broken = "I16" if "/inputs/" in finding.path else _OF_FINDING[finding.kind]
    return Violation(broken, f"{finding.path}: {finding.message}")


def _unknown_tasks(attempts: dict[str, Attempt], ledger: Ledger) -> Iterator[Violation]:
    for uuid in ledger.submits:
        if uuid not in attempts or attempts[uuid].state == AttemptState.PLANNED:
            yield Violation("I3", f"{uuid} was submitted and no record says so")
    for entry in ledger.entries:
        if entry.uuid not in attempts:
            yield Violation("I2", f"{entry.uuid} was accepted and no record knows it")


def _wrong_purchase(take: Take, entries: dict[str, Entry]) -> Iterator[Violation]:
    bought = [entries[str(attempt.uuid)] for attempt in take.attempts if str(attempt.uuid) in entries]
    for entry in bought[:-1]:
        if entry.outcome == SUCCESS or entry.ended_at is None:
            yield Violation("I1", f"{_name(take)}: bought again although {entry.uuid} had not failed")
    for number, attempt in enumerate(take.attempts, 1):
        if attempt.uuid != task_uuid(take.job_id, take.scenario, number):
            yield Violation("I1", f"{_name(take)}: attempt {number} has the UUID of something else")
    for uuid, times in Counter(attempt.uuid for attempt in take.attempts).items():
        if times > 1:
            yield Violation("I1", f"{_name(take)}: {uuid} stands for {times} attempts")


def _wrong_record(take: Take, entries: dict[str, Entry]) -> Iterator[Violation]:
    if (take.progress == 100) != take.is_stored:
        yield Violation("I8", f"{_name(take)}: {take.progress} % while {take.state}")
    for attempt in take.attempts:
        entry = entries.get(str(attempt.uuid))
        outcome = entry.outcome if entry else None
        if attempt.state == AttemptState.FAILED and outcome == SUCCESS and not attempt.aside:
            yield Violation("I2", f"{_name(take)}: {attempt.uuid} was rendered and is given up as failed")
        if attempt.state in {AttemptState.RENDERED, AttemptState.STORED} and outcome != SUCCESS:
            yield Violation("I7", f"{_name(take)}: {attempt.uuid} is {attempt.state}, Runware says {outcome}")
        if attempt.cost != _reported(attempt, entry):
            yield Violation("I9", f"{_name(take)}: {attempt.uuid} cost {_reported(attempt, entry)}, not {attempt.cost}")
    sent = [attempt for attempt in take.attempts if attempt.state != AttemptState.PLANNED]
    if sent and not take.is_open:
        # An order that Runware never accepted is not in the ledger and costs nothing.
        costs = [_reported(each, entries[uuid]) if (uuid := str(each.uuid)) in entries else 0.0 for each in sent]
        known = [cost for cost in costs if cost is not None]
        total = round(sum(known), 6) if len(known) == len(costs) else None
        if take.cost != total:
            yield Violation("I9", f"{_name(take)}: it cost {total}, not {take.cost}")


def _reported(attempt: Attempt, entry: Entry | None) -> float | None:
    seen = attempt.state in {AttemptState.RENDERED, AttemptState.STORED} or attempt.aside
    return entry.price if entry and seen and entry.request.get("includeCost") is True else None


def _wrong_status(records: Records) -> Iterator[Violation]:
    try:
        job_view(records, "no-such-job")
    except NotFound:
        pass
    else:
        yield Violation("I7", "an unknown job has a status")
    for session_id in records.session_ids():
        view = session_view(records, session_id)
        for scene in [*view.scene_videos, *view.additions]:
            name = (scene.video_url or "").rpartition("/")[2]
            if scene.status == State.COMPLETED and not (name and records.storage.exists(name)):
                yield Violation("I7", f"{session_id} {scene.scenario} is completed without a clip")


def check_accounts(records: Records, ledger: Ledger, allowed: int) -> Iterator[Violation]:
    """Return the scenes with more tasks than the rounds of their job allow."""
    tasks: defaultdict[tuple[str, Part], int] = defaultdict(int)
    known = {entry.uuid for entry in ledger.entries}
    for job in records.jobs():
        for scenario in job.scenarios:
            take = records.take(job.session_id, scenario, job.job_id)
            bought = [attempt for attempt in take.attempts if str(attempt.uuid) in known] if take else []
            tasks[job.job_id, scenario] += len(bought)
            if len(bought) > allowed * job.rounds:
                yield Violation("I1", f"{job.job_id} {scenario}: {len(bought)} tasks, {allowed * job.rounds} allowed")


def _name(take: Take) -> str:
    return f"{take.session_id} {take.scenario} of {take.job_id}"
