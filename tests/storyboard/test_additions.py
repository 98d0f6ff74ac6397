"""Narrations, music and stills on the pages, by their forms, as without script."""

import io
from typing import Any

import pytest
from PIL import Image

from adreel.catalog import packaged
from adreel.models.parts import STILLS, VOICES, Addition, Part
from adreel.models.scenarios import Scenario
from adreel.models.sessions import MusicBed, SceneChanges, Voice
from adreel.models.takes import AttemptState, Problem, Take, clip_name
from adreel.purchase.planning import part_request
from adreel.records import Records
from adreel.settings import Settings
from adreel.spend.budgets import Budgets
from tests.factories import make_session, make_take, save_job, session_data
from tests.storyboard.conftest import Orders, Visitor, visiting
from tests.storyboard.every_page import VIEW_KEY
from tests.storyboard.reading import COMMANDS, PageReader
from tests.storyboard.stories import with_job

AD = "/sessions/ad"
HOOK_VOICE, CTA_VOICE, HOOK_STILL = VOICES[Scenario.HOOK], VOICES[Scenario.CTA], STILLS[Scenario.HOOK]
SPOKEN = [VOICES[scenario] for scenario in (Scenario.HOOK, Scenario.CTA)]
EVERYTHING = [*Scenario, *SPOKEN, Addition.MUSIC]


def spoken_ad(records: Records, **changes: Any) -> None:
    """Store an ad with a narrator, music, and words for its first and its last scene."""
    scenes = session_data()["scene_descriptions"]
    scenes[0]["dialog_narration"], scenes[3]["dialog_narration"] = "Do you read in the dark?", "Read on."
    data = {"voice": {}, "music": {"prompt": "Calm piano"}, "scene_descriptions": scenes, **changes}
    records.update_session("ad", lambda session: type(session).model_validate({**session.model_dump(), **data}))


def bought(records: Records, part: Part, job_id: str = "job-1", *, minute: int = 0, **changes: Any) -> Take:
    """Store a take of a part as it is described now, or with some changes."""
    session = records.session("ad")
    take = make_take(scenario=part, job_id=job_id, minute=minute, cost=0.001)
    take.request = part_request(session, part, Settings(), packaged(), SceneChanges(**changes))
    assert take.clip
    size = (64, 48) if part in STILLS.values() else (0, 0)
    seconds = 0 if part in STILLS.values() else 3.2
    update = {"file": clip_name(take), "poster": None, "duration": seconds, "width": size[0], "height": size[1]}
    if not isinstance(part, Scenario):
        take.clip = take.clip.model_copy(update=update)
    records.save_take(take)
    picture = io.BytesIO()
    Image.new("RGB", (64, 48), (minute, 80, 120)).save(picture, "JPEG")
    records.storage.write(take.clip.file, picture.getvalue())
    return take


def all_bought(records: Records) -> None:
    spoken_ad(records)
    with_job(records)
    for part in EVERYTHING:
        bought(records, part)


def sound_form(page: PageReader) -> Any:
    return page.form(f"{AD}/sound", "Save narrator and music")


def test_the_narrator_and_the_music_are_switched_on_and_off(visitor: Visitor, records: Records, orders: Orders) -> None:
    page = visitor.read(AD)
    assert "Buy the music" not in page.text
    chosen = {"voice.on": "yes", "voice.voice": "Ashley", "voice.speed": "1.1", "music.on": "yes"}
    page = visitor.press(
        sound_form(page), "Save narrator and music", **chosen, **{"music.prompt": "Calm piano, 70 bpm"}
    )
    session = records.session("ad")
    assert session.voice == Voice(voice="Ashley", speed=1.1)
    assert session.music == MusicBed(prompt="Calm piano, 70 bpm")
    assert "Saved. What is bought from now on is made with this" in page.text
    assert page.form(f"{AD}/scenes/music/retry", "Buy the music")
    assert sound_form(page).fields["voice.voice"] == "Ashley"
    page = visitor.press(sound_form(page), "Save narrator and music", **{"voice.on": "", "music.on": ""})
    assert (records.session("ad").voice, records.session("ad").music) == (None, None)
    assert orders.parameters == []


