"""What a cut is made of: formats, sizes and the digest that identifies it."""

from collections.abc import Sequence
from typing import Any

import pytest

from adreel.cut.planning import Planned
from adreel.errors import InputError, SceneMissing
from adreel.models.cut_recipes import Recipe, make_recipe
from adreel.models.cut_settings import CutOptions, Format
from adreel.models.parts import Addition, Part
from adreel.models.placements import PLACEMENTS, free_edges
from adreel.models.scenarios import Scenario
from adreel.models.sessions import parse_session
from adreel.models.takes import MusicRequest, Take, TaskRequest, VoiceRequest
from tests.factories import make_take, session_data


def recipe(sizes: list[tuple[int, int]] | None = None, options: CutOptions | None = None, **changes: Any) -> Recipe:
    takes: dict[Part, Take] = {scenario: make_take(scenario=scenario) for scenario in Scenario}
    for take, (width, height) in zip(takes.values(), sizes or [(1280, 720)] * 4, strict=True):
        assert take.clip is not None
        take.clip.width, take.clip.height, take.clip.sha256 = width, height, take.scenario.value
    return make_recipe(parse_session(session_data(**changes)), takes, options or CutOptions(), "1")


@pytest.mark.parametrize(
    ("sizes", "shape", "expected"),
    [
        ([(1280, 720)] * 4, "16:9", (1280, 720)),
        ([(1284, 716)] * 4, "16:9", (1280, 720)),
        ([(640, 360), (1920, 1080), (640, 360), (640, 360)], "16:9", (1920, 1080)),
        ([(3840, 2160)] * 4, "9:16", (1080, 1920)),
        ([(128, 72)] * 4, "16:9", (128, 72)),
        ([(101, 77)] * 4, "4:5", (76, 96)),
        ([(1280, 720)] * 4, "1:1", (720, 720)),
    ],
)
def test_the_largest_clip_decides_the_size(
    sizes: list[tuple[int, int]], shape: Format, expected: tuple[int, int]
) -> None:
    assert recipe(sizes).size(shape) == expected


def test_most_clips_decide_the_format() -> None:
    assert recipe([(720, 1280), (720, 1280), (1280, 720), (720, 1280)]).formats == ["9:16"]
    assert recipe([(720, 1280)] * 4, cut={"formats": ["1:1", "16:9"]}).formats == ["16:9", "1:1"]


def test_a_preset_gives_its_format_and_refuses_others() -> None:
    assert recipe(options=CutOptions(preset="tiktok"), cut={"formats": ["16:9"]}).formats == ["9:16"]
    assert recipe(options=CutOptions(preset="tiktok", formats=("1:1",))).formats == ["1:1"]
    with pytest.raises(InputError, match="reels does not show 1:1: choose from 9:16"):
        recipe(options=CutOptions(preset="reels", formats=("1:1",)))
    with pytest.raises(InputError, match="no preset 'vine': choose from tiktok"):
        recipe(options=CutOptions(preset="vine"))


def test_captions_stay_within_the_free_area_of_each_placement() -> None:
    assert free_edges("9:16", "tiktok") == PLACEMENTS["tiktok"].safe_areas["9:16"]
    assert free_edges("16:9", "tiktok") == free_edges("16:9")
    for preset in ("tiktok", "reels"):
        usual = zip(free_edges("9:16"), free_edges("9:16", preset), strict=True)
        assert all(ours >= theirs - 0.02 for ours, theirs in usual), preset


def test_the_digest_is_that_of_contents_not_of_names_or_order() -> None:
    first = "inputs/" + "0" * 64 + ".mp3#one.mp3"
    assert recipe(cut={"voice": first}).digest == recipe(cut={"voice": first.replace("one", "two")}).digest
    assert recipe(cut={"voice": first}).digest != recipe(cut={"voice": first.replace("0.mp3", "1.mp3")}).digest
    assert recipe(brand_colors=["red"]).digest == recipe().digest
    card = {"end_card": {"text": "Buy"}}
    assert recipe(brand_colors=["red"], cut=card).digest != recipe(cut=card).digest
    assert recipe().digest != recipe(options=CutOptions(captions=False)).digest
    # A preset counts by what it changes.
    assert recipe().digest == recipe(options=CutOptions(preset="youtube")).digest
    upright = CutOptions(formats=("9:16",))
    assert recipe(options=upright).digest != recipe(options=CutOptions(preset="tiktok")).digest
    assert recipe().digest == recipe(options=CutOptions(allow_missing=True)).digest


