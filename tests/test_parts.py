"""Voices, music and stills in the records: they count, are listed, checked, fetched and pruned as clips are."""

from datetime import timedelta
from pathlib import Path

import pytest

from adreel.campaigns.variants import each_ad
from adreel.errors import Conflict, InputError
from adreel.index import SessionIndex, SessionQuery, read_report
from adreel.index.campaigns import read_campaign
from adreel.index.queries import NEW
from adreel.models.api import State
from adreel.models.parts import PARTS, STILLS, VOICES, Addition, Part, find_part, kind_of, label_of, shown_name
from adreel.models.scenarios import Scenario
from adreel.models.sessions import MusicBed, Voice, parse_session
from adreel.models.spend import Price, to_usd
from adreel.models.spend_groups import Group
from adreel.models.takes import AttemptState, Choices, Job, task_uuid, utc_now
from adreel.records import Records
from adreel.records.archiving import archive_session
from adreel.records.clip_archive import clip_archive
from adreel.records.deleting import delete_session
from adreel.records.export import fetch
from adreel.records.pruning import prunable, prune
from adreel.records.verification import verify
from adreel.records.views import session_view
from adreel.spend.accounts import Order, PricedTask
from adreel.spend.budgets import Budgets
from adreel.spend.reports import build_report
from adreel.web.metrics import RecordsCollector
from tests.factories import NOW, make_session, make_take, save_choices, save_job, scene_data, store_take

HOOK = Scenario.HOOK
LATER = NOW + timedelta(days=40)
BOUGHT: list[Part] = [*Scenario, *VOICES.values(), Addition.MUSIC, STILLS[HOOK]]
COSTS = {"clip": 0.42, "voice": 0.0011, "music": 0.0042, "still": 0.011}


@pytest.fixture
def ad(records: Records, tmp_path: Path) -> Records:
    """Give an ad whose clips, narrations and music are stored, and a still of its hook."""
    records.save_session(make_session(voice=Voice().model_dump(), music=MusicBed().model_dump()), "spring")
    for part in BOUGHT:
        take = make_take(scenario=part, cost=COSTS[kind_of(part)])
        take.campaign = "spring"
        store_take(records, take, tmp_path)
    save_job(
        records, Job(job_id="job-1", session_id="ad", scenarios=BOUGHT, created_at=NOW, ended_at=NOW, campaign="spring")
    )
    return records


def index_of(records: Records, tmp_path: Path) -> SessionIndex:
    index = SessionIndex(records, tmp_path / "index")
    index.update()
    return index


@pytest.mark.parametrize("part", PARTS, ids=shown_name)
def test_a_part_is_found_by_each_of_its_names(part: Part) -> None:
    assert find_part(shown_name(part)) is find_part(part.value) is find_part(f" {part.upper()} ") is part


@pytest.mark.parametrize("name", ["", "voice", "voice:", "voice:outro", "music:hook", "clip:hook", "hook voice"])
def test_another_name_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(InputError, match=r"is no part of an ad: choose from hook, .*voice:hook, .*music, still:hook"):
        find_part(name)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({}, State.COMPLETED),
        ({VOICES[HOOK]: AttemptState.STORED}, State.COMPLETED),
        ({VOICES[HOOK]: AttemptState.FAILED}, State.PARTIAL),
        ({VOICES[HOOK]: AttemptState.STORED, Addition.MUSIC: AttemptState.FAILED}, State.PARTIAL),
        ({Addition.MUSIC: AttemptState.ACCEPTED}, State.GENERATING),
        ({STILLS[HOOK]: AttemptState.FAILED}, State.COMPLETED),
        ({STILLS[HOOK]: AttemptState.ACCEPTED}, State.GENERATING),
    ],
    ids=["clips alone", "a voice", "a failed voice", "failed music", "music on its way", "a failed still", "a still"],
)
def test_an_ad_is_complete_with_its_voices_and_music_but_without_stills(
    records: Records, tmp_path: Path, states: dict[Part, AttemptState], expected: State
) -> None:
    records.save_session(make_session())
    for scenario in Scenario:
        records.save_take(make_take(scenario=scenario))
    for part, state in states.items():
        problem = "refused" if state == AttemptState.FAILED else None
        records.save_take(make_take(state, scenario=part, problem=problem))
    save_job(records, Job(job_id="job-1", session_id="ad", scenarios=[*Scenario, *states], created_at=NOW))
    index = index_of(records, tmp_path)
    [listed] = index.page(SessionQuery()).sessions
    assert (session_view(records, "ad").state, listed.state) == (expected, expected)
    assert [video.scenario for video in listed.additions] == list(states)
    assert index.page(SessionQuery(state=expected.value)).total == 1


