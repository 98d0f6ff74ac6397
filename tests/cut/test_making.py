"""Cuts are made once, from current takes, recorded last, and survive a crash at any point."""

import asyncio
import signal
import sys
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

import av
import psutil
import pytest

from adreel.cut.making import make_cut
from adreel.cut.planning import plan_cut
from adreel.errors import InputError, StorageError
from adreel.models.cut_settings import CutOptions
from adreel.models.cuts import Cut
from adreel.models.scenarios import Scenario
from adreel.models.srt import parse_srt
from adreel.records import Records
from adreel.records.choosing import choose_take
from adreel.records.cut_inputs import copy_files_of_cut
from adreel.records.verification import verify
from adreel.records.views import cut_views
from adreel.storage import Storage
from adreel.storage.crash_points import visit_crash_points
from tests.cut.stored_ads import FRAMES, contents, store_ad, store_clip
from tests.storage.servers import S3Server

HOOK = Scenario.HOOK
PLAIN: dict[str, Any] = {"cut": {"captions": False}}


class Crash(BaseException):
    """Simulates the death of the process."""


async def make(records: Records, **options: Any) -> Cut:
    planned = await asyncio.to_thread(plan_cut, records, "ad", CutOptions(**options))
    return await make_cut(records, planned)


def segments(records: Records) -> set[str]:
    return set(records.storage.names("sessions/ad/cuts/segments"))


def frames_of(records: Records, cut: Cut) -> list[int]:
    counts = []
    for file in cut.files:
        with records.storage.open(file.file) as stream, av.open(stream, "r") as container:
            counts.append(len(list(container.decode(video=0))))
    return counts


