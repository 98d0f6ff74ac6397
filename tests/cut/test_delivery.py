"""Deliveries: what a placement refuses, and copies that are whole or not there."""

import asyncio
import csv
import io
import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from uuid import uuid4

import pytest

from adreel.cut.acceptance import format_of, judge, measure_film
from adreel.cut.delivery import deliver, open_destination, parse_presets, plan_delivery
from adreel.cut.making import make_cut
from adreel.cut.plan import FileFacts
from adreel.errors import InputError, StorageError
from adreel.models.cuts import Cut
from adreel.models.deliveries import Manifest
from adreel.models.placements import PLACEMENTS, Placement, find_placement
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.storage.crash_points import visit_crash_points
from tests.cut.stored_ads import contents, store_ad, store_clip
from tests.cut.unlike_clips import Clip
from tests.storage.servers import S3Server

NAMES = {f"ad_{preset}{suffix}" for preset in ("youtube_16x9", "shorts_9x16") for suffix in (".mp4", ".jpg", ".srt")}
MANIFESTS = {"manifest.json", "manifest.csv"}
GOOD = FileFacts(
    container="mov,mp4,m4a,3gp,3g2,mj2",
    size=4_000_000,
    width=1080,
    height=1920,
    duration=12.0,
    rate=30.0,
    is_constant=True,
    video_codec="h264",
    profile="High",
    pixel_format="yuv420p",
    bit_rate=2_600_000,
    audio_codec="aac",
    audio_duration=12.0,
    audio_bit_rate=180_000,
    sample_rate=48000,
    index_first=True,
    loudness=-14.0,
    true_peak=-1.5,
)


def store_long_ad(records: Records, folder: Path, seconds: float = 1.3) -> None:
    store_ad(records, folder, scenarios=[])
    for scenario in Scenario:
        store_clip(records, folder, scenario, job_id=f"job-{scenario.value}", seconds=seconds, narration="Buy it.")


