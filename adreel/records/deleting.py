"""Deletes sessions for which nothing was ever sent.

The session is marked first: no job is started for it from then on. A job that had read it before records its takes
before it sends anything. They are looked for after the mark, and a session that has a take is not deleted, whatever its
mark says. So a purchase that starts at the same moment brings the session back, with its clips.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from itertools import chain

from adreel.errors import AdreelError, Conflict, NotFound, SessionDeleted, collect_errors
from adreel.models.shares import Share
from adreel.models.takes import AttemptState, Take, utc_now
from adreel.records import Records
from adreel.records.pruning import prune


def delete_session(records: Records, session_id: str) -> None:
    """Delete a session. NotFound without it; Conflict if a clip of it was ordered, or if a job of it runs.

    Its takes are removed, and its shares are revoked. `adreel prune` removes what is left of it.
    """
    records.session(session_id)
    _unsent_takes(records, session_id)
    records.mark_deleted(session_id, utc_now())
    try:
        for take in _unsent_takes(records, session_id):
            if not prune(records, take, keep_current=False):
                raise _refusal(session_id, "a clip of it is being ordered: wait for it, and archive the ad then")
    except AdreelError:
        with suppress(AdreelError):
            records.mark_deleted(session_id, None)
        raise

    def revoke(share: Share | None) -> Share | None:
        return share.model_copy(update={"revoked_at": utc_now()}) if share and not share.revoked_at else None

    for share in records.shares(session_id, unreadable=[]):
        records.update_share(session_id, share.share_id, revoke)


def deleted_sessions(records: Records, before: datetime, broken: list[AdreelError]) -> Iterator[str]:
    """Find the sessions that were deleted before a moment."""
    for session_id in records.each_session_id():
        with collect_errors(broken):
            try:
                records.session(session_id)
            except SessionDeleted as deleted:
                if deleted.deleted_at < before:
                    yield session_id
            except NotFound:
                pass  # `adreel verify` reports it.


def remove_session(records: Records, session_id: str) -> None:
    """Remove the files of a deleted session, its own record last. One that has a take again stays."""
    with suppress(SessionDeleted):
        records.session(session_id)
        return
    folder = f"sessions/{session_id}"
    files = [name for name in records.storage.files(folder) if name != "session.json"]
    for name in [*files, "session.json"]:
        records.storage.remove(f"{folder}/{name}")
    records.announce_removal(session_id)


def _unsent_takes(records: Records, session_id: str) -> list[Take]:
    """Return the takes of a session, or raise Conflict if a task of one was sent or can be sent by a running job."""
    takes = list(chain.from_iterable(records.takes_by_part(session_id).values()))
    if any(attempt.state != AttemptState.PLANNED for take in takes for attempt in take.attempts):
        raise _refusal(session_id, "clips of it were ordered. Archive it instead")
    jobs = records.map(records.job, sorted({take.job_id for take in takes}))
    if any(job and job.ended_at is None for job in jobs):
        raise _refusal(session_id, "a job of it runs: cancel the job first")
    if takes and not (records.storage.is_conditional or records.storage.is_atomic):
        raise _refusal(session_id, "a job was started for it, and its storage can't exclude a second one. Archive it")
    return takes


def _refusal(session_id: str, reason: str) -> Conflict:
    detail = f"ad {session_id!r} can't be deleted: {reason}"
    return Conflict(detail, {"session_id": detail})
