"""The requests of an ad, a page and a command to an object store, counted by its server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adreel.campaigns import campaign_job_id
from adreel.emulator import LocalRunware
from adreel.flows.generate_ad import generate_ad
from adreel.flows.generate_campaign import generate_campaign
from adreel.index import SessionIndex, read_spend
from adreel.models.parts import STILLS, VOICES, Addition, Part
from adreel.models.scenarios import Scenario
from adreel.models.shares import ReviewKind, ShareCreate
from adreel.models.spend_groups import Group
from adreel.models.takes import Job
from adreel.purchase.jobs import end_job, end_jobs_of_run, open_scenes
from adreel.records import Records
from adreel.records.changes import announcer
from adreel.records.sharing import add_review, create_share, film_of
from adreel.records.verification import verify
from adreel.records.views import job_status, session_view
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.web.metrics import RecordsCollector
from tests.cut.stored_ads import save_cut, store_ad
from tests.factories import NOW, make_session, make_take, save_job, session_data, store_take
from tests.storage.counting import counted
from tests.storage.servers import KEY, S3Server
from tests.storyboard.conftest import Orders, visiting


@pytest.fixture
def records(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Records:
    """Open an empty storage on S3, which the settings name."""
    monkeypatch.setenv("ADREEL_STORAGE", f"{s3.bucket()}/ads")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY["secret"])
    return Records(Storage.from_settings(Settings()))


@pytest.mark.usefixtures("prefect")
def test_an_ad_costs_few_requests(runware: LocalRunware, records: Records, s3: S3Server) -> None:
    records.save_session(make_session(session_id="Lamp", seconds=1))
    announcer.flush()
    with counted(s3) as requests:
        generate_ad("Lamp")
        announcer.flush()
    assert requests.total() <= 45, requests.paths


def store_job(records: Records, session_id: str, job_id: str) -> None:
    """Store a session with a job whose four takes have no attempt yet, and announce them."""
    records.save_session(make_session(session_id=session_id))
    save_job(records, Job(job_id=job_id, session_id=session_id, scenarios=list(Scenario), created_at=NOW))
    for scenario in Scenario:
        records.save_take(make_take(None, scenario=scenario, job_id=job_id, session_id=session_id))
    # The announcements are written in the background and would be counted with what comes next.
    announcer.flush()


READERS = {
    "open scenes": lambda records: open_scenes(records, Settings.load(), "mine"),
    "end of a run": lambda records: end_jobs_of_run(records, "a-run", "mine"),
    "status of a job": lambda records: job_status(records, "job-mine"),
    "view of a session": lambda records: session_view(records, "mine"),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_requests_for_a_session_do_not_depend_on_others(
    records: Records, s3: S3Server, read: Callable[[Records], object]
) -> None:
    store_job(records, "mine", "job-mine")
    with counted(s3) as alone:
        read(records)
    for number in range(5):
        store_job(records, f"other-{number}", f"job-{number}")
    with counted(s3) as among_others:
        read(records)
    assert among_others == alone
    assert not any("job-0" in path or "other" in path for path in among_others.paths)


def test_verify_without_checksums_downloads_no_clip(records: Records, s3: S3Server, tmp_path: Path) -> None:
    store_job(records, "mine", "job-mine")
    take = make_take(job_id="job-mine", session_id="mine")
    store_take(records, take, tmp_path)
    announcer.flush()
    with counted(s3) as requests:
        assert verify(records, checksums=False) == []
    assert not any(path.endswith((".mp4", ".jpg")) for path in requests.paths)
    assert take.clip
    records.storage.remove(take.clip.file)
    assert [finding.kind for finding in verify(records, checksums=False)] == ["missing"]


ADDITIONS: list[Part] = [*VOICES.values(), Addition.MUSIC, STILLS[Scenario.HOOK]]


@pytest.mark.parametrize("additions", [[], ADDITIONS], ids=["clips alone", "voices, music and a still"])
def test_a_page_of_a_session_reads_each_record_once(
    records: Records, s3: S3Server, tmp_path: Path, additions: list[Part]
) -> None:
    asked: dict[str, Any] = {"voice": {}, "music": {}} if additions else {}
    store_ad(records, tmp_path, **asked)
    for part in additions:
        store_take(records, make_take(scenario=part), tmp_path)
    cut = save_cut(records)
    made = create_share(records, "ad", ShareCreate(), lambda _: None)
    share = records.share("ad", made.share_id)
    assert share is not None
    review = add_review(records, share, film_of(records, "ad"), ReviewKind.APPROVAL, author="Anna", key="1")
    announcer.flush()
    read = [
        f"sessions/ad/shares/{share.share_id}.json",
        f"sessions/ad/reviews/{review.review_id}.json",
        "sessions/ad/session.json",
        "sessions/ad/current.json",
        *(f"sessions/ad/takes/{part}/job-1.json" for part in [*Scenario, *additions]),
        f"sessions/ad/cuts/{cut.cut_id}.json",
        "jobs/job-1.json",
        "budgets/budgets.json",
    ]
    with visiting(Orders()) as client:
        # The catalogue and the prices are kept in memory after that, and the list waits for the index.
        client.get("/sessions/ad")
        client.get("/")
        for path in ("/sessions/ad", "/sessions/ad?job=job-1"):
            with counted(s3) as requests:
                assert client.get(path).status_code == 200
            assert sorted(each for each in requests.paths if "list" not in each) == sorted(
                f"get {each}" for each in read
            )
            # The index lists all sessions and their changes in the background.
            lists = [each for each in requests.paths if each.startswith("list") and "sessions%2Fad%2F" in each]
            folders = [each.partition("sessions%2Fad%2F")[2].partition("%2F")[0] for each in lists]
            assert sorted(folders) == ["cuts", "reviews", "shares", "takes"], requests.paths


def store_completed(records: Records, session_id: str) -> None:
    """Store an ad of the campaign spring that an earlier run has completed."""
    job_id = campaign_job_id("spring", session_id)
    records.save_session(make_session(session_id=session_id), "spring")
    takes = [make_take(scenario=scenario, job_id=job_id, session_id=session_id) for scenario in Scenario]
    for take in takes:
        records.save_take(take)
    job = Job(job_id=job_id, session_id=session_id, scenarios=list(Scenario), created_at=NOW, cut="0123abcd")
    save_job(records, job)
    end_job(records, job, takes=takes)
    announcer.flush()


def test_a_resume_of_all_jobs_reads_one_record_of_a_completed_one(records: Records, s3: S3Server) -> None:
    store_job(records, "open", "job-open")
    with counted(s3) as before:
        assert [job.job_id for job, _ in open_scenes(records, Settings.load(), "all")] == ["job-open"]
    for number in range(3):
        store_completed(records, f"ad-{number}")
    with counted(s3) as requests:
        assert [job.job_id for job, _ in open_scenes(records, Settings.load(), "all")] == ["job-open"]
    assert requests.total() == before.total() + 3
    assert not any("ad-" in path for path in requests.paths)


@pytest.mark.usefixtures("prefect", "runware")
def test_a_campaign_that_continues_reads_one_record_of_a_completed_ad(
    records: Records, s3: S3Server, tmp_path: Path
) -> None:
    counts = []
    for ads in (1, 5):
        source = tmp_path / f"{ads}.jsonl"
        source.write_text("".join(f"{json.dumps(session_data(session_id=f'ad-{each}'))}\n" for each in range(ads)))
        for each in range(ads):
            store_completed(records, f"ad-{each}")
        with counted(s3) as requests:
            totals = generate_campaign(str(source), "spring")
            announcer.flush()
        assert isinstance(totals, dict)
        assert (totals["ads completed"], totals["scenes completed"]) == (ads, 4 * ads)
        assert totals["cost"] == f"USD {0.44 * ads:.2f}"
        counts.append(requests.total())
        assert not any("takes" in path for path in requests.paths), requests.paths
    assert counts[1] - counts[0] <= 4, counts


def test_spend_and_metrics_read_no_take(records: Records, s3: S3Server, tmp_path: Path) -> None:
    """The index has what they sum up. The storage has the spend of pruned takes, and the budgets."""
    index = SessionIndex(records, tmp_path / "index")
    index.is_followed = True
    for number in range(2):
        store_completed(records, f"ad-{number}")
        index.update()
        with counted(s3) as requests:
            report = read_spend(index, Group.DAY)
            assert RecordsCollector(index).read()
        assert report.total.takes == 4 * (number + 1)
        assert sorted(requests.paths) == ["get budgets/budgets.json", *["get spend/pruned.json"] * 3]