async def cuts_for(records: Records, *presets: str) -> list[tuple[Placement, Cut]]:
    planned = plan_delivery(records, "ad", parse_presets(presets))
    return [(placement, await make_cut(records, each)) for placement, each in planned]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the cuts for two placements once, and return the storage."""
    folder = tmp_path_factory.mktemp("made")
    records = Records(Storage(str(folder / "outputs")))
    store_long_ad(records, folder)
    asyncio.run(cuts_for(records, "youtube,shorts"))
    return folder / "outputs"


@pytest.fixture
async def cuts(made: Path, records: Records, tmp_path: Path) -> list[tuple[Placement, Cut]]:
    shutil.copytree(made, tmp_path / "outputs")
    return await cuts_for(records, "youtube,shorts")


@pytest.mark.parametrize("preset", PLACEMENTS)
def test_a_master_of_its_format_is_accepted_everywhere(preset: str) -> None:
    placement = find_placement(preset)
    sizes = {"9:16": (1080, 1920), "1:1": (1080, 1080), "16:9": (1920, 1080), "4:5": (1080, 1350)}
    for shape in placement.formats:
        width, height = sizes[shape]
        duration = 6.0 if preset == "bumper" else 15.0
        facts = replace(GOOD, width=width, height=height, duration=duration, audio_duration=duration)
        assert judge(placement, facts).refusals == ()
        assert judge(placement, facts).advice == ()
    assert placement.source.startswith("https://")
    assert set(placement.min_side) | set(placement.safe_areas) <= set(placement.formats)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"width": 1920, "height": 1000}, "its size is 1920x1000, and tiktok shows 9:16, 1:1, 16:9"),
        ({"width": 360, "height": 640}, "its shorter side has 360 pixels, and tiktok wants at least 540"),
        ({"duration": 4.0}, "it lasts 4.0 s, and tiktok wants at least 5 s"),
        ({"duration": 61.0}, "it lasts 61.0 s, and tiktok allows 60 s"),
        ({"size": 600_000_000}, "it has 600.0 MB, and tiktok allows 500 MB"),
        ({"bit_rate": 400_000}, "it has 400 kbit/s, and tiktok wants at least 516"),
        ({"video_codec": "vp9"}, "its picture is vp9 and neither H.264 nor HEVC"),
        ({"is_constant": False}, "its frame rate varies"),
        ({"rate": 120.0}, "it has 120 frames per second"),
        ({"audio_codec": "opus"}, "its sound is opus and not AAC"),
        ({"container": "matroska,webm"}, "it is matroska,webm and not MP4"),
    ],
)
def test_a_refusal_names_the_limit(change: dict[str, object], says: str) -> None:
    [refusal] = judge(find_placement("tiktok"), replace(GOOD, **change)).refusals  # type: ignore[arg-type]
    assert says in refusal


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"duration": 30.0, "audio_duration": 30.0}, "tiktok advises 9 to 15 s"),
        ({"loudness": -23.0}, "its loudness is -23.0 LUFS, and -14 are usual"),
        ({"true_peak": 0.3}, "its true peak is 0.3 dBTP"),
        ({"loudness": None, "true_peak": None}, "it is silent"),
        ({"audio_codec": None}, "it has no sound"),
        ({"audio_duration": 11.0}, "its sound lasts 11.00 s and its picture 12.00 s"),
        ({"index_first": False}, "its index stands behind its media"),
        ({"video_codec": "hevc"}, "its picture is HEVC"),
        ({"profile": "Baseline"}, "its profile is Baseline"),
        ({"pixel_format": "yuv422p10le"}, "its pixel format is yuv422p10le"),
    ],
)
def test_advice_is_no_refusal(change: dict[str, object], says: str) -> None:
    verdict = judge(find_placement("tiktok"), replace(GOOD, **change))  # type: ignore[arg-type]
    assert verdict.refusals == ()
    [advice] = verdict.advice
    assert says in advice


async def test_a_film_of_any_origin_is_measured(tmp_path: Path) -> None:
    uneven = Clip("uneven", times=(0.0, 0.04, 0.05, 0.2, 0.9), sound="mono", sample_rate=44100).write(tmp_path)
    facts = await measure_film(uneven)
    assert (facts.width, facts.height, facts.audio_codec, facts.sample_rate) == (160, 90, "aac", 44100)
    assert (facts.is_constant, facts.index_first) == (False, False)
    assert "its frame rate varies" in judge(find_placement("youtube"), facts).refusals
    steady = Clip("steady", rate=Fraction(30000, 1001), sound="").write(tmp_path)
    facts = await measure_film(steady)
    assert (facts.is_constant, facts.rate, facts.duration, facts.audio_codec) == (True, 29.97, 1.001, None)
    (tmp_path / "text.mp4").write_text("no film")
    for name in ("text.mp4", "gone.mp4"):
        with pytest.raises(InputError, match=f"can't read this film: {name}: "):
            await measure_film(tmp_path / name)


def test_a_size_may_be_rounded() -> None:
    assert [format_of(86, 48), format_of(1284, 716), format_of(76, 96), format_of(4, 3)] == [
        "16:9",
        "16:9",
        "4:5",
        None,
    ]


async def test_a_delivery_has_its_files_and_then_their_manifest(
    records: Records, cuts: list[tuple[Placement, Cut]], tmp_path: Path
) -> None:
    destination = Storage(str(tmp_path / "client" / "spring"))
    manifest = await deliver(records, cuts, destination)
    assert set(contents(tmp_path / "client")) == {f"spring/{name}" for name in NAMES | MANIFESTS}
    assert not (tmp_path / "client" / "spring" / ".tmp").exists()
    assert Manifest.model_validate_json(destination.read("manifest.json")) == manifest
    rows = list(csv.DictReader(io.StringIO(destination.read("manifest.csv").decode())))
    assert [row["file"] for row in rows] == ["ad_youtube_16x9.mp4", "ad_shorts_9x16.mp4"]
    for row, (placement, cut) in zip(rows, cuts, strict=True):
        assert (row["preset"], row["sha256"]) == (placement.name, cut.files[0].sha256)
        assert destination.read(row["file"]) == records.storage.read(cut.files[0].file)
    # Again: no byte is written.
    before = contents(tmp_path / "client")
    assert await deliver(records, cuts, destination) == manifest
    assert contents(tmp_path / "client") == before


@pytest.mark.parametrize("name", ["ad_shorts_9x16.mp4", "manifest.json"])
async def test_another_file_is_an_error_before_anything_is_written(
    records: Records, cuts: list[tuple[Placement, Cut]], tmp_path: Path, name: str
) -> None:
    destination = Storage(str(tmp_path / "client"))
    destination.write(name, b"mine")
    with pytest.raises(InputError, match=rf"another file is at .*{name}.* deliver to a folder of its own"):
        await deliver(records, cuts, destination)
    assert {path: content for path, (content, _) in contents(tmp_path / "client").items()} == {name: b"mine"}


async def test_a_crash_leaves_no_manifest_and_the_next_delivery_is_whole(
    records: Records, cuts: list[tuple[Placement, Cut]], tmp_path: Path
) -> None:
    destination = Storage(str(tmp_path / "client"))
    visits = []

    def visit(name: str) -> None:
        visits.append(name)
        if visits.count("file delivered") == 3:
            raise KeyboardInterrupt

    with visit_crash_points(visit), pytest.raises(KeyboardInterrupt):
        await deliver(records, cuts, destination)
    assert len(destination.names("")) == 3
    assert not destination.exists("manifest.json")
    await deliver(records, cuts, destination)
    assert set(destination.names("")) == NAMES | MANIFESTS


async def test_a_delivery_to_s3_that_breaks_off_has_no_manifest(
    cuts: list[tuple[Placement, Cut]], records: Records, s3: S3Server
) -> None:
    bucket = s3.bucket()
    destination = Storage(f"{bucket}/spring", s3.options, sleep=lambda _: None, setting="the destination")
    denied = ("403 Forbidden", b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
    s3.answers = lambda request, _: denied if request.startswith("PUT") and "shorts_9x16.mp4" in request else None
    with pytest.raises(StorageError, match=r"is incomplete, \d of 8 files and no manifest: .*deliver again") as error:
        await deliver(records, cuts, destination)
    assert "ADREEL_STORAGE" not in str(error.value)
    assert not destination.exists("manifest.json")
    s3.answers = lambda _request, _environment: None
    manifest = await deliver(records, cuts, destination)
    assert json.loads(destination.read("manifest.json"))["files"][0]["file"] == manifest.files[0].file
    assert set(destination.names("")) == NAMES | MANIFESTS


def test_options_of_the_storage_are_for_urls_of_its_kind(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADREEL_STORAGE", s3.bucket())
    monkeypatch.setenv("ADREEL_STORAGE_OPTIONS", s3.environment["ADREEL_STORAGE_OPTIONS"])
    settings = Settings.load()
    open_destination(settings, f"{s3.bucket()}/spring").write("file", b"1")
    open_destination(settings, str(tmp_path / "client")).write("file", b"1")
    assert open_destination(settings, f"memory://{uuid4().hex}").names("") == []


def test_an_unsuitable_destination_is_refused(records: Records, tmp_path: Path) -> None:
    settings = Settings.load()
    with pytest.raises(InputError, match=r"can't deliver to 's3:client': .* a URL begins with s3://"):
        open_destination(settings, "s3:client")
    records.storage.write("adreel-storage.json", b"{}")
    with pytest.raises(InputError, match="is a storage of adreel: deliver to another folder"):
        open_destination(settings, str(tmp_path / "outputs"))


async def test_a_refused_file_is_named_before_anything_is_copied(records: Records, tmp_path: Path) -> None:
    store_long_ad(records, tmp_path)
    destination = Storage(str(tmp_path / "client"))
    with pytest.raises(InputError, match=r"nothing was delivered: ad_tiktok_9x16.mp4: its shorter side has 48 pixels"):
        await deliver(records, await cuts_for(records, "tiktok"), destination)
    assert not (tmp_path / "client").exists()


def test_a_length_that_a_placement_refuses_is_told_before_any_work(records: Records, tmp_path: Path) -> None:
    store_long_ad(records, tmp_path, seconds=1)
    with pytest.raises(InputError, match=r"can't be delivered: it lasts 4.0 s, and youtube wants at least 5 s"):
        plan_delivery(records, "ad", parse_presets(["youtube"]))
    store_long_ad(records, tmp_path, seconds=2)
    with pytest.raises(InputError, match=r"it lasts 8.0 s, and bumper allows 6 s"):
        plan_delivery(records, "ad", parse_presets(["youtube", "bumper"]))


def test_presets_are_names_with_commas() -> None:
    assert [each.name for each in parse_presets(["tiktok, reels", "tiktok"])] == ["tiktok", "reels"]
    with pytest.raises(InputError, match="no preset 'vine': choose from tiktok"):
        parse_presets(["vine"])
    with pytest.raises(InputError, match="name at least one preset"):
        parse_presets([","])
