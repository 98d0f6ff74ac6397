"""The records in storage: sessions, jobs, takes, choices, cuts and budgets, one JSON file each.

They are the source of truth; Prefect only shows and drives. Every change is one conditional update: `change` gets the
stored record and returns the new one. On a storage with conditional updates, no change of another process is lost. An
unreadable record is never replaced.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from itertools import chain
from typing import Self, TypeVar

from pydantic import AwareDatetime, Field

from adreel.errors import AdreelError, BadRecord, Conflict, NotFound, SessionDeleted, collect_errors
from adreel.models.campaigns import Campaign
from adreel.models.cuts import Cut
from adreel.models.parts import PARTS, Part
from adreel.models.record import Record
from adreel.models.sessions import ID_PATTERN, Session, check_id
from adreel.models.shares import Review, Share
from adreel.models.spend import BudgetRecord
from adreel.models.spend_totals import PrunedSpend
from adreel.models.takes import Attempt, AttemptState, Choices, Job, Take, utc_now
from adreel.records.files import Change, Kind, RecordFiles
from adreel.settings import Settings
from adreel.storage import Storage

READERS = 16
"""Maximum number of records that a call reads at once."""

Item = TypeVar("Item")
Found = TypeVar("Found")


class StoredSession(Session, Record):
    """A session as it is stored."""

    created_at: AwareDatetime | None = Field(None, description="Null in records of earlier versions")
    campaign: str | None = None
    """Name of the last campaign that stored it. Later takes of its scenes belong to it as well."""
    archived_at: AwareDatetime | None = None
    """When a person archived it. It is in no list then, and nothing is bought for it."""

    deleted_at: AwareDatetime | None = None
    """When a person deleted it. It is not deleted if it has a take (adreel/records/deleting.py)."""

    def check_buyable(self) -> None:
        """Raise Conflict if it is archived."""
        if self.archived_at is not None:
            restore = f"`adreel archive {self.session_id} --restore`"
            detail = f"ad {self.session_id!r} is archived, so nothing is bought for it: {restore} brings it back"
            raise Conflict(detail, {"session_id": detail})


_SESSION = Kind("session", StoredSession, "sessions/{session_id}/session.json")
_JOB = Kind("job", Job, "jobs/{job_id}.json")
_TAKE = Kind("take", Take, "sessions/{session_id}/takes/{scenario}/{job_id}.json")
_CHOICES = Kind("choices", Choices, "sessions/{session_id}/current.json")
_CUT = Kind("cut", Cut, "sessions/{session_id}/cuts/{cut_id}.json")
_SHARE = Kind("share", Share, "sessions/{session_id}/shares/{share_id}.json")
_REVIEW = Kind("review", Review, "sessions/{session_id}/reviews/{review_id}.json")
_CAMPAIGN = Kind("campaign", Campaign, "campaigns/{name}.json")
_PRUNED = Kind("pruned", PrunedSpend, "spend/pruned.json")
_BUDGETS = Kind("budgets", BudgetRecord, "budgets/budgets.json")


class Records(RecordFiles):
    """Reads and writes the records of one storage; BadRecord names a file that is not a valid record."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Open the records in the storage of the settings."""
        return cls(Storage.from_settings(settings), announces=True)

    def create_session(self, session: Session) -> tuple[Session, bool]:
        """Store a new session unless its id is taken; return the stored session, and whether it is the new one."""
        created = False

        def create(earlier: StoredSession | None) -> StoredSession | None:
            nonlocal created
            created = earlier is None or self._is_deleted(earlier)
            return StoredSession(**{**session.model_dump(), "created_at": utc_now()}) if created else None

        return self._put(_SESSION, create, session_id=session.session_id), created

    def update_session(self, session_id: str, change: Callable[[Session], Session]) -> Session:
        """Change a stored session and return it, or raise NotFound; `change` may be called again."""

        def apply(stored: StoredSession | None) -> StoredSession:
            if stored is None:
                raise self._no_session(session_id)
            self._refuse_deleted(stored)
            # One that is not deleted, as it has a take, is not deleted later either.
            kept = {"created_at": stored.created_at, "deleted_at": None}
            return StoredSession(**{**change(stored).model_dump(), **kept})

        return self._put(_SESSION, apply, session_id=session_id)

    def mark_deleted(self, session_id: str, at: datetime | None) -> None:
        """Mark a session as deleted, or remove its mark with None; NotFound if there is no such session."""

        def mark(stored: StoredSession | None) -> StoredSession:
            if stored is None:
                raise self._no_session(session_id)
            return stored.model_copy(update={"deleted_at": at})

        self._put(_SESSION, mark, session_id=session_id)

    def save_session(self, session: Session, campaign: str | None = None) -> None:
        """Store a complete session in place of an earlier version, whose unknown fields and campaign stay.

        Raises Conflict if the earlier version is archived.
        """

        def replace(earlier: StoredSession | None) -> StoredSession:
            earlier = None if earlier and self._is_deleted(earlier) else earlier
            if earlier:
                earlier.check_buyable()
            kept = {**(earlier.model_extra or {}), "campaign": earlier.campaign} if earlier else {}
            named = {"campaign": campaign} if campaign else {}
            created_at = earlier.created_at if earlier else utc_now()
            return StoredSession(**{**kept, **session.model_dump(), **named, "created_at": created_at})

        self._put(_SESSION, replace, session_id=session.session_id)

    def session(self, session_id: str) -> StoredSession:
        """Return a stored session, or raise NotFound."""
        stored = self._read(_SESSION, session_id=session_id)
        if stored is None:
            raise self._no_session(session_id)
        self._refuse_deleted(stored)
        return stored

    def _is_deleted(self, session: StoredSession) -> bool:
        return session.deleted_at is not None and not any(self.take_ids(session.session_id).values())

    def _refuse_deleted(self, session: StoredSession) -> None:
        if session.deleted_at is not None and self._is_deleted(session):
            told = str(self._no_session(session.session_id))
            raise SessionDeleted(f"{told} (it was deleted on {session.deleted_at:%Y-%m-%d})", session.deleted_at)

    def _no_session(self, session_id: str) -> NotFound:
        return NotFound(f"no session {session_id!r} in {self.place}: see `adreel sessions`")

    @property
    def place(self) -> str:
        """The storage's URL for messages about missing records, with a hint if the storage is new and empty."""
        if self.storage.storage_id is None and not self.storage.names(""):
            return f"{self.storage.url} (which is new and empty: check ADREEL_STORAGE, and that its disk is mounted)"
        return self.storage.url

    def session_ids(self) -> list[str]:
        """Return the ids of all stored sessions, sorted."""
        return [name for name in self.storage.names("sessions") if re.fullmatch(ID_PATTERN, name)]

    def each_session_id(self) -> Iterator[str]:
        """Yield the ids of all stored sessions. On S3, a thousand of them are in memory at a time."""
        return (name for name in self.storage.each_name("sessions") if re.fullmatch(ID_PATTERN, name))

    def update_job(self, job_id: str, change: Change[Job]) -> Job | None:
        """Change or create a job and return it; `change` may be called again.

        `change` gets None for a missing job, and returns None to change nothing.
        """
        return self._change(_JOB, change, job_id=job_id)

    def assume_no_job(self, job_id: str) -> None:
        """Let the next update create a job without a read before it. If the job exists, the update reads it."""
        self.storage.assume_missing(_JOB.path({"job_id": job_id}))

    def job(self, job_id: str) -> Job | None:
        """Return a job, or None if nothing was recorded under that id."""
        return self._read(_JOB, job_id=job_id)

    def map(
        self, read: Callable[[Item], Found], items: Sequence[Item], broken: list[AdreelError] | None = None
    ) -> list[Found]:
        """Call a function that reads records for each item, several at once on an object store; results are in order.

        With `broken`, errors are added to it, and their results are left out. Without, the first one raises.
        """

        def attempt(item: Item) -> tuple[list[Found], list[AdreelError]]:
            errors: list[AdreelError] = []
            with collect_errors(None if broken is None else errors):
                return [read(item)], []
            return [], errors

        if len(items) < 2 or not self.storage.is_concurrent:
            outcomes = [attempt(item) for item in items]
        else:
            with ThreadPoolExecutor(min(len(items), READERS), "adreel-read") as threads:
                outcomes = list(threads.map(attempt, items))
        if broken is not None:
            broken += chain.from_iterable(errors for _, errors in outcomes)
        return list(chain.from_iterable(found for found, _ in outcomes))

    def job_ids(self) -> list[str]:
        """Return the ids of all jobs, sorted."""
        return self._ids("jobs")

    def jobs(self) -> list[Job]:
        """Return all jobs, the oldest first."""
        jobs = filter(None, self.map(self.job, self.job_ids()))
        return sorted(jobs, key=lambda job: (job.created_at, job.job_id))

    def save_take(self, take: Take, *, is_new: bool = False) -> None:
        """Store a take durably, unless the stored one has come further. A crash after the return can't undo it.

        A record that is probably new needs no read.
        """
        if is_new:
            self.storage.assume_missing(_TAKE.path(_ids_of(take)))
        self.update_take(take, lambda latest: latest.position > take.position)

    def update_take(self, take: Take, yields_to: Callable[[Take], bool], *, must_exist: bool = False) -> Take:
        """Store a take unless `yields_to` holds for the stored one, and return the take that is stored now.

        With `must_exist`, NotFound if the record was removed meanwhile.
        """

        def choose(latest: Take | None) -> Take | None:
            if must_exist and (latest is None or (latest.pruned_at and not latest.attempts)):
                raise NotFound(f"the record of take {take.short_id} was removed meanwhile, so nothing is bought for it")
            if latest is not None and latest.released:
                # Another process ended these holds. A runner that does not know it must not undo it.
                take.released = list(dict.fromkeys([*latest.released, *take.released]))
            return None if latest is not None and yields_to(latest) else take

        return self._put(_TAKE, choose, **_ids_of(take))

    def take(self, session_id: str, scenario: Part, job_id: str) -> Take | None:
        """Return the take of a job for a part, or None if it has not begun."""
        return self._read(_TAKE, session_id=session_id, scenario=scenario, job_id=job_id)

    def own_take(self, session_id: str, scenario: Part, job_id: str) -> Take | None:
        """Return a take as this process last wrote it, without a request; None if that is not known.

        Another process may have continued the take since then, unless it is stored, which is final.
        """
        ids = {"session_id": session_id, "scenario": scenario, "job_id": job_id}
        content = self.storage.own_version(_TAKE.path(ids))
        return None if content is None else _TAKE.parse(content, ids)

    def final_take(self, session_id: str, scenario: Part, job_id: str) -> Take | None:
        """Return a take. One that this process has stored is final, and needs no request."""
        own = self.own_take(session_id, scenario, job_id)
        return own if own and own.is_stored else self.take(session_id, scenario, job_id)

    def take_ids(self, session_id: str) -> dict[Part, list[str]]:
        """Return the ids of the jobs that have a take of each part, by one listing of an object store."""
        folder = _take_folder(session_id)
        if self.storage.is_local:
            # A folder in place of a record is reported when it is read, so its name counts.
            return {part: self._ids(f"{folder}/{part.value}") for part in PARTS}
        found: dict[Part, list[str]] = {part: [] for part in PARTS}
        parts = {part.value: part for part in PARTS}
        for path in self.storage.files(folder):
            part, _, name = path.partition("/")
            job_id = name.removesuffix(".json")
            if part in parts and name.endswith(".json") and re.fullmatch(ID_PATTERN, job_id):
                found[parts[part]].append(job_id)
        return found

    def job_ids_of(self, session_id: str) -> list[str]:
        """Return the ids of the jobs that have a take of a session, by one listing."""
        return sorted(set(chain.from_iterable(self.take_ids(session_id).values())))

    def takes(self, session_id: str, scenario: Part, unreadable: list[AdreelError] | None = None) -> list[Take]:
        """Return all takes of a part, the oldest first. With a list, the errors of unreadable ones are added to it."""
        job_ids = self._ids(f"{_take_folder(session_id)}/{scenario.value}")
        takes = filter(None, self.map(lambda job_id: self.take(session_id, scenario, job_id), job_ids, unreadable))
        return sorted(takes, key=lambda take: take.order)

    def takes_by_part(self, session_id: str) -> dict[Part, list[Take]]:
        """Return all takes of a session by part, the oldest first, by one listing and reads at once."""
        listed = [(scenario, job_id) for scenario, ids in self.take_ids(session_id).items() for job_id in ids]
        found: dict[Part, list[Take]] = {part: [] for part in PARTS}
        for take in self.map(lambda ids: self.take(session_id, *ids), listed):
            if take:
                found[take.scenario].append(take)
        return {part: sorted(takes, key=lambda take: take.order) for part, takes in found.items()}

    def next_take_number(self, session_id: str, scenario: Part, job_ids: list[str] | None = None) -> int:
        """Return the number of a new take, after all recorded takes, readable or not; `job_ids` have one."""
        if job_ids is None:
            job_ids = self.take_ids(session_id)[scenario]
        highest = len(job_ids)
        for job_id in job_ids:
            with suppress(BadRecord):
                take = self.take(session_id, scenario, job_id)
                highest = max(highest, take.number if take else 0)
        return highest + 1

    def release_take(self, take: Take, marks: Collection[str]) -> Take | None:
        """Forbid to send the next task of an unsent take under some marks; returns the stored take."""

        def release(latest: Take | None) -> Take | None:
            if latest is None or len(latest.attempts) != len(take.attempts) or latest.is_open or latest.is_stored:
                return None
            released = list(dict.fromkeys([*latest.released, *marks]))
            return None if released == latest.released else latest.model_copy(update={"released": released})

        return self._change(_TAKE, release, session_id=take.session_id, scenario=take.scenario, job_id=take.job_id)

    def answer_sender(self, take: Take, attempt: Attempt, mark: str | None) -> None:
        """Record the answer that a runner got about a task which others have recorded as failed meanwhile."""

        def answer(latest: Take | None) -> Take | None:
            if latest is None:
                return None
            attempts = [
                each.without_sender(mark).model_copy(update={"accepted_at": each.accepted_at or attempt.accepted_at})
                if each.uuid == attempt.uuid and each.state == AttemptState.FAILED
                else each
                for each in latest.attempts
            ]
            return None if attempts == latest.attempts else latest.model_copy(update={"attempts": attempts})

        self._change(_TAKE, answer, **_ids_of(take))

    def end_doubt(self, take: Take) -> Take | None:
        """Record that Runware does not know the last task of a take in doubt, and return the stored take."""

        def end(latest: Take | None) -> Take | None:
            if latest is None or latest.attempts != take.attempts:
                return None
            attempt = latest.attempts[-1].model_copy(update={"senders": {}})
            return latest.model_copy(update={"attempts": [*latest.attempts[:-1], attempt]})

        return self._change(_TAKE, end, **_ids_of(take))

    def mark_pruned(self, take: Take) -> Take | None:
        """Mark a take for removal, so no runner plans another attempt, and return the stored take; None if it is gone.

        A take that has changed is not marked.
        """

        def mark(latest: Take | None) -> Take | None:
            if latest is None or latest.model_copy(update={"pruned_at": take.pruned_at}) != take:
                return None
            return take.model_copy(update={"pruned_at": utc_now()})

        return self._change(_TAKE, mark, **_ids_of(take))

    def remove_take(self, take: Take) -> None:
        """Remove the record of a take, but not its files."""
        self.storage.remove(_TAKE.path(_ids_of(take)))
        self._announce(take.session_id)

    def remove_job(self, job_id: str) -> None:
        """Remove the record of a job."""
        self.storage.remove(_JOB.path({"job_id": job_id}))

    def choices(self, session_id: str) -> Choices:
        """Return the takes that a person has chosen; none at first."""
        return self._read(_CHOICES, session_id=session_id) or Choices(takes={})

    def update_choices(self, session_id: str, change: Callable[[Choices], Choices | None]) -> None:
        """Change the chosen takes; `change` may be called again, and returns None to change nothing."""
        self._change(_CHOICES, lambda choices: change(choices or Choices(takes={})), session_id=session_id)

    def cut(self, session_id: str, cut_id: str) -> Cut | None:
        """Return a finished ad, or None if there is none of that id."""
        return self._read(_CUT, session_id=session_id, cut_id=cut_id)

    def cuts(self, session_id: str) -> list[Cut]:
        """Return the finished ads of a session, the oldest first."""
        cut_ids = self._ids(f"sessions/{check_id(session_id, 'session_id')}/cuts")
        cuts = filter(None, self.map(lambda cut_id: self.cut(session_id, cut_id), cut_ids))
        return sorted(cuts, key=lambda cut: (cut.created_at, cut.cut_id))

    def has_cut(self, session_id: str) -> bool:
        """Whether a session has a finished ad, by the names of the records alone."""
        return bool(self._ids(f"sessions/{check_id(session_id, 'session_id')}/cuts"))

    def save_cut(self, cut: Cut, earlier: Cut | None = None) -> Cut:
        """Store a finished ad, in place of `earlier`, and return the one that is stored now.

        Another runner may have stored the same ad meanwhile: its record stays.
        """

        def choose(latest: Cut | None) -> Cut | None:
            return cut if latest == earlier else None

        return self._change(_CUT, choose, session_id=cut.session_id, cut_id=cut.cut_id) or cut

    def remove_cut(self, cut: Cut) -> None:
        """Remove the record of a finished ad, but not its files."""
        self.storage.remove(_CUT.path({"session_id": cut.session_id, "cut_id": cut.cut_id}))
        self._announce(cut.session_id)

    def share(self, session_id: str, share_id: str) -> Share | None:
        """Return a share, or None if there is none of that id."""
        return self._read(_SHARE, session_id=session_id, share_id=share_id)

    def shares(self, session_id: str, unreadable: list[AdreelError] | None = None) -> list[Share]:
        """Return the shares of a session. With a list, the errors of unreadable ones are added to it."""
        share_ids = self._ids(f"sessions/{check_id(session_id, 'session_id')}/shares")
        return list(filter(None, self.map(lambda each: self.share(session_id, each), share_ids, unreadable)))

    def update_share(self, session_id: str, share_id: str, change: Change[Share]) -> Share | None:
        """Change or create a share and return the stored one; `change` may be called again."""
        return self._change(_SHARE, change, session_id=session_id, share_id=share_id)

    def review(self, session_id: str, review_id: str) -> Review | None:
        """Return a review, or None if there is none of that id."""
        return self._read(_REVIEW, session_id=session_id, review_id=review_id)

    def reviews(self, session_id: str, unreadable: list[AdreelError] | None = None) -> list[Review]:
        """Return the reviews of a session. With a list, the errors of unreadable ones are added to it."""
        review_ids = self._ids(f"sessions/{check_id(session_id, 'session_id')}/reviews")
        return list(filter(None, self.map(lambda each: self.review(session_id, each), review_ids, unreadable)))

    def count_reviews(self, session_id: str) -> int:
        """Return the number of reviews of a session, by their names alone."""
        return len(self._ids(f"sessions/{check_id(session_id, 'session_id')}/reviews"))

    def add_review(self, review: Review) -> Review:
        """Store a review unless there is one of its id, and return the stored one."""
        ids = {"session_id": review.session_id, "review_id": review.review_id}
        return self._put(_REVIEW, lambda earlier: review if earlier is None else None, **ids)

    def campaign(self, name: str) -> Campaign | None:
        """Return a campaign that was started over HTTP, or None."""
        return self._read(_CAMPAIGN, name=name)

    def campaign_names(self) -> list[str]:
        """Return the names of the campaigns that were started over HTTP, sorted."""
        return self._ids("campaigns")

    def update_campaign(self, name: str, change: Change[Campaign]) -> Campaign | None:
        """Change or create a campaign and return the stored one; `change` may be called again."""
        return self._change(_CAMPAIGN, change, name=name)

    def pruned_spend(self) -> PrunedSpend:
        """Return what pruned takes had cost."""
        return self._read(_PRUNED) or PrunedSpend()

    def update_pruned_spend(self, change: Callable[[PrunedSpend], PrunedSpend | None]) -> None:
        """Change what pruned takes had cost; `change` may be called again, and returns None to change nothing."""
        self._change(_PRUNED, lambda pruned: change(pruned or PrunedSpend()))

    def budgets(self) -> BudgetRecord:
        """Return all budgets and open holds; none at first."""
        return self._read(_BUDGETS) or BudgetRecord()

    def update_budgets(self, change: Callable[[BudgetRecord], BudgetRecord | None]) -> None:
        """Change the budgets; `change` may be called again, and returns None to change nothing."""
        folder = _BUDGETS.template.partition("/")[0]
        if self.storage.is_local and not self.storage.exists(folder) and change(BudgetRecord()) is None:
            return  # On a disk, an update makes the folder even if it writes nothing.
        self._change(_BUDGETS, lambda budgets: change(budgets or BudgetRecord()))

    def announce_removal(self, session_id: str) -> None:
        """Announce that the files of a session were removed."""
        self._announce(session_id)

    def announce_start(self, job: Job) -> None:
        """Announce a started job to other processes, once it and its planned takes are stored."""
        self._announce(job.session_id)


def _take_folder(session_id: str) -> str:
    return f"sessions/{check_id(session_id, 'session_id')}/takes"


def _ids_of(take: Take) -> dict[str, str]:
    return {"session_id": take.session_id, "scenario": take.scenario, "job_id": take.job_id}
