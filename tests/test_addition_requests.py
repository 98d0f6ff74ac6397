"""Requests of voices, music and stills: accepted by rules that are written here anew, or refused with the way out."""

import json
from dataclasses import replace
from datetime import date
from importlib.resources import files
from typing import Any

import pytest

from adreel.catalog import Catalog, Gone, packaged
from adreel.errors import InputError
from adreel.models.parts import Addition
from adreel.models.sessions import SceneChanges
from adreel.models.takes import MusicRequest, StillRequest, VoiceRequest
from adreel.purchase.additions import AdditionRequest, addition_request
from adreel.settings import Settings
from tests.factories import make_session, scene_data

DOCUMENT: dict[str, Any] = json.loads((files("adreel.catalog") / "models.json").read_text(encoding="utf-8"))
AUDIO, IMAGES = DOCUMENT["audio"], DOCUMENT["images"]
WORDS = "This lamp lights up your whole evening."
PHOTO = "https://pictures.example/lamp.jpg"

SPEECH = [air for air, facts in AUDIO.items() if facts["kind"] == "speech" and facts["required"] == ["speech"]]
MUSIC = [air for air, facts in AUDIO.items() if facts["kind"] == "music" and facts["required"] == ["positivePrompt"]]
PAINTERS = [
    air
    for air, facts in IMAGES.items()
    if facts["inputs"] != "required" and facts["prompt"] != "absent" and "JPG" in facts["formats"]
]


def catalog_with(air: str, **facts: Any) -> Catalog:
    """Return the catalogue with a changed speech model."""
    known = packaged()
    return replace(known, audio={**known.audio, air: known.audio[air].model_copy(update=facts)})


def order(
    part: str,
    *,
    seconds: float = 5,
    changes: dict[str, Any] | None = None,
    catalog: str = "checked",
    scene: dict[str, Any] | None = None,
    **facts: Any,
) -> AdditionRequest:
    session = make_session(scene_descriptions=[scene_data(**{"dialog_narration": WORDS, **(scene or {})})], **facts)
    settings = Settings().model_copy(update={"catalog": catalog})
    return addition_request(
        session, Addition(part), SceneChanges.model_validate(changes or {}), settings, packaged(), seconds
    )


def voice(**facts: Any) -> VoiceRequest:
    request = order("voice-hook", **facts)
    assert isinstance(request, VoiceRequest)
    return request


def music(**facts: Any) -> MusicRequest:
    request = order("music", **facts)
    assert isinstance(request, MusicRequest)
    return request


def still(**facts: Any) -> StillRequest:
    request = order("still-hook", **facts)
    assert isinstance(request, StillRequest)
    return request


def outcome(**facts: Any) -> VoiceRequest | InputError:
    """Return the request of a narration, or its refusal."""
    try:
        return voice(**facts)
    except InputError as error:
        return error


