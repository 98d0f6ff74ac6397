"""Walks a storage and reports what breaks its promises: each finding names the file and what is wrong with it."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from adreel.errors import InputError, NotFound, StorageError
from adreel.models.scenarios import Scenario
from adreel.models.sessions import INPUT_PATTERN, is_local_file
from adreel.models.takes import AsideFile, Clip, Take, utc_now
from adreel.records import Records
from adreel.records.inputs import read_input
from adreel.storage.media import sha256_of

OURS = (".mp4", ".jpg")
ASIDE = ".aside."
# A run holds a temporary file for minutes at most, and the clocks of two machines on one disk differ by less than this.
ABANDONED = timedelta(days=1)


@dataclass(frozen=True)
class Finding:
    """A broken promise: where, which (a word for machines) and what about it (for people)."""

    path: str
    kind: str
    message: str


def verify(records: Records) -> list[Finding]:
    """Return everything that is wrong in a storage; nothing, if it keeps its promises."""
    takes: dict[str, Take] = {}
    findings = [
        *_unreadable_sessions(records),
        *_unreadable_jobs(records),
        *_collect_takes(records, takes),
        *_wrong_choices(records, takes),
    ]
    for path, take in takes.items():
        findings += _wrong_take(records, path, take)
    return [*findings, *_wrong_inputs(records, takes), *_orphans(records, takes), *_leftovers(records)]


def _unreadable_sessions(records: Records) -> Iterator[Finding]:
    for session_id in records.session_ids():
        yield from _unreadable(f"sessions/{session_id}/session.json", records.session, session_id)


def _unreadable_jobs(records: Records) -> Iterator[Finding]:
    for name in records.storage.names("jobs"):
        yield from _unreadable(f"jobs/{name}", records.job, name.removesuffix(".json"))


def _unreadable(path: str, read: Callable[[str], object], name: str) -> Iterator[Finding]:
    try:
        read(name)
    except NotFound:
        yield Finding(path, "missing", "the folder has no such record")
    except (StorageError, InputError) as error:
        yield Finding(path, "unreadable", str(error))


def _collect_takes(records: Records, takes: dict[str, Take]) -> Iterator[Finding]:
    for session_id in records.session_ids():
        for scenario in Scenario:
            yield from _collect_of_scene(records, takes, session_id, scenario)


def _collect_of_scene(
    records: Records, takes: dict[str, Take], session_id: str, scenario: Scenario
) -> Iterator[Finding]:
    folder = f"sessions/{session_id}/takes/{scenario.value}"

    def collect(job_id: str) -> None:
        if take := records.take(session_id, scenario, job_id):
            takes[f"{folder}/{job_id}.json"] = take

    try:
        for name in records.storage.names(folder):
            yield from _unreadable(f"{folder}/{name}", collect, name.removesuffix(".json"))
    except StorageError as error:
        yield Finding(folder, "unreadable", str(error))


def _wrong_take(records: Records, path: str, take: Take) -> Iterator[Finding]:
    if not records.storage.exists(f"jobs/{take.job_id}.json"):
        yield Finding(path, "jobless", f"job {take.job_id} has no record, so a resume can't find this take")
    if take.aside:
        yield from _wrong_file(records, path, take.aside)
    if not take.is_stored:
        return
    if take.clip is None:
        yield Finding(path, "clipless", "the take says stored, but names no clip")
        return
    if take.clip.poster and not records.storage.exists(take.clip.poster):
        yield Finding(take.clip.poster, "missing", f"the poster of {take.clip.file} is gone")
    yield from _wrong_file(records, path, take.clip)


def _wrong_file(records: Records, path: str, file: Clip | AsideFile) -> Iterator[Finding]:
    try:
        with records.storage.open(file.file) as stream:
            if sha256_of(stream) != file.sha256:
                yield Finding(file.file, "changed", "its bytes are not those that were stored")
    except FileNotFoundError:
        yield Finding(file.file, "missing", f"{path} says that this file is stored")
    except (StorageError, OSError) as error:
        yield Finding(file.file, "unreadable", str(error))


def _wrong_inputs(records: Records, takes: dict[str, Take]) -> Iterator[Finding]:
    """Check the images of open takes, and the images of sessions for new takes."""
    needed: dict[tuple[str, str], str] = {}
    for path, take in takes.items():
        frame, last = take.request.first_frame, take.attempts[-1] if take.attempts else None
        is_over = take.is_stored or (last and last.problem and not last.problem.retryable)
        if frame and not is_over:
            needed[take.session_id, frame] = path
            if is_local_file(frame):
                yield Finding(path, "outside", f"its first_frame {frame!r} is not in the storage: resume where it is")
    for session_id in records.session_ids():
        with suppress(StorageError, NotFound):  # Unreadable records are reported by other findings.
            for scene in records.session(session_id).scene_descriptions:
                if scene.first_frame:
                    needed.setdefault((session_id, scene.first_frame), f"sessions/{session_id}/session.json")
    for (session_id, frame), path in needed.items():
        if not INPUT_PATTERN.fullmatch(frame):
            continue
        copy = f"sessions/{session_id}/{frame.partition('#')[0]}"
        try:
            read_input(records.storage, session_id, frame)
        except InputError:
            yield Finding(copy, "missing", f"{path} needs this image")
        except StorageError as error:
            yield Finding(copy, "changed", str(error))


def _wrong_choices(records: Records, takes: dict[str, Take]) -> Iterator[Finding]:
    stored = {(take.session_id, take.scenario, take.job_id) for take in takes.values() if take.is_stored}
    for session_id in records.session_ids():
        path = f"sessions/{session_id}/current.json"
        try:
            chosen = records.choices(session_id).takes
        except StorageError as error:
            yield Finding(path, "unreadable", str(error))
            continue
        for scenario, job_id in chosen.items():
            if (session_id, scenario, job_id) not in stored:
                yield Finding(path, "dangling", f"the take that was chosen for {scenario} is not stored: {job_id}")


def _orphans(records: Records, takes: dict[str, Take]) -> Iterator[Finding]:
    clips = [take.clip for take in takes.values() if take.clip]
    named = {clip.file for clip in clips} | {clip.poster for clip in clips}
    named |= {attempt.aside.file for take in takes.values() for attempt in take.attempts if attempt.aside}
    for name in records.storage.names(""):
        if (name.endswith(OURS) or ASIDE in name) and name not in named:
            yield Finding(name, "orphan", "no take names this file")


def _leftovers(records: Records) -> Iterator[Finding]:
    for path in records.storage.leftovers(utc_now() - ABANDONED):
        yield Finding(path, "leftover", "a killed run left it: once `adreel resume --all` finds nothing, delete it")
