"""The commands that make and show cuts, as a person types them."""

import json
import re
from pathlib import Path

import pytest
import yaml

from adreel.models.scenarios import Scenario
from adreel.records import Records
from tests.cut.stored_ads import contents, store_ad, store_clip
from tests.factories import session_data
from tests.test_cli import adreel, answer

LINE = r"ad_cut_[0-9a-f]{8}_16x9\.mp4  4\.0 s  silent  \d\.\d MB"


@pytest.mark.usefixtures("prefect", "runware")
@pytest.mark.slow
def test_generate_ends_with_the_ad_and_cutting_again_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ADREEL_CUT")
    (tmp_path / "ad.yaml").write_text(yaml.safe_dump(session_data(seconds=1)))
    ran = adreel("generate", "ad.yaml")
    assert (ran.returncode, ran.stderr) == (0, "")
    [line] = re.findall(LINE, ran.stdout)
    last = ran.stdout.splitlines()[-1]
    assert Path(last) == tmp_path / "outputs" / line.split()[0]
    assert Path(last).stat().st_size > 1000
    before = contents(tmp_path / "outputs")
    again = adreel("cut", "ad")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("unchanged: ")
    assert line in again.stdout
    assert contents(tmp_path / "outputs") == before
    assert answer("verify") == []


@pytest.mark.usefixtures("prefect")
@pytest.mark.slow
def test_the_status_shows_a_stale_cut_and_its_command(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, cut={"captions": False})
    made = answer("cut", "ad", "--format", "9:16", "--format", "16:9")
    assert [file["format"] for file in made["files"]] == ["16:9", "9:16"]
    assert f"cut {made['cut_id']}: current" in adreel("status", "ad").stdout
    store_clip(records, tmp_path, Scenario.HOOK, job_id="job-2", seconds=1, minute=1)
    assert (
        f"cut {made['cut_id']}: stale (a clip or a setting has changed: adreel cut ad)" in adreel("status", "ad").stdout
    )
    assert answer("status", "ad")["cuts"][0]["state"] == "stale"
    fetched = answer("fetch", "ad", "--to", "here")
    assert [each["scenario"] for each in fetched] == ["hook", "problem", "solution", "cta", "cut", "cut"]


@pytest.mark.usefixtures("prefect")
@pytest.mark.slow
def test_the_cut_block_of_a_session_file_replaces_the_stored_one(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    (tmp_path / "ad.yaml").write_text(yaml.safe_dump(session_data(cut={"captions": False, "formats": ["1:1"]})))
    ran = adreel("cut", "ad.yaml")
    assert ran.returncode == 0, ran.stderr
    assert re.match(
        r"(cut: .*\n)+ad_cut_[0-9a-f]{8}_1x1.mp4  2.6 s  silent", ran.stdout.partition("...\n")[2] or ran.stdout
    )
    settings = records.session("ad").cut
    assert settings is not None
    assert settings.captions is None


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["cut", "ad"], 1, "session 'ad' has no clip of problem, solution, cta: generate it first"),
        (["cut", "nobody"], 2, "no session 'nobody'"),
        (["cut", "ad", "--preset", "vine"], 2, "no preset 'vine'"),
        (["cut", "ad", "--format", "5:4"], 2, "5:4"),
        (["cut", "ad", "--allow-missing", "--preset", "reels", "--format", "1:1"], 2, "reels does not show 1:1"),
        (["cut", "gone.yaml"], 2, "gone.yaml"),
        (["cut", "music.yaml"], 2, "can't read cut.music.file 'gone.mp3'"),
        (["generate", "music.yaml"], 2, "can't read cut.music.file 'gone.mp3'"),
    ],
)
def test_bad_input_is_named_before_any_work(
    records: Records, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    store_ad(records, tmp_path, scenarios=[Scenario.HOOK])
    (tmp_path / "music.yaml").write_text(yaml.safe_dump(session_data(cut={"music": {"file": "gone.mp3"}})))
    before = contents(tmp_path)
    ran = adreel(*words, RUNWARE_API_KEY="")
    assert (ran.returncode, says in ran.stderr) == (code, True), ran.stderr
    assert "Traceback" not in ran.stderr
    assert {path: value for path, value in contents(tmp_path).items() if not path.startswith("state")} == before


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"end_card": {"text": "灯"}}, "cut.end_card, 1:1: the font has"),
        ({"transition": {"kind": "fade", "seconds": 0.3}}, "does not fit scene hook"),
        ({"captions": {"from": "file"}}, "`from: file` needs the file"),
    ],
)
def test_a_cut_block_that_is_refused_does_not_replace_the_stored_one(
    records: Records, tmp_path: Path, block: dict[str, object], says: str
) -> None:
    store_ad(records, tmp_path)
    (tmp_path / "ad.yaml").write_text(yaml.safe_dump(session_data(cut=block)))
    before = contents(tmp_path / "outputs")
    ran = adreel("cut", "ad.yaml")
    assert (ran.returncode, says in ran.stderr) == (2, True), ran.stderr
    assert contents(tmp_path / "outputs") == before


def test_the_schema_of_a_session_explains_the_cut() -> None:
    properties = json.loads(adreel("schema").stdout)["$defs"]["CutSettings"]["properties"]
    assert {"formats", "captions", "music", "logo", "end_card", "fit", "loudness"} <= set(properties)