def test_another_model_of_the_narrator_has_a_voice_of_its_own(visitor: Visitor, records: Records) -> None:
    spoken_ad(records, voice={"voice": "Ashley"})
    page = visitor.read(AD)
    offered = {each["value"] for each in page.all("option")}
    assert {air for air, model in packaged().audio.items() if model.is_narrator or model.is_composer} <= offered
    page = visitor.press(
        sound_form(page), "Save narrator and music", **{"voice.model": "minimax:speech@2.8", "voice.language": "de"}
    )
    assert records.session("ad").voice == Voice(model="minimax:speech@2.8", language="de")
    assert "Ashley" not in {each["value"] for each in page.all("option")}


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"voice.speed": "fast"}, "Please enter a number."),
        ({"voice.speed": "9"}, "At most 2, please."),
        ({"voice.speed": "1.9"}, "speed 1.9 is not offered by Inworld"),
        ({"voice.voice": "Nobody"}, "Nobody is no voice of Inworld"),
        ({"music.model": "inworld:tts@2"}, "makes no music from words alone"),
        ({"music.prompt": "piano " * 600}, "At most 3000 characters"),
    ],
)
def test_a_wrong_narrator_or_music_is_told_at_its_field(
    visitor: Visitor, records: Records, typed: dict[str, str], told: str
) -> None:
    spoken_ad(records, voice=None, music=None)
    form = sound_form(visitor.read(AD))
    page = visitor.press(form, "Save narrator and music", 422, **{"voice.on": "yes", "music.on": "yes"}, **typed)
    assert told in page.text
    assert COMMANDS.findall(page.text) == []
    [name] = typed
    assert page.by_id(name.replace(".", "-"))["aria-invalid"] == "true"
    assert sound_form(page).fields["voice.on"] == "yes"
    assert records.session("ad").voice is None


def test_generate_buys_clips_narrations_and_music_with_the_price_of_each(
    visitor: Visitor, records: Records, orders: Orders
) -> None:
    spoken_ad(records)
    page = visitor.read(AD)
    assert "2 narrations for less than $0.01, music for less than $0.01; each is bought once" in page.text
    for _ in range(2):
        page = visitor.press(visitor.read(AD).form(f"{AD}/generate", "Generate the ad"), "Generate the ad")
    assert orders.parameters == [{"session_id": "ad", "scenarios": EVERYTHING}]
    assert page.text.count("Waiting to start") == len(EVERYTHING)


def test_a_narration_that_does_not_fit_is_told_beside_its_words_before_anything_is_bought(
    visitor: Visitor, records: Records, orders: Orders
) -> None:
    spoken_ad(records)
    told = "40 words don't fit 5 s: at most 12 fit at this speed; shorten the narration or lengthen the scene"
    form = visitor.read(AD).form(f"{AD}/scenes/hook", "Save")
    page = visitor.press(form, "Save", 422, dialog_narration="word " * 40)
    assert told in page.text
    assert page.by_id("hook-dialog_narration")["aria-invalid"] == "true"
    assert page.form(f"{AD}/scenes/hook", "Save").fields["dialog_narration"] == "word " * 40

    # What fitted once may not fit any more, such as after a change of the catalogue.
    scenes = [scene.model_dump() for scene in records.session("ad").scene_descriptions]
    scenes[0]["dialog_narration"] = "word " * 40
    spoken_ad(records, scene_descriptions=scenes)
    page = visitor.read(AD)
    assert told in page.text
    assert page.by_id("hook-dialog_narration")["aria-invalid"] == "true"
    assert "disabled" in page.by_id("generate")
    assert "A narration doesn't fit its scene" in page.text
    assert not any(form.action.startswith(f"{AD}/scenes/voice-hook") for form in page.forms)
    refused = page.form(f"{AD}/generate", "Generate the ad")
    assert told in visitor.press(refused, "Generate the ad", 422).text
    assert orders.parameters == []