def test_an_ad_with_stills_alone_is_new_and_has_a_cost(records: Records, tmp_path: Path) -> None:
    records.save_session(make_session())
    records.save_take(make_take(scenario=STILLS[HOOK], cost=0.011))
    view = session_view(records, "ad")
    assert (view.state, view.cost) == (None, 0.011)
    assert index_of(records, tmp_path).page(SessionQuery(state=NEW)).total == 1


def test_lists_spend_and_the_index_count_every_part(ad: Records, tmp_path: Path) -> None:
    cost = 1.6996
    index = index_of(ad, tmp_path)
    [listed] = index.page(SessionQuery()).sessions
    assert (listed.cost, session_view(ad, "ad").cost) == (cost, cost)
    for by in Group:
        report = build_report(ad, by)
        assert report.money == read_report(index, by).money
        assert (report.money.total.clips, to_usd(report.money.total.billed)) == (len(BOUGHT), cost)
    by_scene = build_report(ad, Group.SCENE).money.by_name
    assert (by_scene["voice-hook"].billed, by_scene["music"].billed) == (1100, 4200)
    assert build_report(ad, Group.CAMPAIGN).money.by_name["spring"].finished == 1


def test_a_storage_with_parts_has_no_findings_until_a_file_is_lost(ad: Records) -> None:
    assert verify(ad) == []
    voice, still = ad.takes("ad", VOICES[HOOK])[0].clip, ad.takes("ad", STILLS[HOOK])[0].clip
    assert voice
    assert still
    ad.storage.remove(voice.file)
    Path(ad.storage.location(still.file)).write_bytes(b"another")
    Path(ad.storage.location("ad_voice-cta_00000000.flac")).write_bytes(b"of nobody")
    found = {finding.path: finding.kind for finding in verify(ad)}
    assert found == {voice.file: "missing", still.file: "changed", "ad_voice-cta_00000000.flac": "orphan"}


def test_fetch_and_the_archive_bring_voices_and_music(ad: Records, tmp_path: Path) -> None:
    fetched = {each.scenario: each.file for each in fetch(ad, "ad", tmp_path / "home")}
    assert list(fetched) == BOUGHT
    assert sorted(file.name for file in fetched.values() if file) == sorted(
        file.name for file in (tmp_path / "home").iterdir()
    )
    names = [each.name for each in clip_archive(ad, "ad").clips]
    assert names[:2] == ["lamp-1-hook.mp4", "lamp-1-hook-voice.flac"]
    assert names[-1] == "lamp-music.flac"


def test_an_older_voice_is_pruned_with_its_file_and_keeps_its_cost(ad: Records, tmp_path: Path) -> None:
    newer = store_take(ad, make_take(scenario=VOICES[HOOK], job_id="job-2", minute=5, cost=0.0011), tmp_path)
    save_job(ad, Job(job_id="job-2", session_id="ad", scenarios=[VOICES[HOOK]], created_at=NOW, ended_at=NOW))
    [old] = prunable(ad, LATER)
    assert old.clip
    assert (old.scenario, old.job_id) == (VOICES[HOOK], "job-1")
    assert prune(ad, old)
    assert not ad.storage.exists(old.clip.file)
    job = ad.job("job-1")
    assert job
    assert VOICES[HOOK] not in job.scenarios
    assert [take.job_id for take in ad.takes("ad", VOICES[HOOK])] == [newer.job_id]
    assert verify(ad) == []
    assert build_report(ad, Group.SCENE).money.by_name["voice-hook"].billed == 2200


def test_a_chosen_voice_is_kept(ad: Records, tmp_path: Path) -> None:
    store_take(ad, make_take(scenario=VOICES[HOOK], job_id="job-2", minute=5), tmp_path)
    save_choices(ad, "ad", Choices(takes={VOICES[HOOK]: "job-1"}))
    assert [take.job_id for take in prunable(ad, LATER)] == ["job-2"]


@pytest.mark.parametrize("part", [VOICES[HOOK], Addition.MUSIC, STILLS[HOOK]], ids=shown_name)
def test_a_session_with_an_addition_alone_is_archived_and_not_deleted(
    records: Records, tmp_path: Path, part: Part
) -> None:
    records.save_session(make_session())
    store_take(records, make_take(scenario=part), tmp_path)
    with pytest.raises(Conflict, match="clips of it were ordered"):
        delete_session(records, "ad")
    archive_session(records, "ad")
    assert index_of(records, tmp_path).page(SessionQuery(state="archived")).total == 1