async def test_four_clips_become_one_file_with_its_record(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    told: list[tuple[int, str]] = []
    planned = plan_cut(records, "ad")
    cut = await make_cut(records, planned, lambda percent, step: told.append((percent, step)))
    assert frames_of(records, cut) == [file.frames for file in cut.files] == [FRAMES]
    assert records.cut("ad", cut.cut_id) == cut
    assert [file.file for file in cut.files] == [f"ad_cut_{cut.cut_id}_1x1.mp4"]
    assert records.storage.read(cut.files[0].poster or "").startswith(b"\xff\xd8")
    assert cut_views(records, "ad")[0].state == "current"
    assert verify(records) == []
    percents = [percent for percent, _ in told]
    assert percents == sorted(percents)
    assert percents[-1] == 100


async def test_a_second_cut_writes_no_byte(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, **PLAIN)
    first = await make(records)
    before = contents(tmp_path)
    assert await make(records) == first
    assert contents(tmp_path) == before


async def test_a_changed_scene_makes_the_cut_stale_and_costs_one_segment(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, **PLAIN)
    first = await make(records)
    before = segments(records)
    assert len(before) == 4
    store_clip(records, tmp_path, HOOK, job_id="job-2", seconds=1, minute=1)
    assert [view.state for view in cut_views(records, "ad")] == ["stale"]
    second = await make(records)
    assert (second.cut_id != first.cut_id, second.files[0].frames) == (True, FRAMES + 15)
    assert len(segments(records) - before) == 1
    assert [view.state for view in cut_views(records, "ad")] == ["current", "stale"]
    # The earlier take again: its cut is there already.
    choose_take(records, "ad", HOOK, "job-1")
    assert await make(records) == first
    assert verify(records) == []


async def test_settings_that_change_no_scene_reuse_all_segments(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, **PLAIN)
    await make(records)
    before = segments(records)
    store_ad(records, tmp_path, cut={"captions": False, "end_card": {"seconds": 0.5}, "loudness": -20})
    assert cut_views(records, "ad")[0].state == "stale"
    second = await make(records)
    assert second.files[0].frames == FRAMES + 15
    assert segments(records) == before


async def test_a_missing_scene_is_named_and_may_be_left_out(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, scenarios=[HOOK, Scenario.CTA], **PLAIN)
    with pytest.raises(InputError, match="has no clip of problem, solution: generate it first"):
        plan_cut(records, "ad")
    cut = await make(records, allow_missing=True)
    assert cut.files[0].frames == 15 + 24
    assert cut_views(records, "ad")[0].state == "current"
    store_clip(records, tmp_path, Scenario.PROBLEM)
    assert cut_views(records, "ad")[0].state == "stale"


def test_a_session_without_clips_has_no_cut(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, scenarios=[])
    with pytest.raises(InputError, match="hook, problem, solution, cta"):
        plan_cut(records, "ad", CutOptions(allow_missing=True))


async def test_fades_overlap_and_a_fade_that_does_not_fit_is_refused(records: Records, tmp_path: Path) -> None:
    fade = {"transition": {"kind": "fade", "seconds": 0.2}}
    store_ad(records, tmp_path, cut={"captions": False, **fade})
    cut = await make(records)
    assert frames_of(records, cut) == [FRAMES - 3 * 6]
    store_ad(records, tmp_path, cut={"captions": False, "transition": {"kind": "fade", "seconds": 0.3}})
    with pytest.raises(InputError, match=r"a fade of 0.3 s does not fit scene hook, which lasts 0.5 s"):
        plan_cut(records, "ad")


def test_a_fade_longer_than_half_of_the_end_card_is_refused(records: Records, tmp_path: Path) -> None:
    fade = {"transition": {"kind": "fade", "seconds": 0.2}}
    store_ad(records, tmp_path, cut={**fade, "end_card": {"seconds": 0.3}})
    with pytest.raises(InputError, match=r"a fade of 0.2 s does not fit the end card, which lasts 0.3 s"):
        plan_cut(records, "ad")
    store_ad(records, tmp_path, cut={**fade, "end_card": {"seconds": 0.4}})
    assert plan_cut(records, "ad").seconds == (FRAMES - 4 * 6 + 12) / 30


async def test_each_format_is_a_file_and_shares_nothing_but_the_clips(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, **PLAIN)
    cut = await make(records, formats=("9:16", "16:9"))
    assert [(file.format, file.width, file.height) for file in cut.files] == [("16:9", 86, 48), ("9:16", 48, 86)]
    assert len(segments(records)) == 8
    # Another order is the same cut.
    assert await make(records, formats=("16:9", "9:16")) == cut


async def test_captions_of_the_narration_stand_in_the_srt_file(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    store_clip(records, tmp_path, Scenario.CTA, job_id="job-2", narration="Read on.", minute=1)
    cut = await make(records)
    [cue] = parse_srt(records.storage.read(cut.files[0].captions or ""), "the file")
    assert (cue.text, cue.start >= 54 / 30, cue.end <= FRAMES / 30 + 0.001) == ("Read on.", True, True)
    without = await make(records, captions=False)
    assert (without.cut_id != cut.cut_id, without.files[0].captions) == (True, None)


async def test_captions_follow_the_speech_of_a_voice_file(records: Records, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "voice.wav"), "wb") as sound:
        sound.setparams((1, 1, 8000, 0, "NONE", ""))
        sound.writeframes(b"\x80" * 16000 + bytes(range(0, 256, 16)) * 150 + b"\x80" * 8000)
    store_ad(records, tmp_path)
    store_clip(records, tmp_path, Scenario.CTA, job_id="job-2", narration="Read on.", minute=1)
    await make(records)
    store_ad(records, tmp_path, scenarios=[], cut={"voice": "voice.wav"})
    records.save_session(copy_files_of_cut(records.storage, records.session("ad")))
    cut = await make(records)
    [cue] = parse_srt(records.storage.read(cut.files[0].captions or ""), "the file")
    # The scene lasts from 1.8 to 2.6 s, and the voice speaks from 2.0 to 2.3 s.
    assert cue.text == "Read on."
    assert cue.start == pytest.approx(2.0, abs=0.04)
    assert cue.end == pytest.approx(2.3 + 8 / 30, abs=0.04)
    # The scene with the caption is another segment than that without the voice.
    assert len(segments(records)) == 5


async def test_captions_end_before_the_fade_to_the_next_scene(records: Records, tmp_path: Path) -> None:
    fade = {"transition": {"kind": "fade", "seconds": 0.2}}
    store_ad(records, tmp_path, cut={**fade, "end_card": {"seconds": 0.5}})
    for scenario in (HOOK, Scenario.PROBLEM, Scenario.CTA):
        store_clip(records, tmp_path, scenario, job_id="job-2", narration=f"The {scenario}.", minute=1)
    cut = await make(records)
    cues = parse_srt(records.storage.read(cut.files[0].captions or ""), "the file")
    assert [(round(cue.start, 1), round(cue.end, 1)) for cue in cues] == [(0, 0.3), (0.3, 0.7), (1.2, 1.8)]


async def test_an_srt_file_decides_the_captions(records: Records, tmp_path: Path) -> None:
    srt = "1\n00:00:00,200 --> 00:00:00,900\nTwo scenes\n\n2\n00:00:09,000 --> 00:00:10,000\nToo late\n"
    (tmp_path / "words.srt").write_text(srt)
    store_ad(records, tmp_path, cut={"captions": {"from": "file", "file": "words.srt"}})
    records.save_session(copy_files_of_cut(records.storage, records.session("ad")))
    (tmp_path / "words.srt").unlink()
    cut = await make(records)
    [cue] = parse_srt(records.storage.read(cut.files[0].captions or ""), "the file")
    assert (cue.text, cue.start, cue.end) == ("Two scenes", 0.2, 0.9)
    assert verify(records) == []


async def test_a_voice_and_music_are_copied_and_heard(records: Records, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "music.any"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(range(0, 256, 8)) * 1000)
    store_ad(records, tmp_path, cut={"captions": False, "music": {"file": "music.any"}})
    records.save_session(copy_files_of_cut(records.storage, records.session("ad")))
    (tmp_path / "music.any").unlink()
    settings = records.session("ad").cut
    assert settings is not None
    assert settings.music is not None
    assert settings.music.file.endswith(".wav#music.any")
    cut = await make(records)
    assert cut.files[0].loudness == pytest.approx(-14, abs=0.5)
    [copy] = records.storage.names("sessions/ad/inputs")
    records.storage.remove(f"sessions/ad/inputs/{copy}")
    assert await make(records) == cut
    with pytest.raises(InputError, match=r"the copy of 'music.any' is gone .* name the file again"):
        plan_cut(records, "ad", CutOptions(formats=("16:9",)))


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"music": {"file": "gone.mp3"}}, r"can't read cut.music.file 'gone.mp3'"),
        ({"voice": "text.txt"}, r"cut.voice '.*text.txt' is not an MP3, WAV"),
        ({"logo": {"file": "text.txt"}}, r"cut.logo.file '.*text.txt' is neither .* image"),
        ({"captions": {"from": "file", "file": "text.txt"}}, r"cut.captions.file '.*text.txt' is not an SRT file"),
    ],
)
def test_an_unusable_file_is_named_before_any_work(
    records: Records, tmp_path: Path, block: dict[str, Any], says: str
) -> None:
    (tmp_path / "text.txt").write_text("no sound, no picture")
    store_ad(records, tmp_path, scenarios=[], cut=block)
    with pytest.raises(InputError, match=says):
        copy_files_of_cut(records.storage, records.session("ad"))
    store_ad(records, tmp_path, cut=block)
    with pytest.raises(InputError, match="is not in the folder of session 'ad'"):
        plan_cut(records, "ad")


