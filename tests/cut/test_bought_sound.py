"""Bought voices and bought music in the finished ad, measured by FFmpeg's own program."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adreel.cut.making import make_cut
from adreel.cut.planning import plan_cut
from adreel.errors import NotFound, StorageError
from adreel.models.cut_settings import CutOptions
from adreel.models.cuts import Cut
from adreel.models.parts import VOICES, Addition
from adreel.models.scenarios import Scenario
from adreel.models.srt import parse_srt
from adreel.models.takes import AttemptState, Choices, Problem
from adreel.records import Records
from adreel.records.clip_archive import clip_archive
from adreel.records.export import fetch
from adreel.records.pruning import prunable, prune
from adreel.records.suggestions import refused_field, without_commands
from adreel.records.verification import verify
from adreel.records.views import cut_views
from tests.cut.measuring import ffmpeg, measure_file
from tests.cut.sounds import GAP, sine, words
from tests.cut.stored_ads import save_cut, store_ad, store_clip, store_music, store_voice
from tests.cut.test_sound import band
from tests.factories import NOW, make_take, save_choices

HOOK, PROBLEM, SOLUTION, CTA = Scenario
SCENE = 3.0
"""Seconds of each scene."""
VOICE, MUSIC = 300, 3000
"""Pitches in Hz."""
SOUNDS = {
    HOOK: (words(4, decibels=-30), "Light that reads along."),
    PROBLEM: (words(4, before=0.5, behind=0.5, decibels=-12), "Bright lamps wake everyone."),
    SOLUTION: (words(8, decibels=-20), "One page is lit and the room sleeps."),
    CTA: (words(9, before=0.4, decibels=-25), "Order yours today and read on and on tonight."),
}
"""The voices of the scenes: short, between silences, a little too long, and much too long."""


async def make(records: Records, **options: Any) -> Cut:
    return await make_cut(records, plan_cut(records, "ad", CutOptions(**options)))


def store_scenes(records: Records, folder: Path, **changes: Any) -> None:
    store_ad(records, folder, scenarios=[], **changes)
    for scenario in Scenario:
        store_clip(records, folder, scenario, job_id="job-0", seconds=SCENE)


def path_of(records: Records, cut: Cut) -> Path:
    return Path(records.storage.location(cut.files[0].file))


def speech_in(path: Path) -> list[tuple[float, float]]:
    """Return the stretches with the pitch of the voice, which has pauses between its words."""
    passes = ",".join([f"bandpass=f={VOICE}:width_type=h:w=100"] * 2)
    _, said = ffmpeg("-i", path, "-af", f"{passes},silencedetect=noise=-40dB:d={1.5 * GAP}", "-f", "null", "-")
    edges = [(name, float(at)) for name, at in re.findall(r"silence_(start|end): (\S+)", said)]
    starts = [at for name, at in edges if name == "end"]
    ends = [at for name, at in edges if name == "start"]
    [hours, minutes, seconds] = re.findall(r"Duration: (\d+):(\d+):([\d.]+)", said)[0]
    length = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    starts = starts if ends and ends[0] < 0.01 else [0.0, *starts]
    stretches = zip(starts, [*(at for at in ends if at >= 0.01), length], strict=False)
    return [(start, end) for start, end in stretches if end - start > GAP]


async def test_voices_lie_in_their_scenes_and_music_lies_below_them(records: Records, tmp_path: Path) -> None:
    store_scenes(records, tmp_path)
    for scenario, (samples, text) in SOUNDS.items():
        store_voice(records, tmp_path, scenario, samples, text)
    store_music(records, tmp_path, sine(30, -10, MUSIC))
    cut = await make(records)
    film = path_of(records, cut)
    found = measure_file(film)
    assert found.frames == round(4 * SCENE * 30)
    assert found.loudness == pytest.approx(-14, abs=0.5)
    assert found.true_peak <= -1
    speech = speech_in(film)
    expected = [(0.2, 1.8 - GAP), (3.7, 5.3 - GAP), (6.0, 9.0 - GAP), (9.33, 12.0)]
    assert len(speech) == 4
    for (start, end), (first, last) in zip(speech, expected, strict=True):
        assert start == pytest.approx(first, abs=0.1)
        assert end == pytest.approx(last, abs=0.15)
        assert int(start / SCENE) * SCENE <= start < end <= (int(start / SCENE) + 1) * SCENE
        assert band(film, VOICE, start, end) - band(film, MUSIC, start, end) >= 10
    # Between two voices music is louder, also where a file of a voice begins with silence; at the end it fades out.
    assert band(film, MUSIC, 2.3, 3.4) - band(film, MUSIC, 0.4, 1.6) == pytest.approx(6, abs=1)
    assert band(film, MUSIC, 11.8, 12) < band(film, MUSIC, 9.3, 10.3) - 10
    # The faster voice keeps its pitch.
    assert band(film, VOICE, 6.2, 8.8) > band(film, VOICE * 1.2, 6.2, 8.8) + 10
    [warning] = cut.warnings
    assert warning.message == (
        "scene cta: its voice lasts 4.0 s, and the scene has 3.0 s for it: its last 0.4 s are not heard, although it is"
        " spoken 1.2 times as fast: shorten the narration and buy the voice again; `adreel regenerate ad voice:cta`"
    )
    # The pages leave the command out.
    assert without_commands(warning.message).endswith(": shorten the narration and buy the voice again")
    assert [each.part for each in cut.additions] == [*VOICES.values(), Addition.MUSIC]
    assert records.cut("ad", cut.cut_id) == cut
    assert [view.additions for view in cut_views(records, "ad")] == [cut.additions]
    assert verify(records) == []


async def test_captions_follow_the_bought_voices(records: Records, tmp_path: Path) -> None:
    store_scenes(records, tmp_path, cut={"captions": {"style": "word"}})
    store_clip(records, tmp_path, PROBLEM, job_id="job-2", seconds=SCENE, narration="Said by the clip.", minute=1)
    store_voice(records, tmp_path, HOOK, *SOUNDS[HOOK])
    store_voice(records, tmp_path, SOLUTION, words(4, before=0.6, behind=0.6), "Late words.")
    cut = await make(records)
    cues = parse_srt(records.storage.read(cut.files[0].captions or ""), "the file")
    linger = 8 / 30
    expected = [
        ("Light that reads along.", 0.2, 1.8 + linger),
        ("Said by the clip.", 3.0, 6.0),
        ("Late words.", 6.0 + 0.1 + 0.6, 6.0 + 0.1 + 2.2 + linger),
    ]
    assert [cue.text for cue in cues] == [text for text, _, _ in expected]
    for cue, (_, start, end) in zip(cues, expected, strict=True):
        assert cue.start == pytest.approx(start, abs=0.07)
        assert cue.end == pytest.approx(end, abs=GAP + 0.07)


async def test_a_new_voice_makes_the_cut_stale_and_costs_one_segment(records: Records, tmp_path: Path) -> None:
    store_scenes(records, tmp_path)
    save_cut(records)
    for scenario in (HOOK, PROBLEM):
        store_voice(records, tmp_path, scenario, *SOUNDS[scenario])
    assert [view.state for view in cut_views(records, "ad")] == ["stale"]
    first = await make(records)
    before = set(records.storage.names("sessions/ad/cuts/segments"))
    store_voice(records, tmp_path, HOOK, words(3), "Fewer words now.", job_id="job-2", minute=1)
    assert [view.state for view in cut_views(records, "ad")] == ["stale", "stale"]
    second = await make(records)
    assert second.cut_id != first.cut_id
    assert len(set(records.storage.names("sessions/ad/cuts/segments")) - before) == 1
    # The earlier voice again: its cut is there already.
    save_choices(records, "ad", Choices(takes={VOICES[HOOK]: "job-1"}))
    assert await make(records) == first


def test_new_music_makes_the_cut_stale_and_costs_no_segment(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    store_music(records, tmp_path, sine(1, -20, MUSIC))
    save_cut(records)
    before = plan_cut(records, "ad")
    store_music(records, tmp_path, sine(2, -20, MUSIC), job_id="job-2", minute=1)
    assert [view.state for view in cut_views(records, "ad")] == ["stale"]
    after = plan_cut(records, "ad")
    assert after.recipe.cut_id != before.recipe.cut_id
    assert [after.segment_name(number, "1:1") for number in range(4)] == [
        before.segment_name(number, "1:1") for number in range(4)
    ]


async def test_voices_end_before_a_fade(records: Records, tmp_path: Path) -> None:
    store_scenes(records, tmp_path, cut={"captions": False, "transition": {"kind": "fade", "seconds": 0.5}})
    store_voice(records, tmp_path, HOOK, words(7))
    store_voice(records, tmp_path, PROBLEM, words(4))
    planned = plan_cut(records, "ad")
    assert planned.warnings == []
    speech = speech_in(path_of(records, await make_cut(records, planned)))
    # The scenes start at 0 and 2.5 s. The first voice of 2.8 s is spoken in 2.5 s.
    assert [edge for stretch in speech for edge in stretch] == pytest.approx([0, 2.5 - GAP, 2.7, 4.3 - GAP], abs=0.15)


async def test_a_missing_voice_is_named(records: Records, tmp_path: Path) -> None:
    store_scenes(records, tmp_path)
    take = store_voice(records, tmp_path, HOOK, *SOUNDS[HOOK])
    assert take.clip
    records.storage.remove(take.clip.file)
    assert [(finding.kind, finding.path) for finding in verify(records)] == [("missing", take.clip.file)]
    with pytest.raises(StorageError, match=f"{take.clip.file} is missing"):
        await make(records)


def test_earlier_records_name_no_bought_sound(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    cut = save_cut(records)
    path = f"sessions/ad/cuts/{cut.cut_id}.json"
    content = records.storage.read(path)
    records.storage.write(path, re.sub(rb'\s*"additions": \[\],', b"", content))
    assert b"additions" not in records.storage.read(path)
    assert records.cut("ad", cut.cut_id) == cut
    assert cut_views(records, "ad")[0].state == "current"


def test_pruning_keeps_the_current_voices_and_music(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    for minute, job_id in enumerate(("job-1", "job-2")):
        store_voice(records, tmp_path, HOOK, words(minute + 1), job_id=job_id, minute=minute)
        store_music(records, tmp_path, sine(1 + minute, -20), job_id=job_id, minute=minute)
    save_cut(records)
    later = NOW + timedelta(days=40)
    found = list(prunable(records, later))
    assert [(take.scenario, take.job_id) for take in found] == [("voice-hook", "job-1"), ("music", "job-1")]
    for take in found:
        assert prune(records, take)
    assert verify(records, checksums=False) == []
    assert [view.state for view in cut_views(records, "ad")] == ["current"]
    assert list(prunable(records, later)) == []
    records.storage.write("ad_voice-cta_12345678.flac", b"whose?")
    assert [(each.kind, each.path) for each in verify(records)] == [("orphan", "ad_voice-cta_12345678.flac")]


def test_bought_sound_is_fetched_and_archived_with_the_clips(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    voice = store_voice(records, tmp_path, PROBLEM, words(2))
    store_music(records, tmp_path, sine(1, -20))
    fetched = list(fetch(records, "ad", tmp_path / "here"))
    assert [each.scenario for each in fetched] == [*Scenario, VOICES[PROBLEM], Addition.MUSIC]
    assert all(each.file and each.file.exists() for each in fetched)
    names = [clip.name for clip in clip_archive(records, "ad").clips]
    assert names == [
        "lamp-1-hook.mp4",
        "lamp-2-problem.mp4",
        "lamp-2-problem-voice.flac",
        "lamp-3-solution.mp4",
        "lamp-4-cta.mp4",
        "lamp-music.flac",
    ]
    assert voice.clip
    records.storage.remove(voice.clip.file)
    with pytest.raises(NotFound, match=r"the voice of problem, .* is gone"):
        clip_archive(records, "ad")


@pytest.mark.parametrize(("part", "field"), [(HOOK, "visual_description"), (VOICES[HOOK], "dialog_narration")])
def test_a_refusal_is_about_the_words_that_were_sent(
    records: Records, tmp_path: Path, part: Scenario | Addition, field: str
) -> None:
    store_ad(records, tmp_path)
    take = make_take(AttemptState.FAILED, scenario=part)
    if part != HOOK:
        request = store_voice(records, tmp_path, HOOK, words(1)).request
        take = take.model_copy(update={"request": request})
    take.attempts[-1].problem = Problem(code="sceneRefused", message="refused (parameter positivePrompt)")
    assert refused_field(take) == field
