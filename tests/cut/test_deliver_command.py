"""The command that delivers, as a person types it."""

import json
import re
from pathlib import Path

import pytest
import yaml

from adreel.models.placements import PLACEMENTS, free_edges
from adreel.records import Records
from tests.cut.stored_ads import contents, store_ad
from tests.cut.test_delivery import store_long_ad
from tests.cut.unlike_clips import Clip
from tests.factories import session_data, write_image
from tests.test_cli import adreel, answer

PAGE = Path(__file__).parents[2] / "docs" / "deliver.md"


@pytest.mark.usefixtures("prefect")
@pytest.mark.slow
def test_a_delivery_makes_the_ad_and_ends_with_its_manifest(records: Records, tmp_path: Path) -> None:
    store_long_ad(records, tmp_path)
    ran = adreel("deliver", "ad", "--preset", "youtube,shorts", "--no-captions", "--to", "client/spring")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert [line for line in lines if line.startswith("Making")] == [
        "Making the ad for youtube ...",
        "Making the ad for shorts ...",
    ]
    assert re.search(r"^ad_shorts_9x16.mp4  5\.2 s  silent  \d\.\d MB$", ran.stdout, re.MULTILINE)
    assert "warning: ad_youtube_16x9.mp4: it is silent" in lines
    assert Path(lines[-1]) == tmp_path / "client" / "spring" / "manifest.json"
    manifest = json.loads(Path(lines[-1]).read_text())
    assert [file["file"] for file in manifest["files"]] == ["ad_youtube_16x9.mp4", "ad_shorts_9x16.mp4"]
    assert len(records.cuts("ad")) == 2
    before = contents(tmp_path)
    again = answer("deliver", "ad", "--preset", "youtube,shorts", "--no-captions", "--to", "client/spring")
    assert again == manifest
    assert {path: value for path, value in contents(tmp_path).items() if not path.startswith("state")} == before


def test_a_film_is_checked_for_placements(tmp_path: Path) -> None:
    film = Clip("film", pictures=150, options={"preset": "ultrafast"}).write(tmp_path)
    ran = adreel("deliver", "--check", "tiktok,youtube", film.name)
    assert ran.returncode == 1, ran.stderr
    assert "tiktok refuses film.mp4\n  refused: its shorter side has 90 pixels, and tiktok wants" in ran.stdout
    assert "youtube accepts film.mp4\n  advice: its profile is " in ran.stdout
    [found] = answer("deliver", "--check", "youtube", film.name)
    assert (found["preset"], found["refusals"], found["facts"]["duration"]) == ("youtube", [], 5.0)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nobody", "--preset", "reels", "--to", "there"], 2, "no session 'nobody'"),
        (["ad", "--preset", "vine", "--to", "there"], 2, "no preset 'vine': choose from tiktok"),
        (["ad", "--preset", "tiktok", "--to", "there"], 2, "it lasts 2.6 s, and tiktok wants at least 5 s"),
        (["ad", "--preset", "reels", "--format", "1:1", "--to", "there"], 2, "reels does not show 1:1"),
        (["ad", "--preset", "reels"], 2, "name the placements and the destination"),
        (["ad", "--preset", "reels", "--to", "outputs"], 2, "is a storage of adreel: deliver to another folder"),
        (["ad", "--preset", "reels", "--to", "ssh:there"], 2, "a URL begins with ssh://"),
        (["--check", "tiktok", "--to", "there", "ad.mp4"], 2, "--check takes a film and no other option"),
        (["--check", "tiktok", "outputs/sessions/ad/session.json"], 2, "session.json: it is in no format that adreel"),
        (["--check", "tiktok", "poster.jpg"], 2, "can't read this film: poster.jpg: it is in no format that adreel"),
        (["--check", "tiktok", "gone.mp4"], 2, "can't read this film: gone.mp4: No such file"),
    ],
)
def test_bad_input_is_named_before_any_work(
    records: Records, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    store_ad(records, tmp_path)
    write_image(tmp_path / "poster.jpg", "JPEG")
    before = contents(tmp_path)
    ran = adreel("deliver", *words)
    assert (ran.returncode, says in ran.stderr) == (code, True), ran.stderr
    assert "Traceback" not in ran.stderr
    assert {path: value for path, value in contents(tmp_path).items() if not path.startswith("state")} == before


@pytest.mark.usefixtures("prefect")
@pytest.mark.slow
def test_a_cut_of_a_length_that_its_placement_refuses_has_a_warning(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, cut={"captions": False, "end_card": {"seconds": 0.5, "text": "Buy"}})
    ran = adreel("cut", "ad", "--preset", "shorts")
    assert (ran.returncode, "warning: it lasts 3.1 s, and shorts wants at least 5 s" in ran.stdout) == (0, True)
    assert "9x16.mp4  3.1 s" in ran.stdout


def test_a_wrong_certificate_is_told_before_anything_is_bought(tmp_path: Path) -> None:
    (tmp_path / "ad.yaml").write_text(yaml.safe_dump(session_data(seconds=1)))
    ran = adreel("generate", "ad.yaml", ADREEL_CUT="true", ADREEL_C2PA_CERT="signer.pem")
    assert (ran.returncode, "ADREEL_C2PA_CERT and ADREEL_C2PA_KEY belong together" in ran.stderr) == (2, True)
    assert not (tmp_path / "outputs").exists()


def test_the_page_has_the_rules_of_every_placement() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.read_text().splitlines()]
    documented = {row[0].strip("`"): row for row in rows if len(row) == 6 and row[0].startswith("`")}
    assert list(documented) == list(PLACEMENTS)
    for name, placement in PLACEMENTS.items():
        _, formats, length, advised, file, area = documented[name]
        assert formats == ", ".join(placement.formats)
        limits = [f"{each:g}" for each in (placement.shortest, placement.longest) if each is not None]
        assert re.findall(r"\d+", length) == limits
        assert re.findall(r"\d+", advised) == [f"{each:g}" for each in placement.advised or () if each]
        assert (placement.min_bit_rate is None) == ("from 516 kbit/s" not in file)
        assert ("4 GiB" in file, "500 MB" in file) == (
            placement.max_bytes == 4 * 1024**3,
            placement.max_bytes == 500 * 10**6,
        )
        edges = [f"{edge:.1%}".replace("%", " %") for edge in free_edges("9:16", name)]
        assert area == (", ".join(edges) if "9:16" in placement.formats else "")