def test_other_words_buy_one_narration_and_nothing_else(visitor: Visitor, records: Records, orders: Orders) -> None:
    all_bought(records)
    page = visitor.read(AD)
    assert "changed since" not in page.text
    assert "Buy what has changed" not in page.text
    assert page.all("audio")[0]["aria-label"] == "Music, take 1"
    assert "Take 1 3.2 s $0.001" in page.text
    page = visitor.press(page.form(f"{AD}/scenes/hook", "Save"), "Save", dialog_narration="Awake again?")
    assert "The words have changed since." in page.text
    assert "Changed: narration of the hook." in page.text
    for _ in range(2):
        form = page.form(f"{AD}/generate", "Buy what has changed")
        visitor.press(form, "Buy what has changed")
    assert orders.parameters == [{"session_id": "ad", "scenarios": ["voice-hook"]}]


def test_another_voice_is_told_at_each_narration_and_bought_for_one(
    visitor: Visitor, records: Records, orders: Orders
) -> None:
    all_bought(records)
    page = visitor.press(sound_form(visitor.read(AD)), "Save narrator and music", **{"voice.voice": "Craig"})
    assert page.text.count("The voice has changed since.") == len(SPOKEN)
    assert "Changed: 2 narrations." in page.text
    for _ in range(2):
        form = visitor.read(AD).form(f"{AD}/scenes/voice-cta/retry", "Speak it again")
        visitor.press(form, "Speak it again")
    assert orders.parameters == [{"session_id": "ad", "scenario": "voice-cta"}]


def test_an_earlier_take_of_a_narration_and_of_the_music_is_used(visitor: Visitor, records: Records) -> None:
    all_bought(records)
    bought(records, HOOK_VOICE, "job-2", minute=1, dialog_narration="Awake again?")
    bought(records, Addition.MUSIC, "job-2", minute=1, background_music="Drums")
    page = visitor.read(AD)
    for part in (HOOK_VOICE, Addition.MUSIC):
        page = visitor.press(page.form(f"{AD}/scenes/{part}/current", "Use take 1"), "Use take 1")
        assert "Take 1 is now used." in page.text
    assert records.choices("ad").takes == {HOOK_VOICE: "job-1", Addition.MUSIC: "job-1"}
    assert "changed since" not in page.text


def test_a_clip_starts_from_the_still_that_a_person_chooses(visitor: Visitor, records: Records, orders: Orders) -> None:
    page = visitor.read(AD)
    assert "A picture to look at before you buy the clip, which is about $0.6" in page.text
    visitor.press(page.form(f"{AD}/scenes/still-hook/retry", "Buy a still"), "Buy a still")
    assert orders.parameters == [{"session_id": "ad", "scenario": "still-hook"}]
    for number, job_id in enumerate(("still-1", "still-2")):
        bought(records, HOOK_STILL, job_id, minute=number)
    page = visitor.read(AD)
    assert page.form(f"{AD}/generate", "Generate the 4 clips")
    form = page.form(f"{AD}/scenes/still-hook/current", "Start the clip from it (take 1)")
    page = visitor.press(form, "Start the clip from it (take 1)")
    assert "The scene starts from still 1. Generate or regenerate its clip to have it." in page.text
    assert page.text.count("The clip starts from it") == 2
    frame = records.session("ad").scene(Scenario.HOOK).first_frame
    assert frame
    assert frame.endswith("#hook-still.jpg")
    other = page.form(f"{AD}/scenes/hook", "Save")
    page = visitor.press(other, "Save", first_frame="https://a.example/1.png")
    assert "The clip starts from it" not in page.text


