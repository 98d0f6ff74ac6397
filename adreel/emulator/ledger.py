"""The ledger: every submit, every accepted task with its outcome, and every bill.

The tests compare adreel's records with it. Its file has one JSON line per event, appended and flushed. A new server on
the same file continues the tasks of the old one. A last line that a crash has truncated is ignored.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from heapq import heappop, heappush
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from adreel.emulator.clips import Clip
from adreel.emulator.outputs import Output, recorded
from adreel.emulator.replies import Item

SUCCESS = "success"


@dataclass(frozen=True)
class Entry:
    """An accepted task. Times are seconds of the server's clock, money is USD.

    `scenario` is that of a clip, as far as its prompt tells; other tasks have still-SCENARIO, still, voice or music. In
    `request`, data URIs are shortened to "sha256:" and the digest of their bytes. `output` is what it orders.
    `due_at` is None for a render that never ends. `outcome` is None while it runs, then SUCCESS or the fault's name.
    `billed` is None if unknown. `oddity` is the fault of the file itself ("" for none), `sha256` its digest.
    Both are None until the first download. `served` has the digests of all downloads that look complete.
    """

    uuid: str
    scenario: str | None
    model: str
    request: Item
    output: Output
    price: float
    accepted_at: float
    due_at: float | None
    ended_at: float | None = None
    outcome: str | None = None
    billed: float | None = None
    submits: int = 0
    oddity: str | None = None
    sha256: str | None = None
    served: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str | None, str]:
        """Return the targets of the faults that can strike it."""
        return self.scenario, self.output.kind

    @property
    def file(self) -> str:
        """Return the name of its file."""
        return self.uuid + self.output.suffix


@dataclass(frozen=True)
class Upload:
    """An uploaded image, by the digest of its bytes."""

    uuid: str
    image: str
    at: float


@dataclass
class Counters:
    """The number of requests since the server's start."""

    connections: int = 0
    submits: int = 0
    polls: int = 0
    downloads: int = 0