def test_a_new_budget_counts_voices_and_a_dead_run_frees_theirs(records: Records) -> None:
    records.save_session(make_session())
    budgets, part = Budgets(records), VOICES[HOOK]
    take = make_take(scenario=part, cost=0.0011)
    take.attempts[-1].accepted_at = take.created_at
    records.save_take(take)
    budgets.set("all", 1_000_000)
    [view] = budgets.views()
    assert view.spent == 1100
    uuid = str(task_uuid("job-2", part, 1))
    holds = budgets.reserve(Order("ad", "job-2", (PricedTask(uuid, part, 2000),))).holds
    assert holds
    unsent = make_take(None, scenario=part, job_id="job-2")
    unsent.price = Price(amount=2000, source="listed")
    records.save_take(unsent)
    assert [view.held for view in budgets.views()] == [2000]
    save_job(records, Job(job_id="job-2", session_id="ad", scenarios=[part], created_at=NOW, ended_at=utc_now()))
    budgets.reconcile(broken=[])
    assert [(view.spent, view.held) for view in budgets.views()] == [(1100, 0)]


@pytest.mark.parametrize("part", PARTS, ids=shown_name)
def test_messages_name_each_part(part: Part) -> None:
    assert (
        label_of(part)
        == {
            "clip": f"scene {part}",
            "voice": f"voice of {part[6:]}",
            "music": "music",
            "still": f"still of {part[6:]}",
        }[kind_of(part)]
    )


def test_metrics_tell_parts_once_there_are_some(ad: Records, tmp_path: Path) -> None:
    collector = RecordsCollector(index_of(ad, tmp_path))
    assert collector.read()
    [scenes] = [family for family in collector.collect() if family.name == "adreel_scenes"]
    counts = {(sample.labels["scenario"], sample.labels["state"]): sample.value for sample in scenes.samples}
    assert (counts["voice-cta", "completed"], counts["music", "completed"], counts["still-hook", "failed"]) == (1, 1, 0)
    assert ("still-cta", "completed") not in counts


def test_the_index_follows_a_voice_that_is_bought_and_pruned(ad: Records, tmp_path: Path) -> None:
    index = index_of(ad, tmp_path)
    store_take(ad, make_take(scenario=VOICES[HOOK], job_id="job-2", minute=5, cost=0.0011), tmp_path)
    save_job(ad, Job(job_id="job-2", session_id="ad", scenarios=[VOICES[HOOK]], created_at=NOW, ended_at=NOW))
    index.update()
    assert index.check() == []
    [old] = prunable(ad, LATER)
    prune(ad, old)
    index.update()
    assert index.check() == []
    assert build_report(ad, Group.SCENE).money == read_report(index, Group.SCENE).money


def test_a_campaign_counts_the_bills_and_failures_of_voices(ad: Records, tmp_path: Path) -> None:
    campaign = read_campaign(index_of(ad, tmp_path), "spring")
    assert (campaign.campaign.billed, campaign.campaign.states) == (1.6996, {State.COMPLETED: 1})
    failed = make_take(AttemptState.FAILED, scenario=VOICES[HOOK], job_id="job-2", minute=5, problem="no such voice")
    failed.campaign = "spring"
    ad.save_take(failed)
    job = Job(job_id="job-2", session_id="ad", scenarios=[VOICES[HOOK]], created_at=utc_now(), campaign="spring")
    save_job(ad, job)
    index = SessionIndex(ad, tmp_path / "another")
    index.update()
    # The voice of the first job is there, and no other is being bought.
    assert read_campaign(index, "spring").campaign.states == {State.COMPLETED: 1}


def test_a_campaign_of_products_and_variants_can_have_a_narrator() -> None:
    scenes = [scene_data(scenario, dialog_narration="Buy {product_name}.") for scenario in Scenario]
    variant = {"variant": "calm", "scene_descriptions": scenes, "voice": {"speed": 0.9}, "music": {}}
    [(_, ad)] = each_ad({"products": [{"session_id": "lamp", "product_name": "Lamp"}], "variants": [variant]}, "spring")
    session = parse_session(ad)
    assert session.parts == [*Scenario, *VOICES.values(), Addition.MUSIC]
    assert session.scene(HOOK).dialog_narration == "Buy Lamp."
