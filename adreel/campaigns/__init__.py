"""Campaigns: many ads at once, from a folder of session files, a JSON Lines file, or products and variants in one file.

Each ad is a job of its own. Its id is derived from the campaign's name and the session's id, so a second or concurrent
run of the campaign asks for the same clips. The same command continues an interrupted campaign.
"""

import io
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from adreel.campaigns.variants import each_ad
from adreel.errors import AdreelError, InputError, StorageError
from adreel.models.api import State
from adreel.models.documents import MAX_BYTES, read_document, read_file, read_lines
from adreel.models.ids import derived_uuid
from adreel.models.parts import Part
from adreel.models.sessions import ID_PATTERN, Session, check_id, parse_session
from adreel.models.spend import readable_usd, to_usd
from adreel.models.takes import Job
from adreel.purchase.planning import plan_requests
from adreel.records.cut_inputs import check_files_of_cut
from adreel.records.views import JobView
from adreel.settings import Settings
from adreel.settings.paths import local_path
from adreel.storage import Storage
from adreel.storage.marker import MARKER

STORED = "campaign:"
"""Prefix of a source that is a campaign's record in the storage: `campaign:spring`."""
LINES = (".jsonl", ".ndjson")
SUFFIXES = (".json", ".yaml", ".yml")
KINDS = f"a {' or '.join(LINES)} file, a folder of {', '.join(SUFFIXES)} files, or one of products and variants"
MAX_LISTED = 20
"""Maximum problems, warnings and failures that are listed; the rest are counted."""
OTHER_WARNINGS = "other warnings"


@dataclass(frozen=True)
class CampaignDocument:
    """Products and variants in memory; messages call them by the name."""

    name: str
    data: Any

    def __str__(self) -> str:
        return self.name


Source = str | CampaignDocument
"""A path or URL, a stored campaign, or a document."""


def campaign_name(source: str, name: str = "") -> str:
    """Return the name of a campaign, by default that of its file or folder."""
    if name or source.startswith(STORED):
        return check_id(name or source.removeprefix(STORED), "campaign")
    own = PurePosixPath(source.rstrip("/")).stem
    if not re.fullmatch(ID_PATTERN, own):
        raise InputError(f"a campaign can't be named {own!r} after its source: give it another name (--name)")
    return own


def campaign_job_id(campaign: str, session_id: str) -> str:
    """Return the job id of an ad of a campaign."""
    return str(derived_uuid(campaign, session_id))


def is_campaign(source: str) -> bool:
    """Whether a source is one of many sessions: by its kind, else by the products of its document."""
    path = local_path(source)
    if path is None or source.startswith(STORED) or source.lower().endswith(LINES) or Path(path).is_dir():
        return True
    if not source.lower().endswith(SUFFIXES):
        return False
    document = read_document(read_file(Path(path), "session file"), source)
    return isinstance(document, dict) and "products" in document


def read_sessions(settings: Settings, source: Source, part: int = 1, parts: int = 1) -> Iterator[Session]:
    """Yield the sessions of a source, or one of several equal parts; InputError names the first invalid one."""
    folder = _base_folder(source)
    for number, (place, data, document) in enumerate(_read_entries(settings, source)):
        if number % parts == part - 1:
            yield _session(place, data, folder, document)


def check_sessions(
    settings: Settings, source: Source, part: int = 1, parts: int = 1, *, warnings: Counter[str] | None = None
) -> int:
    """Count the sessions of a part; InputError lists what is wrong in the whole source, before anything is bought.

    `warnings` counts the scenes by the warnings of their requests: the first MAX_LISTED, and all others together.
    """
    problems: list[str] = []
    seen: set[bytes] = set()
    count, folder = 0, _base_folder(source)
    storage = Storage.from_settings(settings)
    for place, data, document in _read_entries(settings, source):
        count += 1
        try:
            session = _session(place, data, folder, document)
            try:
                requests = plan_requests(session, session.parts, settings, storage)
                check_files_of_cut(session.cut)
            except InputError as error:
                raise InputError(f"{place}: {error}") from None
            for message in [each.message for request in requests.values() for each in request.warnings]:
                if warnings is not None:
                    is_listed = message in warnings or len(warnings) < MAX_LISTED
                    warnings[message if is_listed else OTHER_WARNINGS] += 1
            mark = sha256(session.session_id.encode()).digest()[:8]
            if mark in seen:
                raise InputError(f"{place}: session_id {session.session_id!r} appears twice")
            seen.add(mark)
        except AdreelError as error:
            problems.append(str(error))
    if not count:
        if others := ignored_files(settings, source):
            source = f"{source} (with {others})"
        raise InputError(f"{source} contains no sessions: expected {KINDS}")
    if problems:
        more = f"\nand {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
        shown = "\n".join(problems[:MAX_LISTED])
        raise InputError(f"{len(problems)} sessions of {source} are invalid, nothing was bought:\n{shown}{more}")
    return len(range(part - 1, count, parts))


def ignored_files(settings: Settings, source: Source) -> str:
    """Return the names of ignored files in a campaign's folder as text; empty if all are session files."""
    if isinstance(source, CampaignDocument):
        return ""
    storage, name = _open_source(settings, source)
    names = [] if name else [each for each in storage.names("") if not _is_session_file(each) and each != MARKER]
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"{', '.join(names[:MAX_LISTED])}{more}"


def _is_session_file(name: str) -> bool:
    # The session files of a campaign may be in the storage itself.
    return name.lower().endswith(SUFFIXES) and name != MARKER


def _base_folder(source: Source) -> Path | None:
    """Return the base folder of a source's relative image paths; None for a remote source."""
    if isinstance(source, CampaignDocument) or source.startswith(STORED):
        return None
    if (path := local_path(source)) is None:
        return None
    return Path(path) if Path(path).is_dir() else Path(path).parent


