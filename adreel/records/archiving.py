"""Archives and restores sessions: an archived one leaves the lists, and nothing is bought for it.

A purchase that began before the archive is completed, because its records are durable before anything is sent.
"""

from adreel.errors import Conflict
from adreel.models.api import State
from adreel.models.sessions import Session
from adreel.models.takes import utc_now
from adreel.records import Records
from adreel.records.views import session_view


def archive_session(records: Records, session_id: str) -> None:
    """Archive a session, if it is not archived yet. NotFound without it, Conflict while a job of it runs."""
    if session_view(records, session_id).state == State.GENERATING:
        detail = f"ad {session_id!r} is being generated: wait for its clips or cancel its job, and archive it then"
        raise Conflict(detail, {"session_id": detail})

    def archive(session: Session) -> Session:
        archived_at = getattr(session, "archived_at", None) or utc_now()
        return session.model_copy(update={"archived_at": archived_at})

    records.update_session(session_id, archive)


def restore_session(records: Records, session_id: str) -> None:
    """Bring an archived session back into the lists. NotFound without it."""
    records.update_session(session_id, lambda session: session.model_copy(update={"archived_at": None}))