@pytest.mark.parametrize(
    ("narration", "cut", "says"),
    [
        ("אור לקריאה", {}, r"scene cta, 1:1: the font has .* no glyphs for Hebrew"),
        ("Read " + "on" * 400, {}, r"scene cta, 1:1: .* shorten it"),
        ("", {"end_card": {"text": "灯"}}, r"cut.end_card, 1:1: the font has .* no glyphs for "),
        ("", {"end_card": {"text": "on" * 99}}, r"cut.end_card, 1:1: .* shorten it"),
    ],
)
def test_a_text_that_can_not_be_shown_is_refused_before_any_work(
    records: Records, tmp_path: Path, narration: str, cut: dict[str, Any], says: str
) -> None:
    store_ad(records, tmp_path, cut=cut, brand_colors=["warm amber", "#f4b860"])
    store_clip(records, tmp_path, Scenario.CTA, job_id="job-2", narration=narration, minute=1)
    with pytest.raises(InputError, match=says):
        plan_cut(records, "ad")


def test_the_end_card_takes_the_brand_colours_that_are_colours(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, cut={"end_card": {}}, brand_colors=["warm amber", "#f4b860", "navy"])
    card = plan_cut(records, "ad").card
    assert card is not None
    assert card.colors == ("#f4b860", "navy")


async def test_scenes_with_the_same_clip_share_a_segment(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, scenarios=[HOOK, Scenario.CTA], **PLAIN)
    store_clip(records, tmp_path, Scenario.CTA, job_id="job-2", seconds=0.5, minute=1)
    for loudness in (-14, -20):
        store_ad(records, tmp_path, scenarios=[], cut={"captions": False, "loudness": loudness})
        cut = await make(records, allow_missing=True)
        assert (cut.files[0].frames, len(cut.segments), len(segments(records))) == (2 * 15, 1, 1)
    assert verify(records) == []


async def test_two_makers_at_once_make_one_cut(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, **PLAIN)
    others = Records(Storage(str(tmp_path / "outputs")))
    first, second = await asyncio.gather(make(records), make(others))
    assert first.cut_id == second.cut_id
    assert first == second == records.cut("ad", first.cut_id)
    assert verify(records) == []


async def test_a_foreign_file_of_the_name_is_never_replaced(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, **PLAIN)
    name = f"ad_cut_{plan_cut(records, 'ad').recipe.cut_id}_1x1.mp4"
    records.storage.write(name, b"mine")
    with pytest.raises(StorageError, match=r"another file is at .* move it away"):
        await make(records)
    assert records.storage.read(name) == b"mine"
    assert records.cuts("ad") == []


