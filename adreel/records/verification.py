"""Checks of a storage: each finding names a file and the promise that it breaks."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from adreel.errors import InputError, NotFound, StorageError
from adreel.models.cuts import Cut, segment_path
from adreel.models.scenarios import Scenario
from adreel.models.sessions import INPUT_PATTERN, is_local_file
from adreel.models.takes import Take, utc_now
from adreel.records import Records
from adreel.records.inputs import input_path, read_input
from adreel.storage import Storage
from adreel.storage.media import sha256_of

OURS = (".mp4", ".jpg", ".srt")
ASIDE = ".aside."
# A run holds a temporary file for minutes at most, and the clocks of two machines on one disk differ by less than this.
ABANDONED = timedelta(days=1)


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
    storage = records.storage
    takes, cuts, findings = _read_all(records)
    jobs, files = set(storage.names("jobs")), _Files(storage, frozenset(storage.names("")), checksums)
    for path, take in takes.items():
        clip = take.clip
        # A job may be newer than the listing.
        if f"{take.job_id}.json" not in jobs and not storage.exists(f"jobs/{take.job_id}.json"):
            message = f"job {take.job_id} has no record, so a resume can't find this take"
            findings.append(Finding(path, "jobless", message))
        if take.aside:
            findings += files.check(path, take.aside.file, take.aside.sha256)
        if take.is_stored and clip is None:
            findings.append(Finding(path, "clipless", "the take says stored, but names no clip"))
        if take.is_stored and clip:
            findings += files.check(path, clip.file, clip.sha256)
    for path, cut in cuts.items():
        for video in cut.files:
            findings += files.check(path, video.file, video.sha256)
            for name in filter(None, (video.poster, video.captions)):
                if not files.has(name):
                    findings.append(Finding(name, "missing", f"{path} says that this file is stored"))
    findings += _check_segments(records, cuts, files)
    findings += _check_inputs(records, takes, checksums=checksums)
    clips = [take.clip for take in takes.values() if take.clip]
    named = {clip.file for clip in clips} | {clip.poster for clip in clips}
    named |= {attempt.aside.file for take in takes.values() for attempt in take.attempts if attempt.aside}
    named |= {name for cut in cuts.values() for name in cut.file_names}
    for name in sorted(files.names):
        if (name.endswith(OURS) or ASIDE in name) and name not in named:
            findings.append(Finding(name, "orphan", "no take and no cut names this file"))
    advice = "a killed run left it: once `adreel resume --all` finds nothing, delete it"
    findings += [Finding(path, "leftover", advice) for path in storage.leftovers(utc_now() - ABANDONED)]
    return findings


def _read_all(records: Records) -> tuple[dict[str, Take], dict[str, Cut], list[Finding]]:
    """Read every record; return the takes and cuts by path, and the findings about records and choices."""
    takes: dict[str, Take] = {}
    cuts: dict[str, Cut] = {}
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
        folder = f"sessions/{session_id}/cuts"
        with reading(folder):
            for name in records.storage.names(folder):
                if name.endswith(".json"):
                    with reading(f"{folder}/{name}"):
                        if cut := records.cut(session_id, name.removesuffix(".json")):
                            cuts[f"{folder}/{name}"] = cut
    with reading("spend/pruned.json"):
        records.pruned_spend()
    stored = {(take.session_id, take.scenario, take.job_id) for take in takes.values() if take.is_stored}
    for session_id in session_ids:
        path = f"sessions/{session_id}/current.json"
        with reading(path):
            for scenario, job_id in records.choices(session_id).takes.items():
                if (session_id, scenario, job_id) not in stored:
                    message = f"the take that was chosen for {scenario} is not stored: {job_id}"
                    findings.append(Finding(path, "dangling", message))
    return takes, cuts, findings


@dataclass(frozen=True)
class _Files:
    """The names in the root of a storage, and whether the content of files is checked."""

    storage: Storage
    names: frozenset[str]
    checksums: bool

    def has(self, name: str) -> bool:
        # A file may be newer than the listing.
        return name in self.names or self.storage.exists(name)

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


def _check_segments(records: Records, cuts: dict[str, Cut], files: "_Files") -> Iterator[Finding]:
    """Check the rendered clips that are kept for the next cut. A missing one is rendered again."""
    digests = {segment_path(cut.session_id, each.file): each.sha256 for cut in cuts.values() for each in cut.segments}
    for session_id in records.session_ids():
        for name in records.storage.names(segment_path(session_id)):
            path = segment_path(session_id, name)
            if path in digests:
                for found in files.check(path, path, digests[path]) if files.checksums else ():
                    yield Finding(path, found.kind, f"{found.message}: delete it, and the next cut renders it again")
            else:
                yield Finding(path, "orphan", "no cut names this segment: `adreel prune` removes it")


def _check_inputs(records: Records, takes: dict[str, Take], *, checksums: bool) -> Iterator[Finding]:
    """Check the images of open takes, the images of sessions for new takes, and the files of their cuts."""
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
            for _, file in session.cut.named_files() if session.cut else ():
                needed.setdefault((session_id, file), f"sessions/{session_id}/session.json")
    yield from _check_copies(records, needed, checksums=checksums)


def _check_copies(records: Records, needed: dict[tuple[str, str], str], *, checksums: bool) -> Iterator[Finding]:
    """Check the copies of inputs, by session and reference; each value is the path of the record that needs it."""
    for (session_id, image), path in needed.items():
        found = INPUT_PATTERN.fullmatch(image)
        if found is None:
            continue
        copy = input_path(session_id, image)
        try:
            if checksums:
                read_input(records.storage, session_id, image)
            is_missing = not checksums and not records.storage.exists(copy)
        except InputError:
            is_missing = True
        except StorageError as error:
            yield Finding(copy, "changed", str(error))
            continue
        if is_missing:
            yield Finding(copy, "missing", f"{path} needs this {'image' if found['image'] else 'file'}")