class Ledger:
    """The tasks of a server. It is written on the server's event loop and can be read from any thread."""

    def __init__(self, file: Path | None = None) -> None:
        self.counters = Counters()
        self._entries: dict[str, Entry] = {}
        self._uploads: list[Upload] = []
        self._uploaded: dict[str, str] = {}
        self._submits: Counter[str] = Counter()
        self.charged = 0.0
        """USD of the tasks that run or have succeeded. A failed task is not billed."""
        self._due: list[tuple[float, str]] = []
        self._file: IO[str] | None = None
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            truncated = self._load(file)
            self._file = file.open("a", encoding="utf-8")
            if truncated:
                self._file.truncate(file.stat().st_size - truncated)

    @classmethod
    def read(cls, file: Path) -> "Ledger":
        """Read the ledger of a server, which may be writing it."""
        ledger = cls()
        ledger._load(file)
        return ledger

    @property
    def entries(self) -> list[Entry]:
        """List the accepted tasks in the order of their acceptance."""
        return [replace(entry, submits=self._submits[uuid]) for uuid, entry in list(self._entries.items())]

    @property
    def submits(self) -> Mapping[str, int]:
        """Return the number of submits by UUID, including refused ones."""
        return MappingProxyType(self._submits)

    @property
    def uploads(self) -> list[Upload]:
        """List the uploads in their order; an image can be uploaded more than once."""
        return list(self._uploads)

    @property
    def billed(self) -> float:
        """Return the sum of all known bills in USD."""
        return round(sum(entry.billed or 0 for entry in self.entries), 6)

    def find(self, uuid: object) -> Entry | None:
        """Return a task by its UUID, in upper or lower case."""
        return self._entries.get(uuid.lower()) if isinstance(uuid, str) else None

    def find_upload(self, uuid: object) -> str | None:
        """Return the image of an upload by its UUID."""
        return self._uploaded.get(uuid.lower()) if isinstance(uuid, str) else None

    def open_entries(self) -> list[Entry]:
        """List the tasks that have not ended."""
        return [entry for entry in self.entries if entry.ended_at is None]

    def overdue(self, now: float) -> Iterator[Entry]:
        """Yield the tasks that are due, the earliest first, each once."""
        while self._due and self._due[0][0] <= now:
            entry = self._entries[heappop(self._due)[1]]
            if entry.ended_at is None and entry.due_at is not None:
                yield entry

    def most_in_flight(self) -> int:
        """Return the largest number of tasks that were in flight at once."""
        steps = [(entry.accepted_at, 1) for entry in self.entries]
        steps += [(entry.ended_at, -1) for entry in self.entries if entry.ended_at is not None]
        now = most = 0
        for _, step in sorted(steps):
            now += step
            most = max(most, now)
        return most

    def saw_submit(self, uuid: str, at: float) -> None:
        """Record a submit, accepted or not."""
        self.counters.submits += 1
        self._record({"event": "submitted", "uuid": uuid.lower(), "at": at})

    def upload(self, upload: Upload) -> None:
        """Record an upload."""
        self._record({"event": "uploaded", **asdict(upload)})

    def accept(self, entry: Entry) -> None:
        """Record a new task."""
        self._record({"event": "accepted", **asdict(entry), "uuid": entry.uuid.lower()})

    def never_end(self, uuid: str) -> None:
        """Record that a task will not end."""
        self._record({"event": "stuck", "uuid": uuid.lower()})

    def end(self, uuid: str, *, at: float, outcome: str, billed: float | None) -> None:
        """Record a task's end. A bill of None is unknown, not zero."""
        self._record({"event": "ended", "uuid": uuid.lower(), "at": at, "outcome": outcome, "billed": billed})

    def note_clip(self, uuid: str, *, oddity: str, sha256: str | None = None) -> None:
        """Record the fault of a task's file, which never changes, and its digest once it is rendered."""
        self._record({"event": "clip", "uuid": uuid.lower(), "oddity": oddity, "sha256": sha256})

    def serve(self, uuid: str, *, sha256: str) -> None:
        """Record a download that looks complete."""
        self._record({"event": "served", "uuid": uuid.lower(), "sha256": sha256})

    def report(self) -> dict[str, Any]:
        """Return the ledger as JSON values."""
        return {
            "tasks": [asdict(entry) for entry in self.entries],
            "uploads": [asdict(upload) for upload in self.uploads],
            "submits": dict(self._submits),
            "counters": asdict(self.counters),
            "billed": self.billed,
            "in_flight": len(self.open_entries()),
            "most_in_flight": self.most_in_flight(),
        }

    def close(self) -> None:
        """Close the file; the ledger stays readable."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _load(self, file: Path) -> int:
        """Load the entries of a file; returns the length of a truncated last line in bytes."""
        whole, _, cut = (file.read_bytes() if file.exists() else b"").rpartition(b"\n")
        for line in whole.splitlines():
            self._apply(json.loads(line))
        return len(cut)

    def _record(self, event: dict[str, Any]) -> None:
        self._apply(event)
        if self._file is not None:
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()

    def _apply(self, event: dict[str, Any]) -> None:
        fields = {name: value for name, value in event.items() if name != "event"}
        uuid = fields["uuid"]
        match event["event"]:
            case "submitted":
                self._submits[uuid] += 1
            case "uploaded":
                self._uploads.append(Upload(**fields))
                self._uploaded[uuid.lower()] = fields["image"]
            case "accepted":
                # Ledgers of earlier versions have a clip instead of an output, or neither.
                known = fields.pop("clip", None) or fields.get("output")
                entry = Entry(**{**fields, "output": recorded(known) if known else Clip.ordered(fields["request"])})
                self._entries[uuid] = entry
                self.charged += entry.price
                if entry.due_at is not None:
                    heappush(self._due, (entry.due_at, uuid))
            case "clip":
                self._entries[uuid] = replace(self._entries[uuid], oddity=fields["oddity"], sha256=fields["sha256"])
            case "served":
                entry = self._entries[uuid]
                self._entries[uuid] = replace(entry, served=(*entry.served, fields["sha256"]))
            case "stuck":
                self._entries[uuid] = replace(self._entries[uuid], due_at=None)
            case "ended":
                ended = {"ended_at": fields["at"], "outcome": fields["outcome"], "billed": fields["billed"]}
                self._entries[uuid] = replace(self._entries[uuid], **ended)
                if fields["outcome"] != SUCCESS:
                    self.charged -= self._entries[uuid].price
