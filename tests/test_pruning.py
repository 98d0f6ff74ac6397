"""Pruning removes what nobody uses, and a cut at any step leaves no record without its clip and nothing to buy anew."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adreel.cli.app import app
from adreel.errors import AdreelError, BadRecord, InputError
from adreel.models.scenarios import Scenario
from adreel.models.spend_groups import Group
from adreel.models.spend_reports import PRUNED
from adreel.models.takes import AttemptState, Choices, Job
from adreel.purchase.jobs import end_job, open_scenes
from adreel.records import Records
from adreel.records.pruning import SESSIONS_AT_ONCE, parse_age, prunable, prune
from adreel.records.spend import spend_of, take_key
from adreel.records.verification import verify
from adreel.records.views import readable_takes
from adreel.settings import Settings
from adreel.spend.reports import build_report
from adreel.storage import Storage
from tests.factories import NOW, make_session, make_take, save_choices, save_job, store_take

LATER = NOW + timedelta(days=40)


@pytest.fixture
def records(records: Records, tmp_path: Path) -> Records:
    """Give a session with two stored takes of the hook; the first job also made a cta."""
    records.save_session(make_session())
    for job_id, minute in (("job-1", 0), ("job-2", 5)):
        store_take(records, make_take(job_id=job_id, minute=minute), tmp_path)
    store_take(records, make_take(job_id="job-1", scenario=Scenario.CTA), tmp_path)
    save_job(records, Job(job_id="job-1", session_id="ad", scenarios=[Scenario.HOOK, Scenario.CTA], created_at=NOW))
    save_job(records, Job(job_id="job-2", session_id="ad", scenarios=[Scenario.HOOK], created_at=NOW))
    return records


def names(takes: object) -> list[tuple[str, str]]:
    return [(take.job_id, take.scenario.value) for take in takes]  # type: ignore[attr-defined]


def test_the_older_take_of_a_scene_goes_and_the_current_ones_stay(records: Records) -> None:
    assert names(prunable(records, LATER)) == [("job-1", "hook")]


def test_what_a_person_has_chosen_is_current(records: Records) -> None:
    save_choices(records, "ad", Choices(takes={Scenario.HOOK: "job-1"}))
    assert names(prunable(records, LATER)) == [("job-2", "hook")]


def test_nothing_younger_goes(records: Records) -> None:
    assert names(prunable(records, NOW - timedelta(days=1))) == []


def test_an_open_take_is_never_removed(records: Records, tmp_path: Path) -> None:
    for state in (AttemptState.PLANNED, AttemptState.SUBMITTED, AttemptState.ACCEPTED, AttemptState.RENDERED):
        records.save_take(make_take(state, job_id=f"job-{state}", scenario=Scenario.PROBLEM))
    assert names(prunable(records, LATER, keep_current=False)) == [
        ("job-1", "hook"),
        ("job-2", "hook"),
        ("job-1", "cta"),
    ]


@pytest.mark.parametrize(
    "says_stored", [False, True], ids=["a job of an earlier version", "a job that names its takes"]
)
def test_after_pruning_the_storage_is_whole_and_nothing_is_bought_anew(records: Records, *, says_stored: bool) -> None:
    for each in records.jobs() if says_stored else ():
        ended = end_job(records, each, takes=readable_takes(records, each))
        assert ended
        assert ended.is_stored
    [take] = prunable(records, LATER)
    assert take.clip is not None
    assert take.clip.poster
    prune(records, take)
    assert verify(records) == []
    assert open_scenes(records, Settings(), "all") == []
    assert not records.storage.exists(take.clip.file)
    assert not records.storage.exists(take.clip.poster)
    job = records.job("job-1")
    assert job is not None
    assert job.scenarios == [Scenario.CTA]


def test_everything_can_go_and_leaves_neither_job_nor_choice(records: Records) -> None:
    save_choices(records, "ad", Choices(takes={Scenario.HOOK: "job-1"}))
    for take in list(prunable(records, LATER, keep_current=False)):
        assert prune(records, take, keep_current=False)
    assert verify(records) == []
    assert records.jobs() == []
    assert records.choices("ad").takes == {}


@pytest.mark.parametrize("step", range(8))
def test_a_cut_leaves_orphans_and_never_a_record_without_its_clip(
    records: Records, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    [take] = prunable(records, LATER)
    end_after(monkeypatch, step)
    with pytest.raises(KeyboardInterrupt):
        prune(records, take)
    monkeypatch.undo()
    assert {finding.kind for finding in verify(records)} <= {"orphan"}
    assert open_scenes(records, Settings(), "all") == []
    # The take counts once, whether its record is still there or not.
    assert build_report(records, Group.DAY).money.total.billed == 330_000
    for again in prunable(records, LATER):
        prune(records, again)
    assert build_report(records, Group.DAY).money.total.billed == 330_000


def test_the_cost_of_pruned_takes_stays_in_the_reports(records: Records) -> None:
    for take in list(prunable(records, LATER, keep_current=False)):
        prune(records, take, keep_current=False)
        # Another machine had listed the same takes before.
        prune(records, take, keep_current=False)
    pruned = records.pruned_spend()
    assert (pruned.count, pruned.removing, len(pruned.totals)) == (3, {}, 2)
    by_session = build_report(records, Group.SESSION).money
    assert {name: line.billed for name, line in by_session.by_name.items()} == {PRUNED: 330_000}
    assert build_report(records, Group.SCENE).money.by_name["hook"].unused == 2


def test_two_prunes_of_a_take_at_once_count_it_once(records: Records) -> None:
    [take] = prunable(records, LATER)
    key, spend = take_key(take), spend_of(take)
    assert spend is not None
    # The second one marks the take before the first one has removed it, and counts it afterwards.
    assert records.mark_pruned(take)
    prune(records, take)
    records.update_pruned_spend(lambda pruned: pruned.with_removing(key, spend))
    records.update_pruned_spend(lambda pruned: pruned.with_removed(key))
    pruned = records.pruned_spend()
    assert (pruned.count, [each.billed for each in pruned.totals], pruned.removing) == (1, [110_000], {})


def test_an_unreadable_record_of_pruned_takes_stops_the_prune(records: Records) -> None:
    records.storage.write("spend/pruned.json", b"{")
    with pytest.raises(BadRecord, match=r"pruned\.json"):
        prune(records, next(prunable(records, LATER)))
    assert len(records.takes("ad", Scenario.HOOK)) == 2
    assert [finding.path for finding in verify(records)] == ["spend/pruned.json"]
    [error] = build_report(records, Group.DAY).unreadable
    assert "pruned.json" in str(error)


def test_a_job_that_ends_after_a_prune_does_not_bring_its_scene_back(records: Records) -> None:
    job = records.job("job-1")
    assert job is not None
    prune(records, next(prunable(records, LATER)))
    end_job(records, job)
    assert open_scenes(records, Settings(), "all") == []


def test_a_broken_record_is_named_and_the_others_are_pruned(records: Records) -> None:
    records.storage.write("sessions/aa/session.json", b"{")
    records.storage.write("sessions/ad/takes/cta/job-9.json", b"{")
    broken: list[AdreelError] = []
    assert names(prunable(records, LATER, broken=broken)) == [("job-1", "hook")]
    assert len(broken) == 2
    assert "sessions/aa/session.json" in str(broken[0])
    assert "cta/job-9.json" in str(broken[1])


def test_the_command_prunes_beside_broken_records_and_exits_1(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.storage.write("jobs/job-2.json", b"{")
    records.storage.write("sessions/aa/session.json", b"{")
    store_take(records, make_take(job_id="job-0", minute=-5), Path(records.storage.root))
    monkeypatch.setenv("ADREEL_STORAGE", records.storage.url)
    save_choices(records, "ad", Choices(takes={Scenario.HOOK: "job-1"}))
    ran = CliRunner().invoke(app, ["prune", "--older-than", "1h"], catch_exceptions=False)
    assert ran.exit_code == 1
    assert "removed 1 takes" in ran.stdout
    assert "jobs/job-2.json is not a valid record" in ran.stderr
    assert "sessions/aa/session.json is not a valid record" in ran.stderr
    assert [take.job_id for take in records.takes("ad", Scenario.HOOK)] == ["job-1", "job-2"]


def test_prune_reads_a_few_sessions_ahead(tmp_path: Path) -> None:
    records = Records(Storage(str(tmp_path)))
    count = 3 * SESSIONS_AT_ONCE
    for number in range(count):
        session_id = f"ad-{number:03}"
        records.save_session(make_session(session_id=session_id))
        for job_id, minute in (("job-1", 0), ("job-2", 5)):
            records.save_take(make_take(session_id=session_id, job_id=job_id, minute=minute))
    records.storage.write("sessions/ad-000/takes/hook/job-3.json", b"{")
    broken: list[AdreelError] = []
    found = prunable(records, LATER, broken=broken)
    assert next(found).session_id == "ad-001"
    late = f"ad-{count - 1:03}"
    store_take(records, make_take(session_id=late, job_id="job-9", minute=9), tmp_path)
    rest = list(found)
    assert len(rest) == count - 2 + 1, "the last sessions were read before the first takes were returned"
    assert [take.job_id for take in rest if take.session_id == late] == ["job-1", "job-2"]
    assert len(broken) == 1


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_shows_all_takes_that_it_removes(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, as_json: bool
) -> None:
    monkeypatch.setattr("adreel.cli.records.ROWS", 2)
    monkeypatch.setenv("ADREEL_STORAGE", records.storage.url)
    for number in range(3):
        store_take(records, make_take(job_id=f"job-0{number}", minute=-5), tmp_path)
    arguments = ["prune", "--older-than", "1h", *(["--json"] if as_json else [])]
    shown = [CliRunner().invoke(app, [*arguments, *more], catch_exceptions=False) for more in (["--dry-run"], [])]
    assert [ran.exit_code for ran in shown] == [0, 0]
    removed = ["job-00", "job-01", "job-02", "job-1"]
    for ran in shown:
        if as_json:
            assert [take["job_id"] for take in json.loads(ran.stdout)] == removed
        else:
            assert re.findall(r"hook +(job-\d+)", ran.stdout) == removed
            assert "remove 4 takes" in ran.stdout or "removed 4 takes" in ran.stdout
    again = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert json.loads(again.stdout) == [] if as_json else "removed 0 takes" in again.stdout


@pytest.mark.parametrize(("text", "days"), [("30d", 30), ("24h", 1), (" 2w", 14)])
def test_an_age_has_a_unit(text: str, days: int) -> None:
    assert parse_age(text) == timedelta(days=days)


@pytest.mark.parametrize("text", ["", "30", "d", "-3d", "1y", "9999999d"])
def test_another_age_is_named(text: str) -> None:
    with pytest.raises(InputError, match="--older-than is"):
        parse_age(text)


def end_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Have the process end after so many changes of the storage."""
    left = iter(range(steps))

    def ending(change: Callable[..., object]) -> Callable[..., object]:
        def act(*args: object, **options: object) -> object:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return change(*args, **options)

        return act

    monkeypatch.setattr(Storage, "remove", ending(Storage.remove))
    monkeypatch.setattr(Storage, "write", ending(Storage.write))
    monkeypatch.setattr(Storage, "update", ending(Storage.update))