def _session(place: str, data: Any, folder: Path | None, document: bytes) -> Session:
    if not isinstance(data, dict) or not data.get("session_id"):
        raise InputError(f"{place}: a session of a campaign needs a session_id: a rerun identifies the ad by it")
    return parse_session(data, place, folder=folder, document=document)


def _open_source(settings: Settings, source: str) -> tuple[Storage, str]:
    """Return the folder of a source and its file name; the name is empty for a folder."""
    if source.startswith(STORED):
        return Storage.from_settings(settings), f"campaigns/{campaign_name(source)}.json"
    same_kind = source.partition("://")[0] == settings.storage.partition("://")[0]
    options = settings.file_system_options if same_kind else {}
    if (path := local_path(source)) is not None:
        source = path
    folder, _, name = source.rpartition("/")
    if name.lower().endswith(LINES + SUFFIXES):
        return Storage(folder or ("/" if source.startswith("/") else "."), options), name
    return Storage(source, options), ""


def _read_entries(settings: Settings, source: Source) -> Iterator[tuple[str, Any, bytes]]:
    """Yield the place and the data of each session, and the document if it has one of its own."""
    if isinstance(source, CampaignDocument):
        for place, data in each_ad(source.data, source.name):
            yield place, data, b""
        return
    storage, name = _open_source(settings, source)
    if not name:
        if storage.is_local and not Path(storage.location("")).is_dir():
            raise InputError(f"{source} is not a source for a campaign: expected {KINDS}")
        for each in storage.names(""):
            if _is_session_file(each):
                document = _read_file(storage, each)
                yield each, read_document(document, each), document
    elif name.lower().endswith(LINES):
        with _open_file(storage, name) as stream:
            for place, data in read_lines(stream, name):
                yield place, data, b""
    else:
        for place, data in each_ad(read_document(_read_file(storage, name), name), name):
            yield place, data, b""


def _read_file(storage: Storage, name: str) -> bytes:
    with _open_file(storage, name) as stream:
        return stream.read(MAX_BYTES + 1)


def _open_file(storage: Storage, name: str) -> BinaryIO:
    location = storage.location(name)
    if storage.is_local and Path(location).exists() and not Path(location).is_file():
        raise InputError(f"can't read {location}: it is not a regular file; write a / behind a folder's name")
    try:
        stream = storage.open(name)
    except FileNotFoundError as error:
        # The file system of https also raises this if the server can't be reached.
        if reason := " ".join(str(error.__cause__ or "").split()):
            raise InputError(f"can't read {location}: {reason}") from None
        raise InputError(f"{location} does not exist") from None
    except StorageError as error:
        if storage.is_local and isinstance(error.__cause__, OSError):
            # The message of the storage is about ADREEL_STORAGE, where this file is not.
            raise InputError(f"can't read {location}: {error.__cause__.strerror}") from None
        raise
    return io.BufferedReader(stream) if isinstance(stream, io.RawIOBase) else stream


@dataclass
class Tally:
    """Totals of a campaign so far; its size does not grow with the number of ads."""

    ads: int
    states: Counter[State] = field(default_factory=Counter)
    scenes: Counter[State] = field(default_factory=Counter)
    cost: float = 0.0
    all_costs_known: bool = True
    failures: list[str] = field(default_factory=list)
    stopped: str = ""
    """Why no further ad is started; empty while ads are."""
    is_over_budget: bool = False
    """Whether a budget is the reason."""

    @property
    def done(self) -> int:
        """Number of ads that have ended."""
        return self.states.total()

    def add(self, view: JobView, *, untold: Collection[Part] = ()) -> None:
        """Count an ad that has ended. The reasons of `untold` scenes are not noted."""
        self.states[view.overall_status] += 1
        self.scenes.update(scene.status for scene in view.scenes)
        self.cost += view.billed
        # A job without a sent order costs 0, which is not an unknown cost.
        self.all_costs_known &= view.cost is not None or not any(scene.progress for scene in view.scenes)
        told = [scene for scene in view.scenes if scene.error and scene.scenario not in untold]
        self.note(*(f"{view.session_id}: {scene.error}" for scene in told))

    def add_stored(self, job: Job) -> None:
        """Count an ad whose job says that all its clips are stored, and what they have cost."""
        self.states[State.COMPLETED] += 1
        self.scenes[State.COMPLETED] += len(job.scenarios)
        self.cost += to_usd(sum(job.stored[scenario] for scenario in job.scenarios))

    def add_failure(self, session_id: str, reason: str) -> None:
        """Count an ad that could not be started."""
        self.states[State.FAILED] += 1
        self.note(f"{session_id}: {reason}")

    @property
    def unsent(self) -> int:
        """Number of ads that were not started because the campaign has stopped."""
        return self.ads - self.done if self.stopped else 0

    def stop(self, reason: str, *, is_over_budget: bool = False) -> None:
        """Start no further ad. The first reason counts."""
        if not self.stopped:
            self.stopped, self.is_over_budget = reason, is_over_budget

    def note(self, *failures: str) -> None:
        """Keep the reasons of failures, up to a number."""
        self.failures = [*self.failures, *failures][:MAX_LISTED]

    @property
    def money(self) -> str:
        """Sum of the known costs in USD."""
        return f"{'' if self.all_costs_known else 'at least '}USD {readable_usd(self.cost)}"

    def __str__(self) -> str:
        ads = [f"{self.states[state]} {state}" for state in State if self.states[state]]
        stopped = f"; stopped: {self.stopped}" if self.stopped else ""
        return f"{self.done} of {self.ads} ads ({', '.join(ads) or 'none yet'}), {self.money}{stopped}"
