"""Files of records: JSON documents of a kind, each read and changed as a whole."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from adreel.errors import BadRecord, StorageError
from adreel.models.field_errors import describe
from adreel.models.migrations import NewerRecord, migrate
from adreel.models.record import Record
from adreel.models.sessions import ID_PATTERN, check_id
from adreel.models.shares import Review, Share
from adreel.models.takes import Job, Take
from adreel.records.changes import announcer, tell_listeners
from adreel.storage import Storage
from adreel.storage.backend import RECORD_BYTES

AnyRecord = TypeVar("AnyRecord", bound=Record)
Change = Callable[[AnyRecord | None], AnyRecord | None]


@dataclass(frozen=True)
class Kind(Generic[AnyRecord]):
    """A kind of record: its name in the migrations, its model, and the template of its path."""

    name: str
    model: type[AnyRecord]
    template: str

    def path(self, ids: dict[str, str]) -> str:
        """Return the path of a record in its storage."""
        return self.template.format(**{name: check_id(value, name) for name, value in ids.items()})

    def parse(self, content: bytes, ids: dict[str, str]) -> AnyRecord:
        """Read a record of any earlier version; ValueError if it is invalid or of other ids."""
        data = from_json(content, allow_inf_nan=False)
        record = self.model.model_validate(migrate(self.name, data) if isinstance(data, dict) else data)
        for name, value in ids.items():
            if getattr(record, name, value) != value:
                raise ValueError(f"it is that of {name} {getattr(record, name)!r}")
        return record


class RecordFiles:
    """The files of all records in a storage.

    With `announces`, other processes learn of changed sessions through the storage.
    """

    def __init__(self, storage: Storage, *, announces: bool = False) -> None:
        self.storage = storage
        self._announces = announces
        storage.watch_marker()

    def _ids(self, folder: str) -> list[str]:
        names = (name.removesuffix(".json") for name in self.storage.names(folder) if name.endswith(".json"))
        return [name for name in names if re.fullmatch(ID_PATTERN, name)]

    def _put(self, kind: Kind[AnyRecord], change: Change[AnyRecord], **ids: str) -> AnyRecord:
        record = self._change(kind, change, **ids)
        assert record is not None  # noqa: S101 - `change` returns None only for a stored record
        return record

    def _change(self, kind: Kind[AnyRecord], change: Change[AnyRecord], **ids: str) -> AnyRecord | None:
        path = kind.path(ids)
        stands: AnyRecord | None = None
        earlier: AnyRecord | None = None

        def rewrite(content: bytes | None) -> bytes | None:
            nonlocal stands, earlier
            # Parsed in any case: an unreadable record may be all that is known of a paid clip and must not be replaced.
            with self._parsing(path):
                stands = earlier = None if content is None else kind.parse(content, ids)
            if (record := change(earlier)) is None:
                return None
            stands = record
            return record.model_dump_json(indent=2).encode() + b"\n"

        with self._refusing_folders(path):
            self.storage.update(path, rewrite)
        session_id = ids.get("session_id") or getattr(stands, "session_id", None)
        if session_id and stands and stands is not earlier and _shows_in_lists(earlier, stands):
            self._announce(session_id, in_storage=not _is_announced_later(earlier, stands))
        return stands

    def _announce(self, session_id: str, *, in_storage: bool = True) -> None:
        tell_listeners(self.storage, session_id)
        if self._announces and in_storage:
            announcer.announce(self.storage, session_id)

    def _read(self, kind: Kind[AnyRecord], **ids: str) -> AnyRecord | None:
        path = kind.path(ids)
        with self._refusing_folders(path), self._parsing(path):
            try:
                return kind.parse(self.storage.read(path, RECORD_BYTES), ids)
            except FileNotFoundError:
                return None

    @contextmanager
    def _refusing_folders(self, path: str) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            if isinstance(error.__cause__, IsADirectoryError):
                where = self.storage.location(path)
                raise BadRecord(f"{where} is not a valid record, but a folder: move it away") from None
            raise

    @contextmanager
    def _parsing(self, path: str) -> Iterator[None]:
        where = self.storage.location(path)
        try:
            yield
        except NewerRecord as error:
            raise BadRecord(f"{where} was written by a newer adreel ({error}): update this one") from None
        except ValueError as error:
            reason = describe(error) if isinstance(error, ValidationError) else error
            raise BadRecord(
                f"{where} is not a valid record: {reason}; it is not replaced: restore it or move it away"
            ) from None


def _shows_in_lists(earlier: Record | None, record: Record) -> bool:
    """Whether a change shows in lists: the steps of a purchase between its start and its end do not."""
    if isinstance(record, Share | Review):
        return False
    if isinstance(earlier, Take) and isinstance(record, Take):
        return (earlier.state, earlier.pruned_at) != (record.state, record.pruned_at)
    if isinstance(earlier, Job) and isinstance(record, Job):
        return (earlier.ended_at, earlier.scenarios) != (record.ended_at, record.scenarios)
    return True


def _is_announced_later(earlier: Record | None, record: Record) -> bool:
    """Whether a change belongs to the start of a job, or precedes its end: each of them is announced once."""
    if isinstance(record, Take):
        return isinstance(earlier, Take) or not record.attempts
    return isinstance(record, Job) and record.ended_at is None