def test_a_failed_narration_says_why_and_is_tried_again(visitor: Visitor, records: Records, orders: Orders) -> None:
    all_bought(records)
    take = bought(records, CTA_VOICE, "job-2", minute=1)
    take.clip, take.attempts[-1].state = None, AttemptState.FAILED
    take.attempts[-1].accepted_at = None
    take.problem = take.attempts[-1].problem = Problem(code="sceneRefused", message="Runware refuses the text")
    records.storage.remove("sessions/ad/takes/voice-cta/job-2.json")
    records.save_take(take)
    job = records.job("job-1")
    assert job
    save_job(records, job.model_copy(update={"job_id": "job-2", "scenarios": [CTA_VOICE], "ended_at": job.created_at}))
    page = visitor.read(AD)
    assert "The newest take failed: Runware refuses the text" in page.text
    assert "This buys a new voice." in page.text
    visitor.press(page.form(f"{AD}/scenes/voice-cta/retry", "Retry"), "Retry")
    assert orders.parameters == [{"session_id": "ad", "scenario": "voice-cta"}]


def test_a_budget_refuses_a_narration_in_words(visitor: Visitor, records: Records, orders: Orders) -> None:
    spoken_ad(records)
    form = visitor.read(AD).form(f"{AD}/scenes/voice-hook/retry", "Speak it")
    Budgets(records).set("session:ad", 100)
    page = visitor.press(form, "Speak it", 402)
    assert "the budget of this ad has $0.00 left. Nothing was bought." in page.text
    assert "disabled" in visitor.read(AD).by_id("voice-hook-buy")
    assert orders.parameters == []


def test_a_new_ad_has_a_narrator_and_music_if_they_are_ticked(visitor: Visitor, records: Records) -> None:
    form = visitor.read("/new").form("/new", "Create the ad")
    typed = {f"{scenario}.visual_description": "a lamp" for scenario in Scenario}
    typed |= {"product_name": "Lamp", "session_id": "lamp", "voice.on": "yes", "music.on": "yes"}
    visitor.press(form, "Create the ad", **typed)
    session = records.session("lamp")
    assert (session.voice, session.music) == (Voice(), MusicBed())
    form = visitor.read("/sessions/lamp/edit").form("/sessions/lamp/edit", "Save the ad")
    assert (form.fields["voice.on"], form.fields["music.on"]) == ("yes", "yes")
    del form.fields["music.on"]
    visitor.press(form, "Save the ad")
    session = records.session("lamp")
    assert (session.voice, session.music) == (Voice(), None)


def test_a_reader_hears_everything_and_buys_nothing(records: Records, orders: Orders) -> None:
    records.save_session(make_session())
    all_bought(records)
    bought(records, HOOK_STILL)
    with visiting(orders, ADREEL_API_KEYS=f"client/view:{VIEW_KEY}") as client:
        client.headers["Authorization"] = f"Bearer {VIEW_KEY}"
        page = Visitor(client).read(AD)
        assert len(page.all("audio")) == len(SPOKEN) + 1
        assert "Do you read in the dark?" in page.text
        forms = [each for each in page.all("form") if f"{AD}/" in each["action"]]
        assert [each["action"] for each in forms if "data-forbidden" not in each] == []
        for address in (f"{AD}/sound", f"{AD}/scenes/music/retry", f"{AD}/scenes/still-hook/current"):
            assert client.post(address, data={"token": "0" * 32}).status_code == 403
    assert orders.parameters == []


def test_nothing_can_be_bought_for_an_archived_ad(visitor: Visitor, records: Records) -> None:
    all_bought(records)
    page = visitor.press(visitor.read(AD).form(f"{AD}/archive", "Archive"), "Archive")
    page = visitor.read(AD)
    assert not [form for form in page.forms if form.action.endswith(("/retry", "/generate"))]
    assert page.all("audio")