def test_a_recipe_without_bought_sound_keeps_its_digest() -> None:
    """The digests are those of the first version that made cuts of this renderer."""
    assert recipe().digest == "bc1d83ce5ec03cd2619a3f7c9472fe2bff83f783962cfae7d0b0b1727233516d"
    file = "inputs/" + "0" * 64 + ".mp3"
    settings = {"voice": f"{file}#one.mp3", "music": {"file": file}, "end_card": {}, "transition": {"kind": "fade"}}
    assert recipe(cut=settings).digest == "6c7f5a246272a73f1b5ce1a62b5e7d9f252d58b9882359a03d2b909d9df8f2af"
    options = CutOptions(preset="tiktok", captions=False)
    assert recipe(options=options).digest == "8efdd108c2ee27a17a6a0f05fccb485a17801fcd9f65507a7d19322f6af7407d"


def test_a_segment_without_a_bought_voice_keeps_its_name() -> None:
    file = "inputs/" + "0" * 64 + ".mp3"
    for settings, name in ((None, "0ac851acce484808.mkv"), ({"voice": file}, "2380e807169c39c9.mkv")):
        found = recipe(cut=settings)
        for take in found.takes:
            assert take.scene
            take.scene.dialog_narration = "Read on."
        assert Planned(found).segment_name(1, "16:9") == name


def sound_take(part: Addition, sha256: str = "1", text: str = "Read on.") -> Take:
    request: TaskRequest = (
        MusicRequest(model="m", prompt="p") if part == Addition.MUSIC else VoiceRequest(model="m", text=text)
    )
    take = make_take(scenario=part)
    assert take.clip
    clip = take.clip.model_copy(update={"sha256": sha256})
    return take.model_copy(update={"request": request, "clip": clip})


def with_sound(
    *parts: Take, options: CutOptions | None = None, scenes: Sequence[Scenario] = tuple(Scenario), **changes: Any
) -> Recipe:
    takes = {scenario: make_take(scenario=scenario) for scenario in scenes} | {part.scenario: part for part in parts}
    return make_recipe(parse_session(session_data(**changes)), takes, options or CutOptions(), "1")


HOOK, MUSIC = Addition.VOICE_HOOK, Addition.MUSIC


@pytest.mark.parametrize("part", [HOOK, MUSIC])
def test_bought_sound_decides_the_digest(part: Addition) -> None:
    first = with_sound(sound_take(part))
    assert first.digest not in {with_sound().digest, with_sound(sound_take(part, "2")).digest}
    assert [(each.part, each.sha256) for each in first.recorded_additions] == [(part, "1")]


def test_a_voice_renders_the_captions_of_its_scene_alone() -> None:
    def segments(*voices: Take, captions: bool = True) -> list[str]:
        planned = Planned(with_sound(*voices, options=CutOptions(captions=captions)))
        return [planned.segment_name(number, "16:9") for number in range(4)]

    first, second = sound_take(HOOK), sound_take(HOOK, "2")
    assert len({segments()[0], segments(first)[0], segments(second)[0]}) == 3
    assert segments()[1:] == segments(first)[1:] == segments(second)[1:]
    assert segments(first, captions=False) == segments(captions=False)


def test_stills_are_no_part_of_a_cut() -> None:
    assert with_sound(make_take(scenario=Addition.STILL_HOOK)).digest == with_sound().digest


def test_a_voice_counts_with_its_scene_alone() -> None:
    options, rest = CutOptions(allow_missing=True), [Scenario.PROBLEM, Scenario.CTA]
    bare = with_sound(options=options, scenes=rest)
    assert with_sound(sound_take(HOOK), options=options, scenes=rest).digest == bare.digest
    with pytest.raises(SceneMissing, match=r"has no clip of hook, problem, solution, cta: generate it first$"):
        with_sound(sound_take(HOOK), options=options, scenes=[])


def test_files_win_over_bought_sound() -> None:
    file = "inputs/" + "0" * 64 + ".mp3"
    settings = {"voice": file, "music": {"file": file}}
    found = with_sound(sound_take(HOOK), sound_take(MUSIC), cut=settings)
    assert (found.digest, found.additions) == (with_sound(cut=settings).digest, [])


def test_the_level_of_bought_music_is_that_of_the_session() -> None:
    usual, quiet = (with_sound(sound_take(MUSIC), music=music) for music in ({}, {"below_voice": 20}))
    assert (usual.below_voice, quiet.below_voice) == (12, 20)
    assert usual.digest == with_sound(sound_take(MUSIC)).digest != quiet.digest
    assert with_sound(music={"below_voice": 20}).digest == with_sound().digest


def test_captions_are_the_words_of_the_bought_voice() -> None:
    assert with_sound(sound_take(HOOK, text="Spoken \n words.")).narrations == ["Spoken words.", "", "", ""]
    assert not any(with_sound(sound_take(HOOK), options=CutOptions(captions=False)).narrations)


def test_the_end_card_has_the_product_and_its_address_by_default() -> None:
    card = recipe(cut={"end_card": {}}, website_url="https://lamp.example").settings.end_card
    assert card is not None
    assert (card.text, card.url) == ("Lamp", "https://lamp.example")