async def test_the_file_of_a_faster_maker_is_taken_over(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, **PLAIN)
    other = Records(Storage(str(tmp_path / "elsewhere")))
    store_ad(other, tmp_path, **PLAIN)
    made = await make(other)
    name = made.files[0].file
    # Another build of the encoder writes other bytes: here with a box that players skip.
    content = other.storage.read(name) + b"\0\0\0\x08free"
    records.storage.write(name, content)
    cut = await make(records)
    assert records.storage.read(name) == content
    assert (cut.files[0].size, cut.files[0].frames) == (len(content), FRAMES)
    assert verify(records) == []


async def test_a_cancelled_cut_ends_its_render_and_leaves_nothing(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, **PLAIN)
    before = contents(tmp_path)
    rendering = asyncio.Event()
    planned = plan_cut(records, "ad")
    making = asyncio.create_task(make_cut(records, planned, lambda _percent, _step: rendering.set()))
    await rendering.wait()
    await asyncio.sleep(0.5)
    making.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await making
    assert not [each for each in psutil.Process().children() if "cut.render" in " ".join(each.cmdline())]
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    assert not [path for path in after if path.endswith((".part", ".mp4")) and path not in before]
    assert (await make(records)).files[0].frames == FRAMES


@pytest.mark.parametrize("kind", ["memory", pytest.param("s3", marks=pytest.mark.slow)])
async def test_a_cut_is_made_on_a_storage_without_folders(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    storage = Storage(f"memory://{uuid4().hex}")
    if kind == "s3":
        server: S3Server = request.getfixturevalue("s3")
        storage = Storage(server.bucket(), server.options)
    records = Records(storage)
    store_ad(records, tmp_path, **PLAIN)
    cut = await make(records)
    assert frames_of(records, cut) == [FRAMES]
    assert verify(records) == []
    store_clip(records, tmp_path, HOOK, job_id="job-2", seconds=1, minute=1)
    assert (await make(records)).files[0].frames == FRAMES + 15
    assert len(segments(records)) == 5


async def check_after(records: Records, name: str) -> None:
    cut = await make(records)
    assert verify(records) == [], name
    assert [found.cut_id for found in records.cuts("ad")] == [cut.cut_id], name
    assert len([each for each in records.storage.names("") if "_cut_" in each and each.endswith(".mp4")]) == 1, name


def last_slow(values: Iterable[str], fast: set[str]) -> list[Any]:
    return [pytest.param(value, marks=[] if value in fast else [pytest.mark.slow]) for value in values]


POINTS = ("segments rendered", "segment published", "cut rendered", "cut's poster published", "cut published")
RECORD = ("before the cut's record", "after the cut's record")


@pytest.mark.parametrize("point", last_slow([*POINTS, *RECORD], {"segment published", "before the cut's record"}))
async def test_a_crash_leaves_no_half_cut_and_the_next_makes_it(records: Records, tmp_path: Path, point: str) -> None:
    store_ad(records, tmp_path, **PLAIN)

    def visit(name: str) -> None:
        if name == point:
            raise Crash(name)

    with visit_crash_points(visit), pytest.raises(Crash):
        await make(records)
    await check_after(records, point)


KILLED = """
import asyncio, os, signal, sys
from adreel.cut.making import make_cut
from adreel.cut.planning import plan_cut
from adreel.records import Records
from adreel.storage import Storage
from adreel.storage.crash_points import visit_crash_points

def visit(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

records = Records(Storage(sys.argv[1]))
with visit_crash_points(visit):
    asyncio.run(make_cut(records, plan_cut(records, "ad")))
"""


@pytest.mark.parametrize("point", last_slow([*POINTS, *RECORD], {"cut published"}))
async def test_a_killed_process_leaves_no_half_cut_either(records: Records, tmp_path: Path, point: str) -> None:
    store_ad(records, tmp_path, **PLAIN)
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(tmp_path / "outputs"), point)
    assert await killed.wait() == -signal.SIGKILL
    await check_after(records, point)


@pytest.mark.slow
async def test_a_crash_at_any_point_of_the_storage_neither(tmp_path: Path) -> None:
    names = []
    for number in range(1, 100):
        folder = tmp_path / str(number)
        folder.mkdir()
        records = Records(Storage(str(folder / "outputs")))
        store_ad(records, folder, scenarios=[HOOK], **PLAIN)
        reached: list[str] = []

        def visit(name: str, reached: list[str] = reached, number: int = number) -> None:
            reached.append(name)
            if len(reached) == number:
                raise Crash(name)

        with visit_crash_points(visit):
            try:
                await make(records, allow_missing=True)
            except Crash:
                names.append(reached[-1])
            else:
                break
        cut = await make(records, allow_missing=True)
        assert verify(records) == [], reached[-1]
        assert len([each for each in records.storage.names("") if each.endswith("_1x1.mp4")]) == 1
        assert records.cuts("ad") == [cut]
    assert {*POINTS, *RECORD, "linked", "renamed"} <= set(names)
