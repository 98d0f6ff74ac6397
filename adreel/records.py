"""The records in storage: sessions, jobs, takes and choices, one JSON file each.

They are the truth; Prefect only shows and drives. A record is replaced whole, by the job that owns it alone.
"""

import re
from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from adreel.errors import BadRecord, NotFound
from adreel.scenarios import Scenario
from adreel.sessions import ID_PATTERN, Session, check_id, describe
from adreel.storage import Storage
from adreel.takes import SCHEMA_VERSION, Choices, Job, Record, Take

AnyModel = TypeVar("AnyModel", bound=BaseModel)


class StoredSession(Session, Record):
    """A session as it lies in storage."""


class Records:
    """Reads and writes the records of one storage."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def save_session(self, session: Session) -> None:
        """Store a session, replacing an earlier version of it."""
        self._write(_session_path(session.session_id), StoredSession(**session.model_dump()))

    def session(self, session_id: str) -> Session:
        """Return a stored session, or raise NotFound."""
        stored = self._read(_session_path(session_id), StoredSession)
        if stored is None:
            raise NotFound(f"no session {session_id!r} in {self.storage.url}: see `adreel sessions`")
        return stored

    def session_ids(self) -> list[str]:
        """Return the ids of all stored sessions, sorted."""
        return [name for name in self.storage.names("sessions") if re.fullmatch(ID_PATTERN, name)]

    def save_job(self, job: Job) -> None:
        """Store a job."""
        self._write(_job_path(job.job_id), job)

    def job(self, job_id: str) -> Job | None:
        """Return a job, or None if nothing was recorded under that id."""
        return self._read(_job_path(job_id), Job)

    def jobs(self) -> list[Job]:
        """Return all jobs, the oldest first."""
        jobs = [job for job_id in self._ids("jobs") if (job := self.job(job_id))]
        return sorted(jobs, key=lambda job: (job.created_at, job.job_id))

    def save_take(self, take: Take) -> None:
        """Store a take durably: when this returns, a crash can't undo it."""
        self._write(_take_path(take.session_id, take.scenario, take.job_id), take)

    def take(self, session_id: str, scenario: Scenario, job_id: str) -> Take | None:
        """Return the take that a job bought for a scene, if it has begun."""
        return self._read(_take_path(session_id, scenario, job_id), Take)

    def takes(self, session_id: str, scenario: Scenario) -> list[Take]:
        """Return all takes of a scene, the oldest first."""
        return sorted(self._takes(session_id, scenario), key=lambda take: (take.created_at, take.job_id))

    def choices(self, session_id: str) -> Choices:
        """Return which takes a person has chosen; none at first."""
        return self._read(_choices_path(session_id), Choices) or Choices()

    def save_choices(self, session_id: str, choices: Choices) -> None:
        """Store which takes a person has chosen."""
        self._write(_choices_path(session_id), choices)

    def _takes(self, session_id: str, scenario: Scenario) -> Iterator[Take]:
        folder = f"sessions/{check_id(session_id, 'session_id')}/takes/{scenario.value}"
        for job_id in self._ids(folder):
            take = self.take(session_id, scenario, job_id)
            if take is not None:
                yield take

    def _ids(self, folder: str) -> list[str]:
        names = (name.removesuffix(".json") for name in self.storage.names(folder) if name.endswith(".json"))
        return [name for name in names if re.fullmatch(ID_PATTERN, name)]

    def _write(self, path: str, record: BaseModel) -> None:
        self.storage.write(path, record.model_dump_json(indent=2).encode() + b"\n")

    def _read(self, path: str, model: type[AnyModel]) -> AnyModel | None:
        try:
            content = self.storage.read(path)
        except FileNotFoundError:
            return None
        where = self.storage.location(path)
        try:
            data = from_json(content)
            # Looked at first: a newer record may have another shape, and is no broken one.
            version = data.get("schema_version", 1) if isinstance(data, dict) else 1
            if isinstance(version, int) and version > SCHEMA_VERSION:
                raise BadRecord(f"{where} was written by a newer adreel (schema {version})")
            return model.model_validate(data)
        except ValidationError as error:
            raise BadRecord(f"{where} is no good record: {describe(error)}") from None
        except ValueError as error:
            raise BadRecord(f"{where} is no good record: {error}") from None


def _session_path(session_id: str) -> str:
    return f"sessions/{check_id(session_id, 'session_id')}/session.json"


def _job_path(job_id: str) -> str:
    return f"jobs/{check_id(job_id, 'job_id')}.json"


def _take_path(session_id: str, scenario: Scenario, job_id: str) -> str:
    return f"sessions/{check_id(session_id, 'session_id')}/takes/{scenario.value}/{check_id(job_id, 'job_id')}.json"


def _choices_path(session_id: str) -> str:
    return f"sessions/{check_id(session_id, 'session_id')}/current.json"
