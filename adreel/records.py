"""The records in storage: sessions, jobs, takes and choices, one JSON file each.

They are the truth; Prefect only shows and drives. A record is replaced whole, by the job that owns it alone, and
never if what lies in its place can't be read.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from adreel.errors import BadRecord, NotFound, StorageError
from adreel.migrations import NewerRecord, migrate
from adreel.scenarios import Scenario
from adreel.sessions import ID_PATTERN, Session, check_id, describe
from adreel.storage import Storage
from adreel.takes import Choices, Job, Record, Take

AnyRecord = TypeVar("AnyRecord", bound=Record)


class StoredSession(Session, Record):
    """A session as it lies in storage."""


@dataclass(frozen=True)
class _Kind(Generic[AnyRecord]):
    """A kind of record: its name in the migrations, its model, and its path by the ids that it is found by."""

    name: str
    model: type[AnyRecord]
    form: str

    def path(self, ids: dict[str, str]) -> str:
        return self.form.format(**{name: check_id(value, name) for name, value in ids.items()})

    def parse(self, content: bytes, ids: dict[str, str]) -> AnyRecord:
        data = from_json(content, allow_inf_nan=False)
        record = self.model.model_validate(migrate(self.name, data) if isinstance(data, dict) else data)
        for name, value in ids.items():
            if getattr(record, name, value) != value:
                raise ValueError(f"it is that of {name} {getattr(record, name)!r}")
        return record


_SESSION = _Kind("session", StoredSession, "sessions/{session_id}/session.json")
_JOB = _Kind("job", Job, "jobs/{job_id}.json")
_TAKE = _Kind("take", Take, "sessions/{session_id}/takes/{scenario}/{job_id}.json")
_CHOICES = _Kind("choices", Choices, "sessions/{session_id}/current.json")


class Records:
    """Reads and writes the records of one storage; BadRecord names a file that is no good record of its kind."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def save_session(self, session: Session) -> None:
        """Store a session in place of an earlier version of it, whose unknown fields it keeps."""

        def keep_unknown(earlier: StoredSession | None) -> StoredSession:
            unknown = (earlier.model_extra or {}) if earlier else {}
            return StoredSession(**{**unknown, **session.model_dump()})

        self._update(_SESSION, keep_unknown, session_id=session.session_id)

    def session(self, session_id: str) -> Session:
        """Return a stored session, or raise NotFound."""
        stored = self._read(_SESSION, session_id=session_id)
        if stored is None:
            raise NotFound(f"no session {session_id!r} in {self.storage.url}: see `adreel sessions`")
        return stored

    def update_session(self, session_id: str, change: Callable[[Session], Session]) -> None:
        """Change a stored session by one conditional update; one that is not there stays away."""

        def apply(earlier: StoredSession | None) -> StoredSession | None:
            return None if earlier is None else StoredSession(**change(earlier).model_dump())

        self._update(_SESSION, apply, session_id=session_id)

    def session_ids(self) -> list[str]:
        """Return the ids of all stored sessions, sorted."""
        return [name for name in self.storage.names("sessions") if re.fullmatch(ID_PATTERN, name)]

    def save_job(self, job: Job) -> None:
        """Store a job."""
        self._replace(_JOB, job, job_id=job.job_id)

    def job(self, job_id: str) -> Job | None:
        """Return a job, or None if nothing was recorded under that id."""
        return self._read(_JOB, job_id=job_id)

    def job_ids(self) -> list[str]:
        """Return the ids of all jobs, sorted."""
        return self._ids("jobs")

    def jobs(self) -> list[Job]:
        """Return all jobs, the oldest first."""
        jobs = [job for job_id in self.job_ids() if (job := self.job(job_id))]
        return sorted(jobs, key=lambda job: (job.created_at, job.job_id))

    def save_take(self, take: Take) -> None:
        """Store a take durably: when this returns, a crash can't undo it. One that has come further stays."""
        self.update_take(take, lambda latest: latest.position > take.position)

    def update_take(self, take: Take, yields_to: Callable[[Take], bool]) -> Take:
        """Store a take unless it yields to the one that lies there, and return which of them stands.

        The question and the answer are one step, as far as the storage can: no other runner's word is lost.
        """
        stands = take

        def choose(latest: Take | None) -> Take | None:
            nonlocal stands
            stands = latest if latest is not None and yields_to(latest) else take
            return None if stands is latest else take

        self._update(_TAKE, choose, session_id=take.session_id, scenario=take.scenario, job_id=take.job_id)
        return stands

    def take(self, session_id: str, scenario: Scenario, job_id: str) -> Take | None:
        """Return the take that a job bought for a scene, if it has begun."""
        return self._read(_TAKE, session_id=session_id, scenario=scenario, job_id=job_id)

    def takes(self, session_id: str, scenario: Scenario) -> list[Take]:
        """Return all takes of a scene, the oldest first."""
        return sorted(self._takes(session_id, scenario), key=lambda take: (take.created_at, take.job_id))

    def remove_take(self, take: Take) -> None:
        """Remove the record of a take; its files are somebody else's business."""
        self.storage.remove(
            _TAKE.path({"session_id": take.session_id, "scenario": take.scenario, "job_id": take.job_id})
        )

    def remove_job(self, job_id: str) -> None:
        """Remove the record of a job."""
        self.storage.remove(_JOB.path({"job_id": job_id}))

    def choices(self, session_id: str) -> Choices:
        """Return which takes a person has chosen; none at first."""
        return self._read(_CHOICES, session_id=session_id) or Choices(takes={})

    def save_choices(self, session_id: str, choices: Choices) -> None:
        """Store which takes a person has chosen."""
        self._replace(_CHOICES, choices, session_id=session_id)

    def _takes(self, session_id: str, scenario: Scenario) -> Iterator[Take]:
        folder = f"sessions/{check_id(session_id, 'session_id')}/takes/{scenario.value}"
        for job_id in self._ids(folder):
            take = self.take(session_id, scenario, job_id)
            if take is not None:
                yield take

    def _ids(self, folder: str) -> list[str]:
        names = (name.removesuffix(".json") for name in self.storage.names(folder) if name.endswith(".json"))
        return [name for name in names if re.fullmatch(ID_PATTERN, name)]

    def _replace(self, kind: _Kind[AnyRecord], record: AnyRecord, **ids: str) -> None:
        self._update(kind, lambda _: record, **ids)

    def _update(
        self, kind: _Kind[AnyRecord], change: Callable[[AnyRecord | None], AnyRecord | None], **ids: str
    ) -> None:
        path = kind.path(ids)

        def rewrite(content: bytes | None) -> bytes | None:
            # Read for its error alone, if nothing else: what can't be read may be all that is known of a paid clip.
            with self._understanding(path):
                earlier = None if content is None else kind.parse(content, ids)
            record = change(earlier)
            return None if record is None else record.model_dump_json(indent=2).encode() + b"\n"

        with self._understanding(path):
            self.storage.update(path, rewrite)

    def _read(self, kind: _Kind[AnyRecord], **ids: str) -> AnyRecord | None:
        path = kind.path(ids)
        with self._understanding(path):
            try:
                return kind.parse(self.storage.read(path), ids)
            except FileNotFoundError:
                return None

    @contextmanager
    def _understanding(self, path: str) -> Iterator[None]:
        where = self.storage.location(path)
        try:
            yield
        except StorageError as error:
            if isinstance(error.__cause__, IsADirectoryError):
                raise BadRecord(f"{where} is no good record, but a folder: move it away") from None
            raise
        except NewerRecord as error:
            raise BadRecord(f"{where} was written by a newer adreel ({error}): update this one") from None
        except ValueError as error:
            reason = describe(error) if isinstance(error, ValidationError) else error
            raise BadRecord(
                f"{where} is no good record: {reason}; it is not replaced: restore it or move it away"
            ) from None
