"""The records of cuts: kept, verified, pruned and fetched, without rendering anything."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adreel.errors import BadRecord, InputError
from adreel.models.cut_settings import CutOptions
from adreel.models.cuts import segment_path
from adreel.models.scenarios import Scenario
from adreel.models.sessions import parse_session
from adreel.models.takes import Choices
from adreel.records import Records
from adreel.records.choosing import choose_take
from adreel.records.cut_inputs import copy_files_of_cut
from adreel.records.export import fetch
from adreel.records.pruning import prunable_cuts, prune_cut, unused_segments
from adreel.records.verification import verify
from adreel.records.views import current_cut, cut_views
from tests.cut.stored_ads import save_cut, store_ad, store_clip
from tests.factories import NOW, save_choices, session_data, write_image
from tests.test_cli import adreel


def test_the_first_record_of_a_cut_stays(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    first = save_cut(records)
    assert save_cut(records, minute=5) == first == records.cut("ad", first.cut_id)
    assert records.save_cut(first.model_copy(update={"files": []}), earlier=first).files == []


def test_unknown_fields_of_a_cut_survive_and_a_broken_record_is_named(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    cut = save_cut(records)
    path = f"sessions/ad/cuts/{cut.cut_id}.json"
    records.storage.write(path, records.storage.read(path).replace(b'"digest"', b'"newer": 1,\n  "digest"'))
    found = records.cut("ad", cut.cut_id)
    assert found is not None
    assert (found.model_extra or {})["newer"] == 1
    records.storage.write(path, b"{")
    with pytest.raises(BadRecord, match=cut.cut_id):
        records.cuts("ad")
    assert {finding.kind for finding in verify(records)} == {"unreadable", "orphan"}


@pytest.mark.parametrize(
    "change",
    [
        {"cut": {"captions": False}},
        {"cut": {"captions": {"style": "word"}}},
        {"cut": {"fit": "blur"}},
        {"cut": {"loudness": -20}},
        {"cut": {"formats": ["9:16"]}},
        {"cut": {"end_card": {}}},
        {"product_name": "Another lamp"},
    ],
    ids=str,
)
def test_a_changed_setting_makes_a_cut_stale(records: Records, tmp_path: Path, change: dict[str, Any]) -> None:
    store_ad(records, tmp_path)
    save_cut(records)
    assert [view.state for view in cut_views(records, "ad")] == ["current"]
    records.save_session(parse_session(session_data(**change)))
    assert [view.state for view in cut_views(records, "ad")] == ["stale"]


def test_an_option_of_a_cut_does_not_make_it_stale(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    save_cut(records, options=CutOptions(formats=("9:16",), captions=False))
    [view] = cut_views(records, "ad")
    assert (view.state, view.files[0].format) == ("current", "9:16")
    assert view.files[0].url == f"/outputs/{view.files[0].file}"


def test_the_chosen_take_decides(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    save_cut(records)
    store_clip(records, tmp_path, Scenario.HOOK, job_id="job-2", seconds=1, minute=1)
    assert cut_views(records, "ad")[0].state == "stale"
    save_choices(records, "ad", Choices(takes={Scenario.HOOK: "job-1"}))
    assert cut_views(records, "ad")[0].state == "current"


def test_verify_knows_cuts_and_segments(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    cut = save_cut(records)
    assert verify(records) == []
    video = cut.files[0]
    records.storage.write(video.file, b"changed")
    records.storage.write(segment_path("ad", "a.mkv"), b"changed")
    records.storage.write(segment_path("ad", "b.mkv"), b"of no cut")
    records.storage.write("ad_cut_00000000_16x9.srt", b"of no cut")
    records.storage.remove(video.poster or "")
    found = {(finding.path.rpartition("/")[2], finding.kind) for finding in verify(records)}
    assert found == {
        (video.file, "changed"),
        ("a.mkv", "changed"),
        ("b.mkv", "orphan"),
        ("ad_cut_00000000_16x9.srt", "orphan"),
        (video.poster, "missing"),
    }
    # A segment that is gone is rendered again.
    records.storage.remove(segment_path("ad", "a.mkv"))
    assert "a.mkv" not in {finding.path.rpartition("/")[2] for finding in verify(records)}


def test_prune_keeps_the_newest_cut_and_the_segments_that_a_cut_names(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    old = save_cut(records, segment="old.mkv")
    new = save_cut(records, minute=5, options=CutOptions(captions=False), segment="new.mkv")
    assert list(prunable_cuts(records, NOW)) == []
    assert list(unused_segments(records)) == []
    [found] = prunable_cuts(records, NOW + timedelta(days=1))
    prune_cut(records, found)
    assert records.cuts("ad") == [new]
    assert not any(records.storage.exists(name) for name in old.file_names)
    [segment] = unused_segments(records)
    assert segment == segment_path("ad", "old.mkv")
    records.storage.remove(segment)
    assert verify(records) == []


def test_fetch_copies_the_newest_cut(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    cut = save_cut(records)
    *_, last = fetch(records, "ad", tmp_path / "here")
    assert (last.scenario, last.was_there) == ("cut", False)
    assert (tmp_path / "here" / cut.files[0].file).read_bytes() == records.storage.read(cut.files[0].file)
    *_, last = fetch(records, "ad", tmp_path / "here")
    assert last.was_there


def test_an_earlier_cut_is_the_current_one_after_its_take_is_chosen(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    earlier = save_cut(records)
    store_clip(records, tmp_path, Scenario.HOOK, job_id="job-2", minute=1, seconds=1)
    later = save_cut(records, minute=5)
    assert current_cut(records, "ad") == later
    choose_take(records, "ad", Scenario.HOOK, "job-1")
    assert current_cut(records, "ad") == earlier
    *_, last = fetch(records, "ad", tmp_path / "here")
    assert last.file == tmp_path / "here" / earlier.files[0].file
    assert list(prunable_cuts(records, NOW + timedelta(days=1))) == []
    assert f"cut {earlier.cut_id}: current" in adreel("status", "ad").stdout


def test_an_input_is_named_by_its_content_and_only_in_a_session_file(records: Records, tmp_path: Path) -> None:
    write_image(tmp_path / "logo.any", "WEBP")
    session = parse_session(session_data(cut={"logo": {"file": "logo.any"}}), folder=tmp_path)
    copied = copy_files_of_cut(records.storage, session)
    assert copied.cut is not None
    assert copied.cut.logo is not None
    assert copied.cut.logo.file.endswith(".webp#logo.any")
    assert copy_files_of_cut(records.storage, copied) == copied
    with pytest.raises(InputError, match=r"cut.logo.file 'logo.any' is a file: it can be named only in a session file"):
        parse_session(session_data(cut={"logo": {"file": "logo.any"}}))
    wrong = parse_session(session_data(cut={"voice": copied.cut.logo.file.partition("#")[0]}))
    with pytest.raises(InputError, match=r"cut.voice 'inputs/.*webp' is not an MP3"):
        copy_files_of_cut(records.storage, wrong)
