"""The ledger: every submit seen, every task accepted, how it ended, and what was billed for it.

It is the witness that checks compare a client's records with. On disk it is JSON lines, one per event, appended and
flushed: a new server on the same file knows the old one's tasks, and a last line cut by a crash is passed over.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from heapq import heappop, heappush
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from adreel.emulator.replies import Item


@dataclass(frozen=True)
class Entry:
    """An accepted task. Times are the server's clock in seconds, money is USD.

    `due_at` is None for a render that never ends, `outcome` while it runs; `billed` is None when unknown. `oddity` is
    how the clip differs from the order ("": not at all), `sha256` the clip's digest, both None until somebody asks for
    it; `served` are the digests of what was sent as if it were the whole clip.
    """

    uuid: str
    scenario: str | None
    model: str
    request: Item
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


@dataclass
class Counters:
    """Everything that the server has received since its start."""

    connections: int = 0
    submits: int = 0
    polls: int = 0
    downloads: int = 0


class Ledger:
    """The server's book; written on its loop, read from anywhere."""

    def __init__(self, file: Path | None = None) -> None:
        self.counters = Counters()
        self._entries: dict[str, Entry] = {}
        self._submits: Counter[str] = Counter()
        self._due: list[tuple[float, str]] = []
        self._file: IO[str] | None = None
        if file is not None:
            self._open(file)

    @classmethod
    def read(cls, file: Path) -> "Ledger":
        """Read the book of a server, which may be writing it."""
        ledger = cls()
        ledger._load(file)
        return ledger

    @property
    def entries(self) -> list[Entry]:
        """List the accepted tasks in the order of their acceptance."""
        return [replace(entry, submits=self._submits[uuid]) for uuid, entry in list(self._entries.items())]

    @property
    def submits(self) -> Mapping[str, int]:
        """Count the submits seen per UUID, refused ones too."""
        return MappingProxyType(self._submits)

    @property
    def billed(self) -> float:
        """Sum up what is known to be billed, in USD."""
        return round(sum(entry.billed or 0 for entry in self.entries), 6)

    def find(self, uuid: object) -> Entry | None:
        """Return a task by its UUID, whatever its case."""
        return self._entries.get(uuid.lower()) if isinstance(uuid, str) else None

    def open_entries(self) -> list[Entry]:
        """List the tasks that have not ended."""
        return [entry for entry in self.entries if entry.ended_at is None]

    def overdue(self, now: float) -> Iterator[Entry]:
        """Yield the tasks that end by now, the earliest first, each once."""
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
        """Note a submit, before anything is decided about it."""
        self.counters.submits += 1
        self._note({"event": "submitted", "uuid": uuid.lower(), "at": at})

    def accept(self, entry: Entry) -> None:
        """Note a new task."""
        self._note({"event": "accepted", **asdict(entry), "uuid": entry.uuid.lower()})

    def never_end(self, uuid: str) -> None:
        """Note that a task will not end."""
        self._note({"event": "stuck", "uuid": uuid.lower()})

    def end(self, uuid: str, *, at: float, outcome: str, billed: float | None) -> None:
        """Note a task's end; a bill of None is unknown, not nothing."""
        self._note({"event": "ended", "uuid": uuid.lower(), "at": at, "outcome": outcome, "billed": billed})

    def note_clip(self, uuid: str, *, oddity: str, sha256: str | None = None) -> None:
        """Record the oddity of a task's clip, which never changes; its digest once it is rendered."""
        self._note({"event": "clip", "uuid": uuid.lower(), "oddity": oddity, "sha256": sha256})

    def serve(self, uuid: str, *, sha256: str) -> None:
        """Record a truncated download that looks complete."""
        self._note({"event": "served", "uuid": uuid.lower(), "sha256": sha256})

    def report(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "tasks": [asdict(entry) for entry in self.entries],
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

    def _open(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        cut = self._load(file)
        self._file = file.open("a", encoding="utf-8")
        if cut:
            self._file.truncate(file.stat().st_size - cut)

    def _load(self, file: Path) -> int:
        """Load the entries of a file; returns the length of a truncated last line in bytes."""
        whole, _, cut = (file.read_bytes() if file.exists() else b"").rpartition(b"\n")
        for line in whole.splitlines():
            self._fold(json.loads(line))
        return len(cut)

    def _note(self, event: dict[str, Any]) -> None:
        self._fold(event)
        if self._file is not None:
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()

    def _fold(self, event: dict[str, Any]) -> None:
        fields = {name: value for name, value in event.items() if name != "event"}
        uuid = fields["uuid"]
        match event["event"]:
            case "submitted":
                self._submits[uuid] += 1
            case "accepted":
                entry = self._entries[uuid] = Entry(**fields)
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