def refusal(part: str = "voice-hook", **facts: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        order(part, **facts)
    return caught.value


def codes(request: AdditionRequest) -> list[str]:
    return [warning.code for warning in request.warnings]


def broken_speech_rules(request: VoiceRequest) -> list[str]:
    """Return what Runware would refuse in a narration, by the JSON of the catalogue."""
    facts = AUDIO[request.model]
    sent = {"text": request.text, "voice": request.voice, "language": request.language, "speed": request.speed}
    speech = {name: value for name, value in sent.items() if value is not None}
    members = facts["speech"]
    broken = [f"{name} is missing" for name in members["required"] if name not in speech]
    broken += [f"{name} is undeclared" for name in speech if name not in members["required"] + members["optional"]]
    by_language = facts.get("voices", {})
    if "voice" in speech and by_language and not any(speech["voice"] in names for names in by_language.values()):
        broken.append("the voice is unknown")
    if "language" in speech and speech["language"] not in facts.get("languages", [speech["language"]]):
        broken.append("the language is unknown")
    if speech.get("language") in by_language and speech.get("voice") not in by_language[speech["language"]]:
        broken.append("the voice is of another language")
    least, most = facts.get("text_length", [1, 10**6])
    if not least <= len(request.text) <= most:
        broken.append("the text is too short or too long")
    slowest, fastest = facts.get("speed", [1, 1])
    if "speed" in speech and not slowest <= speech["speed"] <= fastest:
        broken.append("the speed is out of range")
    return broken + [f"{name} is undeclared" for name in request.parameters if name not in facts["optional"]]


@pytest.mark.parametrize("air", SPEECH)
@pytest.mark.parametrize("language", [None, "en", "de-AT", "ja", "pt-BR", "sw"])
@pytest.mark.parametrize("speed", [None, 0.8, 1, 1.25])
def test_a_narration_is_accepted_or_refused_before_it_is_sent(
    air: str, language: str | None, speed: float | None
) -> None:
    wanted = {"model": air, "language": language, "speed": speed}
    found = outcome(voice={name: value for name, value in wanted.items() if value is not None}, seconds=8)
    if isinstance(found, InputError):
        assert set(found.fields) <= {"voice", "language", "speed"}
        assert packaged().audio[air].title in str(found)
        assert language not in {None, "en"} or speed in {0.8, 1.25}
    else:
        assert broken_speech_rules(found) == []
        assert (found.model, found.text) == (air, WORDS)


@pytest.mark.parametrize("air", [air for air in SPEECH if "voices" in AUDIO[air]])
def test_each_voice_of_a_model_can_be_ordered(air: str) -> None:
    for language, names in AUDIO[air]["voices"].items():
        for name in names:
            request = voice(voice={"model": air, "voice": name.lower()}, seconds=60)
            assert (request.voice, broken_speech_rules(request)) == (name, []), language


def test_a_narration_is_sent_in_one_line() -> None:
    assert voice(scene={"dialog_narration": " One\n lamp.  "}).text == "One lamp."


def test_a_language_that_nobody_names_is_not_sent() -> None:
    request = voice()
    assert (request.model, request.voice, request.language, request.speed) == ("inworld:tts@2", "Sarah", None, None)


def test_the_takes_own_wishes_come_first() -> None:
    session = {"model": "xai:tts@0", "voice": "leo", "language": "en"}
    request = voice(voice=session, changes={"voice": {"voice": "rex"}, "dialog_narration": "Two words."})
    assert (request.model, request.voice, request.language, request.text) == ("xai:tts@0", "rex", "en", "Two words.")
    other = voice(voice=session, changes={"model": "inworld:tts@2", "voice": {"model": "minimax:speech@2.8"}})
    assert (other.model, other.voice, codes(other)) == ("inworld:tts@2", "Sarah", ["otherVoice"])


def test_a_voice_that_is_an_id_can_be_named() -> None:
    assert voice(voice={"model": "fishaudio:s2.1@pro", "voice": "Selene"}).voice == "b347db033a6549378b48d00acb0d06cd"


def test_a_scene_without_narration_is_named() -> None:
    error = refusal(scene={"dialog_narration": "  "})
    assert str(error).startswith("voice of hook: the scene has no dialog_narration: write")
    assert list(error.fields) == ["dialog_narration"]


def test_40_words_for_5_seconds_are_refused_with_the_limit() -> None:
    error = refusal(scene={"dialog_narration": "word " * 40})
    assert str(error) == (
        "voice of hook: 40 words don't fit 5 s: at most 12 fit at this speed; shorten dialog_narration or lengthen the"
        " scene"
    )


def test_a_speed_moves_the_limit() -> None:
    words = {"dialog_narration": "word " * 15}
    assert voice(scene=words, voice={"speed": 1.2}).speed == 1.2
    assert "at most 14 fit" in str(refusal(scene=words, voice={"speed": 1.15, "model": "fishaudio:s2.1@pro"}))


def test_the_voice_tells_the_language_of_the_limit() -> None:
    words = {"dialog_narration": "wort " * 11}
    assert "at most 9 fit" in str(refusal(scene=words, voice={"voice": "Johanna"}))


def test_a_text_beyond_the_model_is_refused() -> None:
    error = refusal(scene={"dialog_narration": "a" * 1990 + " lamps and more"}, seconds=900)
    assert "has 2005 characters, Inworld Realtime TTS-2 (inworld:tts@2) takes 2 to 2000" in str(error)


@pytest.mark.parametrize(
    ("wanted", "field", "reason"),
    [
        ({"voice": "Ashly"}, "voice", "is no voice of Inworld Realtime TTS-2 (inworld:tts@2): choose one such as Ash"),
        ({"voice": "Sarah", "language": "de"}, "voice", "speaks en, not de: choose one such as Johanna, Josef"),
        ({"language": "pt"}, "language", "; try Qwen3-TTS 1.7B CustomVoice"),
        ({"speed": 1.8}, "speed", "is not offered by Inworld Realtime TTS-2 (inworld:tts@2): it offers 0.5 to 1.5"),
        ({"speed": 1.2, "model": "xai:tts@0"}, "speed", "has one speed only: leave speed out"),
        ({"voice": "Bob", "model": "runware:dia2@2b"}, "voice", "has no voices to choose from: leave voice out"),
        ({"model": "inworld:tts@3"}, "model", "did you mean Inworld Realtime TTS-2 (inworld:tts@2)"),
        ({"model": "alibaba:qwen@3-tts-1.7b-base"}, "model", "makes no narrations from words alone: use Qwen3-TTS"),
        ({"model": "runware:ace-step@v1.5-base"}, "model", "makes no narrations from words alone: use Inworld"),
    ],
)  # fmt: skip
def test_a_wish_that_a_model_lacks_is_refused(wanted: dict[str, Any], field: str, reason: str) -> None:
    error = refusal(voice=wanted)
    assert reason in error.fields[field]
    assert str(error).startswith("voice of hook: ")


def test_a_refused_voice_names_the_command_that_lists_them() -> None:
    assert "`adreel voices --model inworld:tts@2` lists them" in str(refusal(voice={"voice": "Bob"}))


def test_a_speed_between_the_steps_is_rounded_with_a_warning() -> None:
    request = voice(voice={"speed": 1.23})
    assert (request.speed, codes(request)) == (1.2, ["otherSpeed"])


def test_a_deprecated_model_is_sent_with_a_warning() -> None:
    catalog = catalog_with("xai:tts@0", status="deprecated")
    session = make_session(scene_descriptions=[scene_data(dialog_narration=WORDS)], voice={"model": "xai:tts@0"})
    request = addition_request(session, Addition.VOICE_HOOK, SceneChanges(), Settings(), catalog, 5)
    assert codes(request) == ["deprecatedModel"]
    assert "use Inworld Realtime TTS-2 (inworld:tts@2)" in request.warnings[0].message


def test_a_model_that_is_gone_is_refused() -> None:
    catalog = replace(packaged(), gone={"inworld:tts@1": Gone(slug="inworld-tts-1", gone_by=date(2026, 11, 1))})
    session = make_session(scene_descriptions=[scene_data(dialog_narration=WORDS)], voice={"model": "inworld:tts@1"})
    with pytest.raises(InputError, match="'inworld:tts@1' is no longer offered by Runware: use Inworld"):
        addition_request(session, Addition.VOICE_HOOK, SceneChanges(), Settings(), catalog, 5)


def test_what_is_not_documented_is_sent_with_a_warning() -> None:
    evidence = packaged().audio["xai:tts@0"].evidence | {"voices": "third_party"}
    session = make_session(
        scene_descriptions=[scene_data(dialog_narration=WORDS)], voice={"model": "xai:tts@0", "voice": "Bob"}
    )
    catalog = catalog_with("xai:tts@0", evidence=evidence)
    request = addition_request(session, Addition.VOICE_HOOK, SceneChanges(), Settings(), catalog, 5)
    assert isinstance(request, VoiceRequest)
    assert (request.voice, codes(request)) == ("Bob", ["notOffered"])


def test_unchecked_sends_a_wish_with_a_warning() -> None:
    request = voice(catalog="unchecked", voice={"voice": "Bob", "speed": 1.8})
    assert (request.voice, request.speed, codes(request)) == ("Bob", 1.8, ["notOffered", "notOffered"])
    unknown = voice(catalog="unchecked", voice={"model": "new:tts@9", "voice": "Bob"})
    assert (unknown.model, unknown.voice) == ("new:tts@9", "Bob")
    assert "uncheckedModel" in codes(unknown)


def test_unchecked_does_not_make_a_narration_fit() -> None:
    assert "at most 12 fit" in str(refusal(catalog="unchecked", scene={"dialog_narration": "word " * 40}))


@pytest.mark.parametrize("air", MUSIC)
def test_music_is_accepted_by_each_model(air: str) -> None:
    request, facts = music(music={"model": air}, seconds=20.4), AUDIO[air]
    least, most = facts["prompt_length"]
    assert least <= len(request.prompt) <= most
    assert request.parameters.keys() <= set(facts["optional"])
    if "duration" in facts:
        assert facts["duration"]["min"] <= (request.duration or 0) <= facts["duration"]["max"]
    else:
        assert request.duration is None


def test_music_never_sings() -> None:
    assert music().parameters == {"settings": {"vocalLanguage": "unknown"}}
    assert music(music={"model": "minimax:music@2.6"}).parameters == {"settings": {"instrumental": True}}


@pytest.mark.parametrize(("seconds", "ordered"), [(8, 30), (30, 30), (30.2, 31), (300, 300)])
def test_music_is_as_long_as_the_ad(seconds: float, ordered: float) -> None:
    assert music(seconds=seconds).duration == ordered


def test_music_for_a_longer_ad_than_the_model_makes_is_refused() -> None:
    assert str(refusal("music", seconds=301)).startswith("music: the ad lasts 301 s, ACE-Step v1.5 Base")


def test_music_follows_the_prompt_else_the_scenes() -> None:
    scene = {"background_music": "soft piano"}
    composed = music(scene=scene, brand_tone="calm").prompt
    assert composed.splitlines() == [
        "Instrumental background music for a video ad, no vocals.",
        "Mood: calm.",
        "soft piano.",
    ]
    assert music(scene=scene, music={"prompt": "lo-fi\nbeat"}).prompt == "lo-fi beat"
    assert music(music={"prompt": "lo-fi"}, changes={"background_music": "strings"}).prompt == "strings"


def test_the_music_of_many_scenes_stays_within_the_model() -> None:
    long = {"background_music": "a slow and quiet piano " * 80}
    assert len(music(scene=long, music={"model": "minimax:music@2.6"}).prompt) <= 2000


def test_a_prompt_beyond_the_model_is_refused() -> None:
    error = refusal("music", music={"prompt": "piano " * 400, "model": "minimax:music@2.6"})
    assert "takes 1 to 2000" in error.fields["prompt"]


def test_a_seed_of_music_is_sent_where_there_is_one() -> None:
    assert music(changes={"seed": 7}).seed == 7


@pytest.mark.parametrize("air", PAINTERS)
@pytest.mark.parametrize("platform", ["YouTube", "TikTok", "Instagram feed"])
@pytest.mark.parametrize("photo", [None, PHOTO])
def test_a_still_is_accepted_by_each_model(air: str, platform: str, photo: str | None) -> None:
    request, facts = (
        still(changes={"model": air}, target_platform=platform, product_photo=photo, seed=4, negative_prompt="a moth"),
        IMAGES[air],
    )
    assert (request.model, request.kind) == (air, "still")
    assert (request.seed is None) is not facts["seed"]
    assert (request.negative_prompt is None) is not facts["negative_prompt"]
    assert ("Avoid: a moth." in request.prompt) is not facts["negative_prompt"]
    has_size = request.width is not None
    assert not (has_size and request.resolution)
    assert not (facts["width_height"] == "absent" and has_size)
    assert has_size or facts["width_height"] != "required"
    if has_size and "sizes" in facts:
        assert f"{request.width}x{request.height}" in facts["sizes"]
    if request.resolution:
        assert request.resolution in facts["resolutions"]
    if request.references:
        assert facts["inputs"] != "absent"
        assert len(request.references) <= facts.get("references", 0)
        assert not (has_size and facts.get("size_with_references") == "excluded")


@pytest.mark.parametrize(("platform", "size"), [("YouTube", (1280, 720)), ("TikTok", (720, 1280)), ("", (1280, 720))])
def test_a_still_has_the_shape_of_the_clip(platform: str, size: tuple[int, int]) -> None:
    request = still(target_platform=platform, product_photo=PHOTO)
    assert (request.width, request.height, request.references) == (*size, [PHOTO])
    assert codes(request) == []


def test_a_still_of_another_aspect_follows_the_scene() -> None:
    request = still(scene={"aspect": "1:1"}, changes={"model": "google:4@3"})
    assert (request.width, request.height) == (1024, 1024)


def test_a_model_that_decides_the_shape_is_asked_for_it_in_words() -> None:
    request = still(target_platform="TikTok", product_photo=PHOTO, changes={"model": "meta:muse@image"})
    assert (request.width, request.resolution, codes(request)) == (None, "2K", ["modelDecides"])
    assert "The picture has the aspect ratio 9:16." in request.prompt


def test_the_prompt_of_a_still_has_no_sound_and_no_movement() -> None:
    scene = {
        "camera_work": "a fast dolly",
        "lighting": "dusk",
        "audio_design": "rain",
        "background_music": "piano",
        "sound_effects": "a click",
    }
    prompt = still(scene=scene).prompt
    assert "Lighting: dusk." in prompt
    assert [word for word in ("dolly", "rain", "piano", "click", "evening") if word in prompt] == []


def test_the_scenes_references_come_before_the_products_photo() -> None:
    references = [f"https://pictures.example/{number}.jpg" for number in range(4)]
    assert still(scene={"references": references[:2]}, product_photo=PHOTO).references == [*references[:2], PHOTO]
    assert still(scene={"references": references}, product_photo=PHOTO).references == references


def test_references_are_left_out_where_a_model_takes_no_images() -> None:
    request = still(scene={"references": [PHOTO]}, changes={"model": "recraft:v4@0"})
    assert (request.references, codes(request)[0]) == (None, "noReferences")


def test_what_is_wrong_with_the_clip_does_not_stop_its_still() -> None:
    request = still(scene={"duration": 47}, target_platform="TikTok")
    assert (request.width, request.height) == (720, 1280)


@pytest.mark.parametrize("air", ["alibaba:qwen-image@layered", "ideogram:4@4", "klingai:kling-video@3-standard"])
def test_a_model_that_makes_no_stills_is_refused(air: str) -> None:
    error = refusal("still-hook", changes={"model": air})
    assert "FLUX.2 [klein] 9B (runware:400@2)" in error.fields["model"]
