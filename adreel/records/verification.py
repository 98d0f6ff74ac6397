"""Checks of a storage: each finding names a file and the promise that it breaks."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain

from adreel.errors import InputError, NotFound, SessionDeleted, StorageError
from adreel.models.cuts import Cut, segment_path
from adreel.models.parts import PARTS, find_part
from adreel.models.sessions import ID_PATTERN, INPUT_PATTERN, Session, is_local_file
from adreel.models.takes import Take, utc_now
from adreel.records import Records
from adreel.records.inputs import input_path, read_input
from adreel.records.names import StoredNames
from adreel.records.spend import take_key
from adreel.storage import Storage
from adreel.storage.media import sha256_of

OURS = (".mp4", ".jpg", ".srt", ".flac")
ASIDE = ".aside."
JSON = re.compile(r"\.json$")
# A run holds a temporary file for minutes at most, and the clocks of two machines on one disk differ by less than this.
ABANDONED = timedelta(days=1)
STORED_TAKES = "stored takes"
PAGE = 256
"""Maximum names that are looked at together."""


@dataclass(frozen=True)
class Finding:
    """A broken promise: the file, the kind (a word for machines), and a message for people."""

    path: str
    kind: str
    message: str


def verify(records: Records, *, checksums: bool = True) -> list[Finding]:
    """Check records, clips, cuts, input files and leftover files; an empty list means that all is well.

    Without `checksums`, files are looked for and not read.
    """
    return list(each_finding(records, checksums=checksums))


def each_finding(records: Records, *, checksums: bool = True) -> Iterator[Finding]:
    """Yield the findings of `verify` as they are found. The memory does not depend on the number of sessions."""
    storage = records.storage
    with StoredNames() as names:
        for folder in ("", "jobs", "sessions"):
            names.read(storage, folder)
        files = _Files(storage, names, checksums)
        for page in names.pages("jobs", PAGE):
            for job in records.map(lambda name: _check_job(records, name), page):
                names.add(STORED_TAKES, job.stored)
                yield from job.findings
        for page in names.pages("sessions", PAGE):
            session_ids = [name for name in page if re.fullmatch(ID_PATTERN, name)]
            for session in records.map(lambda session_id: _check_session(records, files, session_id), session_ids):
                names.use("", session.files)
                names.use(STORED_TAKES, session.stored)
                yield from session.findings
        for page in names.pages(STORED_TAKES, PAGE, unused=True):
            yield from chain.from_iterable(records.map(lambda key: list(_check_stored(records, key)), page))
        reading = _Reading()
        with reading.of("spend/pruned.json"):
            records.pruned_spend()
        for name in records.campaign_names():
            with reading.of(f"campaigns/{name}.json"):
                records.campaign(name)
        yield from reading.findings
        for page in names.pages("", PAGE, unused=True):
            for name in page:
                # A file may have been removed since the listing.
                if (name.endswith(OURS) or ASIDE in name) and storage.exists(name):
                    yield Finding(name, "orphan", "no take and no cut names this file")
    advice = "a killed run left it: once `adreel resume --all` finds nothing, delete it"
    yield from (Finding(path, "leftover", advice) for path in storage.leftovers(utc_now() - ABANDONED))


@dataclass
class _Reading:
    """Findings and files of a session, collected while its records are read."""

    findings: list[Finding] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    """Names of the files that the records name."""
    stored: list[str] = field(default_factory=list)
    """Keys of takes that are stored, or that a job says to be."""

    @contextmanager
    def of(self, path: str) -> Iterator[None]:
        """Turn the error of an unreadable record into a finding."""
        try:
            yield
        except NotFound:
            self.findings.append(Finding(path, "missing", "the folder has no such record"))
        except (StorageError, InputError) as error:
            self.findings.append(Finding(path, "unreadable", str(error)))


def _check_job(records: Records, name: str) -> _Reading:
    reading = _Reading()
    with reading.of(f"jobs/{name}"):
        job = records.job(name.removesuffix(".json"))
        if job and job.is_stored:
            reading.stored += [f"{job.session_id}/{scenario}/{job.job_id}" for scenario in job.scenarios]
    return reading


def _check_stored(records: Records, key: str) -> Iterator[Finding]:
    """Check a take that is not stored, as it seems, though the record of its job says so."""
    session_id, name, job_id = key.split("/")
    scenario = find_part(name)
    # An unreadable record has a finding already. A take may have been stored or removed since it was read.
    with suppress(StorageError):
        take, job = records.take(session_id, scenario, job_id), records.job(job_id)
        if job and job.is_stored and scenario in job.scenarios and not (take and take.is_stored):
            message = f"it says that {scenario} is stored, but its take does not: `adreel resume {job_id}` continues it"
            yield Finding(f"jobs/{job_id}.json", "unstored", message)


def _check_session(records: Records, files: "_Files", session_id: str) -> _Reading:
    """Check the records of a session, and the files that they name."""
    reading, session = _Reading(), None
    folder = f"sessions/{session_id}"
    with reading.of(f"{folder}/session.json"):
        try:
            session = records.session(session_id)
        except SessionDeleted:
            return reading
    list_names = _names_below(records.storage, folder)
    takes, cuts = dict[str, Take](), dict[str, Cut]()
    for part in PARTS:
        of_part = f"{folder}/takes/{part.value}"
        with reading.of(of_part):
            for name in list_names(of_part):
                job_id = name.removesuffix(".json")
                with reading.of(f"{of_part}/{name}"):
                    if take := records.take(session_id, part, job_id):
                        takes[f"{of_part}/{job_id}.json"] = take
    readers: dict[str, Callable[[str, str], object]] = {
        "cuts": records.cut,
        "shares": records.share,
        "reviews": records.review,
    }
    for kind, read in readers.items():
        with reading.of(f"{folder}/{kind}"):
            for name in filter(JSON.search, list_names(f"{folder}/{kind}")):
                with reading.of(f"{folder}/{kind}/{name}"):
                    if isinstance(found := read(session_id, name.removesuffix(".json")), Cut):
                        cuts[f"{folder}/{kind}/{name}"] = found
    with reading.of(f"{folder}/current.json"):
        stored = {(take.scenario, take.job_id) for take in takes.values() if take.is_stored}
        for scenario, job_id in records.choices(session_id).takes.items():
            if (scenario, job_id) not in stored:
                message = f"the take that was chosen for {scenario} is not stored: {job_id}"
                reading.findings.append(Finding(f"{folder}/current.json", "dangling", message))
    reading.stored += [take_key(take) for take in takes.values() if take.is_stored]
    for path, take in takes.items():
        reading.findings += _check_take(files, path, take)
        reading.files += filter(None, (take.clip.file, take.clip.poster) if take.clip else ())
        reading.files += [attempt.aside.file for attempt in take.attempts if attempt.aside]
    for path, cut in cuts.items():
        reading.findings += _check_cut(files, path, cut)
        reading.files += cut.file_names
    with reading.of(segment_path(session_id)):
        reading.findings += _check_segments(files, cuts, session_id, list_names(segment_path(session_id)))
    reading.findings += _check_inputs(files, session_id, takes, session)
    return reading


def _names_below(storage: Storage, root: str) -> Callable[[str], list[str]]:
    """Return a function that lists folders below a root, by one listing of an object store."""
    if storage.is_local:
        return storage.names
    paths = storage.files(root)

    def names(folder: str) -> list[str]:
        inside = folder.removeprefix(f"{root}/") + "/"
        return sorted({path.removeprefix(inside).partition("/")[0] for path in paths if path.startswith(inside)})

    return names


def _check_take(files: "_Files", path: str, take: Take) -> Iterator[Finding]:
    # A job may be newer than the listing.
    job = f"{take.job_id}.json"
    if not files.names.has("jobs", job) and not files.storage.exists(f"jobs/{job}"):
        yield Finding(path, "jobless", f"job {take.job_id} has no record, so a resume can't find this take")
    if take.aside:
        yield from files.check(path, take.aside.file, take.aside.sha256)
    if take.is_stored and take.clip is None:
        yield Finding(path, "clipless", "the take says stored, but names no clip")
    if take.is_stored and take.clip:
        yield from files.check(path, take.clip.file, take.clip.sha256)


def _check_cut(files: "_Files", path: str, cut: Cut) -> Iterator[Finding]:
    for video in cut.files:
        yield from files.check(path, video.file, video.sha256)
        for name in filter(None, (video.poster, video.captions)):
            if not files.has(name):
                yield Finding(name, "missing", f"{path} says that this file is stored")


@dataclass(frozen=True)
class _Files:
    """The files of a storage, and whether their content is checked."""

    storage: Storage
    names: StoredNames
    checksums: bool

    def has(self, name: str) -> bool:
        # A file may be newer than the listing.
        return self.names.has("", name) or self.storage.exists(name)

    def check(self, path: str, file: str, sha256: str) -> Iterator[Finding]:
        """Check a file that the record at a path names."""
        missing = Finding(file, "missing", f"{path} says that this file is stored")
        if not self.checksums:
            if not self.has(file):
                yield missing
            return
        try:
            with self.storage.open(file) as stream:
                if sha256_of(stream) != sha256:
                    yield Finding(file, "changed", "its bytes are not those that were stored")
        except FileNotFoundError:
            yield missing
        except (StorageError, OSError) as error:
            yield Finding(file, "unreadable", str(error))


def _check_segments(files: _Files, cuts: dict[str, Cut], session_id: str, names: list[str]) -> Iterator[Finding]:
    """Check the rendered clips that are kept for the next cut. A missing one is rendered again."""
    digests = {segment_path(cut.session_id, each.file): each.sha256 for cut in cuts.values() for each in cut.segments}
    for path in (segment_path(session_id, name) for name in names):
        if path in digests:
            for found in files.check(path, path, digests[path]) if files.checksums else ():
                yield Finding(path, found.kind, f"{found.message}: delete it, and the next cut renders it again")
        else:
            yield Finding(path, "orphan", "no cut names this segment: `adreel prune` removes it")


def _check_inputs(files: _Files, session_id: str, takes: dict[str, Take], session: Session | None) -> Iterator[Finding]:
    """Check the images of open takes, the images of a session for new takes, and the files of its cuts."""
    needed: dict[str, str] = {}
    for path, take in takes.items():
        last = take.attempts[-1] if take.attempts else None
        is_over = take.is_stored or (last and last.problem and not last.problem.retryable)
        for name, image in () if is_over else take.request.named_images():
            needed[image] = path
            if is_local_file(image):
                yield Finding(path, "outside", f"its {name} {image!r} is not in the storage: resume where it is")
    if session:
        for options in (session, *session.scene_descriptions):
            for _, image in options.named_images():
                needed.setdefault(image, f"sessions/{session_id}/session.json")
        for _, file in session.cut.named_files() if session.cut else ():
            needed.setdefault(file, f"sessions/{session_id}/session.json")
    for image, path in needed.items():
        if INPUT_PATTERN.fullmatch(image):
            yield from _check_copy(files, session_id, image, path)


def _check_copy(files: _Files, session_id: str, image: str, path: str) -> Iterator[Finding]:
    """Check the copy of an input that the record at a path needs."""
    copy, found = input_path(session_id, image), INPUT_PATTERN.fullmatch(image)
    try:
        if files.checksums:
            read_input(files.storage, session_id, image)
        is_missing = not files.checksums and not files.storage.exists(copy)
    except InputError:
        is_missing = True
    except StorageError as error:
        yield Finding(copy, "changed", str(error))
        return
    if is_missing:
        yield Finding(copy, "missing", f"{path} needs this {'image' if found and found['image'] else 'file'}")
