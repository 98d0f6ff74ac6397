"""Orders of only the changed parts: they buy nothing that is bought already as it is described now."""

from typing import Any

import pytest

from adreel.models.parts import VOICES, Addition, Part
from adreel.models.scenarios import Scenario
from adreel.models.sessions import MusicBed, Session, Voice
from adreel.models.takes import AttemptState
from adreel.purchase.planning import plan_requests
from adreel.records import Records
from adreel.service.orders import changed_parts
from adreel.settings import Settings
from tests.factories import make_session, make_take, scene_data

HOOK, PROBLEM, SOLUTION, CTA = Scenario
WORDS = {"dialog_narration": "Read on.", "background_music": "sparse piano"}


def spoken(**changes: Any) -> Session:
    return make_session(scene_descriptions=[scene_data(scenario, **WORDS) for scenario in Scenario], **changes)


def buy(records: Records, session: Session, *, state: AttemptState = AttemptState.STORED, job: str = "job-1") -> None:
    """Store a session and takes of what it asks for."""
    records.save_session(session)
    for part, request in plan_requests(session, session.parts, Settings(), records.storage).items():
        take = make_take(state, scenario=part, job_id=job)
        take.request = request
        records.save_take(take)


def changed(records: Records, session: Session) -> list[Part]:
    return changed_parts(records, Settings(), session, session.parts)


def with_scene(session: Session, scenario: Scenario, **changes: Any) -> Session:
    scenes = [
        scene.model_copy(update=changes) if scene.scenario == scenario else scene
        for scene in session.scene_descriptions
    ]
    return session.model_copy(update={"scene_descriptions": scenes})


@pytest.mark.parametrize("state", [AttemptState.STORED, AttemptState.ACCEPTED], ids=["stored", "being made"])
def test_nothing_is_bought_twice(records: Records, state: AttemptState) -> None:
    session = spoken(voice={}, music={})
    buy(records, session, state=state)
    assert changed(records, session) == []


def test_other_words_change_one_narration_alone(records: Records) -> None:
    session = spoken(voice={}, music={})
    buy(records, session)
    assert changed(records, with_scene(session, HOOK, dialog_narration="Who reads?")) == [VOICES[HOOK]]
    louder = session.model_copy(update={"voice": Voice(voice="Claire")})
    assert changed(records, louder) == list(VOICES.values())
    waltz = session.model_copy(update={"music": MusicBed(prompt="a waltz")})
    assert changed(records, waltz) == [Addition.MUSIC]


def test_a_narrator_is_no_reason_to_buy_the_clips_again(records: Records) -> None:
    session = spoken()
    buy(records, session)
    narrated = session.model_copy(update={"voice": Voice(), "music": MusicBed()})
    assert changed(records, narrated) == [*VOICES.values(), Addition.MUSIC]


def test_clips_that_speak_change_with_their_words(records: Records) -> None:
    session = spoken()
    buy(records, session)
    assert changed(records, with_scene(session, CTA, dialog_narration="Who reads?")) == [CTA]
    assert changed(records, with_scene(session, CTA, visual_description="a moth")) == [CTA]
