"""What the flows and the Python API do before they buy: store the session of an order."""

from collections.abc import Sequence
from typing import Any

from adreel.errors import InputError
from adreel.models.api import WITHOUT_CLIP, State
from adreel.models.parts import VOICES, Addition, Part, kind_of, scenario_of, shown_name
from adreel.models.sessions import MusicBed, Session, Voice
from adreel.models.takes import PartRequest
from adreel.purchase.planning import plan_requests
from adreel.purchase.prompt import without_bought_sound
from adreel.records import Records
from adreel.records.cut_inputs import check_files_of_cut, copy_files_of_cut
from adreel.records.inputs import copy_inputs
from adreel.records.views import current_take
from adreel.settings import Settings


def store_for_generation(
    records: Records,
    settings: Settings,
    session: Session,
    parts: Sequence[Part] | None,
    *,
    override_hint: str | None,
    campaign: str | None = None,
) -> dict[Part, PartRequest]:
    """Store a complete session whose parts are to be bought, in place of an earlier version.

    Returns the parts to buy with their requests. Raises InputError before anything is written if one can't be
    bought as described or has been bought before. `override_hint` tells a person how to buy all scenes again; None
    skips that check.
    """
    requests = plan_requests(session, session.choose(parts), settings, records.storage)
    check_files_of_cut(session.cut)
    earlier = records.take_ids(session.session_id)
    taken = [
        shown_name(part)
        for part in requests
        if earlier[part]
        and any(take.state not in WITHOUT_CLIP or take.is_open for take in records.takes(session.session_id, part))
    ]
    if taken and override_hint is not None:
        name = session.session_id
        ways = [f"resume what is open with `adreel resume {name}`"]
        ways += [f"buy one again with `adreel regenerate {name} {taken[0]}`"]
        if any(kind_of(part) == "voice" for part in requests):
            ways.append(f"buy narrations that are missing or have changed with `adreel narrate {name}`")
        raise InputError(
            f"session {name!r} has takes of {', '.join(taken)} already (adreel status {name}): {', '.join(ways)}, or"
            f" all of them with {override_hint}"
        )
    stored = copy_files_of_cut(records.storage, copy_inputs(records.storage, session, requests))
    records.save_session(stored, campaign)
    return requests


def with_additions(
    session: Session, parts: list[Part] | None, *, voice: bool | None, music: bool | None
) -> tuple[Session, list[Part] | None]:
    """Add a narrator and music to a session and to the parts that are bought, or leave them out.

    Raises InputError if no scene has words for a narrator.
    """
    if voice is None and music is None:
        return session, parts
    update: dict[str, Any] = {}
    if voice and not session.voice:
        update["voice"] = Voice()
    if music and not session.music:
        if session.cut and session.cut.music:
            raise InputError("the session has music from a file: remove cut.music to buy music")
        update["music"] = MusicBed()
    session = session.model_copy(update=update)
    wanted = list(session.choose(None) if parts is None else parts)
    if voice is False:
        wanted = [part for part in wanted if part not in VOICES.values()]
    if music is False:
        wanted = [part for part in wanted if part != Addition.MUSIC]
    spoken = [part for part in session.narrations if scenario_of(part) in wanted]
    if voice and not spoken:
        raise InputError("no scene has words for a narrator: give dialog_narration in a scene description")
    added = [*(spoken if voice else []), *([Addition.MUSIC] if music else [])]
    return session, list(dict.fromkeys([*wanted, *added]))


def changed_parts(records: Records, settings: Settings, session: Session, parts: Sequence[Part]) -> list[Part]:
    """Return the parts that would be bought as something else than their current take, and those without a take.

    A take that is being bought counts as the current one.
    """
    takes, choices = records.takes_by_part(session.session_id), records.choices(session.session_id)
    requests = plan_requests(session, parts, settings, records.storage, checks_files=False)

    def is_bought(part: Part, request: PartRequest) -> bool:
        newest = takes[part][-1:]
        current = newest[0] if newest and newest[0].state == State.GENERATING else current_take(takes[part], choices)
        return current is not None and is_same_order(session, current.request, request)

    return [part for part, request in requests.items() if not is_bought(part, request)]


def is_same_order(session: Session, earlier: PartRequest, request: PartRequest) -> bool:
    """Whether a request would buy what an earlier one has bought for the session, however their warnings differ.

    A clip is the same if it only has a sound that the session buys apart from its clips since then: a narrator is no
    reason to buy all clips again.
    """
    if earlier.kind == "clip":
        earlier = earlier.model_copy(update={"prompt": without_bought_sound(earlier.prompt, session)})
    return _content(earlier) == _content(request)


def _content(request: PartRequest) -> dict[str, Any]:
    # A newer version may know more fields. Their absence says the same.
    return request.model_dump(exclude={"warnings"}, exclude_none=True)
