"""Checks of a storage: each finding names a file and the promise that it breaks."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from adreel.errors import InputError, NotFound, StorageError
from adreel.models.scenarios import Scenario
from adreel.models.sessions import INPUT_PATTERN, is_local_file
from adreel.models.takes import AsideFile, Clip, Take, utc_now
from adreel.records import Records
from adreel.records.inputs import input_path, read_input
from adreel.storage.media import sha256_of

OURS = (".mp4", ".jpg")
ASIDE = ".aside."
# A run holds a temporary file for minutes at most, and the clocks of two machines on one disk differ by less than this.
ABANDONED = timedelta(days=1)


@dataclass(frozen=True)
class Finding:
    """A broken promise: the file, the kind (a word for machines), and a message for people."""

    path: str
    kind: str
    message: str


def verify(records: Records) -> list[Finding]:
    """Check records, clips, input images and leftover files; an empty list means that all is well."""
    storage = records.storage
    takes, findings = _read_all(records)
    for path, take in takes.items():
        clip = take.clip
        if not storage.exists(f"jobs/{take.job_id}.json"):
            message = f"job {take.job_id} has no record, so a resume can't find this take"
            findings.append(Finding(path, "jobless", message))
        if take.aside:
            findings += _check_file(records, path, take.aside)
        if take.is_stored and clip is None:
            findings.append(Finding(path, "clipless", "the take says stored, but names no clip"))
        if take.is_stored and clip:
            if clip.poster and not storage.exists(clip.poster):
                findings.append(Finding(clip.poster, "missing", f"the poster of {clip.file} is gone"))
            findings += _check_file(records, path, clip)
    findings += _check_inputs(records, takes)
    clips = [take.clip for take in takes.values() if take.clip]
    named = {clip.file for clip in clips} | {clip.poster for clip in clips}
    named |= {attempt.aside.file for take in takes.values() for attempt in take.attempts if attempt.aside}
    for name in storage.names(""):
        if (name.endswith(OURS) or ASIDE in name) and name not in named:
            findings.append(Finding(name, "orphan", "no take names this file"))
    advice = "a killed run left it: once `adreel resume --all` finds nothing, delete it"
    findings += [Finding(path, "leftover", advice) for path in storage.leftovers(utc_now() - ABANDONED)]
    return findings


def _read_all(records: Records) -> tuple[dict[str, Take], list[Finding]]:
    """Read every record; return the takes by path, and the findings about records and choices."""
    takes: dict[str, Take] = {}
    findings: list[Finding] = []

    @contextmanager
    def reading(path: str) -> Iterator[None]:
        try:
            yield
        except NotFound:
            findings.append(Finding(path, "missing", "the folder has no such record"))
        except (StorageError, InputError) as error:
            findings.append(Finding(path, "unreadable", str(error)))

    session_ids = records.session_ids()
    for session_id in session_ids:
        with reading(f"sessions/{session_id}/session.json"):
            records.session(session_id)
    for name in records.storage.names("jobs"):
        with reading(f"jobs/{name}"):
            records.job(name.removesuffix(".json"))
    for session_id in session_ids:
        for scenario in Scenario:
            folder = f"sessions/{session_id}/takes/{scenario.value}"
            with reading(folder):
                for name in records.storage.names(folder):
                    job_id = name.removesuffix(".json")
                    with reading(f"{folder}/{name}"):
                        if take := records.take(session_id, scenario, job_id):
                            takes[f"{folder}/{job_id}.json"] = take
    stored = {(take.session_id, take.scenario, take.job_id) for take in takes.values() if take.is_stored}
    for session_id in session_ids:
        path = f"sessions/{session_id}/current.json"
        with reading(path):
            for scenario, job_id in records.choices(session_id).takes.items():
                if (session_id, scenario, job_id) not in stored:
                    message = f"the take that was chosen for {scenario} is not stored: {job_id}"
                    findings.append(Finding(path, "dangling", message))
    return takes, findings


def _check_file(records: Records, path: str, file: Clip | AsideFile) -> Iterator[Finding]:
    try:
        with records.storage.open(file.file) as stream:
            if sha256_of(stream) != file.sha256:
                yield Finding(file.file, "changed", "its bytes are not those that were stored")
    except FileNotFoundError:
        yield Finding(file.file, "missing", f"{path} says that this file is stored")
    except (StorageError, OSError) as error:
        yield Finding(file.file, "unreadable", str(error))


def _check_inputs(records: Records, takes: dict[str, Take]) -> Iterator[Finding]:
    """Check the images of open takes, and the images of sessions for new takes."""
    needed: dict[tuple[str, str], str] = {}
    for path, take in takes.items():
        last = take.attempts[-1] if take.attempts else None
        is_over = take.is_stored or (last and last.problem and not last.problem.retryable)
        for name, image in () if is_over else take.request.named_images():
            needed[take.session_id, image] = path
            if is_local_file(image):
                yield Finding(path, "outside", f"its {name} {image!r} is not in the storage: resume where it is")
    for session_id in records.session_ids():
        with suppress(StorageError, NotFound):  # Unreadable records are reported by other findings.
            session = records.session(session_id)
            for options in (session, *session.scene_descriptions):
                for _, image in options.named_images():
                    needed.setdefault((session_id, image), f"sessions/{session_id}/session.json")
    for (session_id, image), path in needed.items():
        if not INPUT_PATTERN.fullmatch(image):
            continue
        copy = input_path(session_id, image)
        try:
            read_input(records.storage, session_id, image)
        except InputError:
            yield Finding(copy, "missing", f"{path} needs this image")
        except StorageError as error:
            yield Finding(copy, "changed", str(error))
