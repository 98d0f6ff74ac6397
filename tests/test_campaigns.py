"""Campaigns: many ads in one run, each a job of its own, and nothing bought twice by running them again."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import TaskRun
from prefect.client.schemas.sorting import FlowRunSort

from adreel.campaigns import campaign_job_id, campaign_name, check_sessions, read_sessions
from adreel.emulator import LocalRunware
from adreel.errors import InputError
from adreel.models.api import State
from adreel.records import Records
from adreel.records.verification import verify
from adreel.records.views import job_status
from adreel.settings import Settings
from adreel.storage import Storage
from tests.api.serving import served
from tests.factories import session_data
from tests.storage.servers import S3Server
from tests.test_cli import ADREEL, adreel, answer
from tests.workers import deploy, until

IDS = ["ad-1", "ad-2", "ad-3"]


def a_session(session_id: str, **changes: Any) -> dict[str, Any]:
    return {**session_data(seconds=1), "session_id": session_id, **changes}


def lines(file: Path, *sessions: dict[str, Any]) -> Path:
    file.write_text("\n".join(json.dumps(session) for session in sessions) + "\n\n")
    return file


@pytest.fixture
def ads(tmp_path: Path) -> Path:
    return lines(tmp_path / "spring.jsonl", *map(a_session, IDS))


def ran(*words: str | Path) -> Any:
    """Run a campaign, well or badly, and return what it says."""
    return json.loads(adreel("campaign", *words, "--json").stdout)


@pytest.mark.usefixtures("runware")
class TestSources:
    def test_lines_and_files_are_read_in_their_order(self, ads: Path, tmp_path: Path) -> None:
        folder = tmp_path / "ads"
        folder.mkdir()
        for session_id in IDS:
            (folder / f"{session_id}.yaml").write_text(yaml.safe_dump(a_session(session_id)))
        (folder / "notes.txt").write_text("no session")
        for source in (str(ads), str(folder)):
            settings = Settings.load()
            assert check_sessions(settings, source) == 3
            assert [session.session_id for session in read_sessions(settings, source)] == IDS

    def test_parts_share_the_sessions_out(self, ads: Path) -> None:
        settings = Settings.load()
        parts = [[session.session_id for session in read_sessions(settings, str(ads), part, 2)] for part in (1, 2)]
        assert parts == [["ad-1", "ad-3"], ["ad-2"]]
        assert [check_sessions(settings, str(ads), part, 2) for part in (1, 2)] == [2, 1]

    def test_a_bucket_is_read_with_the_storage_s_own_options(self, s3: S3Server, ads: Path) -> None:
        bucket, options = s3.bucket(), s3.options
        Storage(bucket, options).write("spring.jsonl", ads.read_bytes())
        settings = Settings(ADREEL_STORAGE=bucket, ADREEL_STORAGE_OPTIONS=json.dumps(options))
        assert check_sessions(settings, f"{bucket}/spring.jsonl") == 3

    @pytest.mark.parametrize(
        ("sessions", "said"),
        [
            ([a_session("ad-1"), a_session("ad-1")], "line 2: session_id 'ad-1' appears twice"),
            ([a_session("")], "line 1: a session of a campaign needs a session_id"),
            ([a_session("ad-1"), a_session("ad-2", product_name="")], "line 2: product_name"),
            ([], "contains no sessions"),
        ],
    )
    def test_what_can_not_be_bought_is_named_before_anything_is(
        self, tmp_path: Path, sessions: list[dict[str, Any]], said: str
    ) -> None:
        with pytest.raises(InputError, match=said):
            check_sessions(Settings.load(), str(lines(tmp_path / "ads.jsonl", *sessions)))

    def test_a_file_of_a_folder_is_named_with_its_line(self, tmp_path: Path) -> None:
        (tmp_path / "ad.yaml").write_text(
            "session_id: ad\nprodct: Lamp\nscene_descriptions:\n- scenario: hook\n  camera: x\n"
        )
        with pytest.raises(InputError, match=r"\nad\.yaml, line 5: hook\.camera: .* did you mean camera_work\?"):
            check_sessions(Settings.load(), str(tmp_path))

    def test_a_server_that_is_away_is_not_taken_for_a_missing_file(self) -> None:
        with pytest.raises(InputError, match=r"can't read https://127\.0\.0\.1:1/ads\.jsonl: Cannot connect to host"):
            check_sessions(Settings.load(), "https://127.0.0.1:1/ads.jsonl")

    def test_a_missing_file_and_a_broken_line_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"ads\.jsonl does not exist"):
            check_sessions(Settings.load(), str(tmp_path / "ads.jsonl"))
        (tmp_path / "ads.jsonl").write_text("{")
        with pytest.raises(
            InputError, match=r"ads\.jsonl, line 1 is not valid JSON: column 2: .* one whole \{\.\.\.\} on each line"
        ):
            check_sessions(Settings.load(), str(tmp_path / "ads.jsonl"))


def test_a_campaign_is_named_for_its_source() -> None:
    assert campaign_name("s3://ads/spring-2026.jsonl") == "spring-2026"
    assert campaign_name("ads/spring/") == "spring"
    assert campaign_name("ads.jsonl", "again") == "again"
    with pytest.raises(InputError):
        campaign_name("spring sale.jsonl")


def tasks_of_the_last_run() -> list[TaskRun]:
    with get_client(sync_client=True) as client:
        [run] = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
        return client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))


@pytest.mark.usefixtures("prefect")
class TestByTheCommandLine:
    @pytest.mark.slow
    def test_each_ad_is_a_job_and_a_second_run_buys_only_what_is_missing(
        self, runware: LocalRunware, ads: Path
    ) -> None:
        runware.inject("insufficientCredits:ctax1")
        first = ran(ads)
        # The first ad without credits stops the campaign. Scenes that were not sent by then stay open.
        assert (first["state"], len(runware.ledger.entries) < 12) == ("Partial", True)
        records = Records(Storage("outputs"))
        states = [job_status(records, campaign_job_id("spring", session_id)).overall_status for session_id in IDS]
        assert set(states) != {State.COMPLETED}
        assert {job.campaign for job in records.jobs()} == {"spring"}

        second = ran(ads)
        assert (second["state"], second["totals"]["ads completed"]) == ("Completed", 3)
        assert Counter(str(entry.scenario) for entry in runware.ledger.entries) == dict.fromkeys(
            ["hook", "problem", "solution", "cta"], 3
        )
        assert verify(records) == []
        # Any other command treats them as it treats any ad.
        assert answer("status", IDS[0])["state"] == "completed"
        assert adreel("regenerate", IDS[0], "hook").returncode == 0

    @pytest.mark.slow
    def test_a_further_try_of_one_ad_counts_and_buys_no_other_of_its_task_again(
        self, runware: LocalRunware, ads: Path
    ) -> None:
        runware.inject("contentPolicy:ctax1")
        runware.inject("gone404:hookx2")
        done = ran(ads)
        assert (done["state"], "3 of 3 ads (2 completed, 1 partial)" in done["message"]) == ("Partial", True)
        assert len(runware.ledger.entries) == 12
        assert runware.ledger.counters.downloads == 11 + 2
        [tried] = tasks_of_the_last_run()
        assert (tried.name, tried.run_count) == ("ads-ad-1-to-ad-3", 2)

    @pytest.mark.slow
    def test_what_another_job_has_bought_is_bought_again_only_if_that_is_said(
        self, runware: LocalRunware, ads: Path
    ) -> None:
        assert ran(ads)["state"] == "Completed"
        refused = ran(ads, "--name", "autumn")
        assert (refused["state"], "adreel campaign --again" in refused["message"]) == ("Failed", True)
        assert len(runware.ledger.entries) == 12
        assert ran(ads, "--name", "autumn", "--again")["state"] == "Completed"
        assert len(runware.ledger.entries) == 24

    @pytest.mark.slow
    def test_one_that_is_killed_goes_on_by_the_same_command(self, runware: LocalRunware, ads: Path) -> None:
        runware.inject("dropReplySilent:hookx1")
        command: list[str | Path] = [ADREEL, "campaign", ads]
        process = subprocess.Popen(command, env={**os.environ, "RUNWARE_API_KEY": ""}, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while len(runware.ledger.entries) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert ran(ads)["state"] == "Completed"
        assert len(runware.ledger.entries) == 12
        assert verify(Records(Storage("outputs"))) == []

    @pytest.mark.slow
    def test_an_ad_is_cancelled_while_its_campaign_goes_on(
        self, runware: LocalRunware, prefect: str, ads: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runware.inject("neverEnds:hookx1")
        monkeypatch.setenv("ADREEL_DEADLINE", "100")
        records = Records(Storage("outputs"))
        command: list[str | Path] = [ADREEL, "campaign", ads, "--json"]
        with subprocess.Popen(command, env={**os.environ, "RUNWARE_API_KEY": ""}, stdout=subprocess.PIPE) as process:

            def hanging() -> str | None:
                """Return the job with the endless hook after all other scenes are stored."""
                jobs = [
                    job_id for job_id in records.job_ids() if job_status(records, job_id).overall_status == "generating"
                ]
                return jobs[0] if len(runware.ledger.entries) == 12 and len(jobs) == 1 else None

            job_id = until(hanging, "an ad that never ends")
            with served(prefect=prefect) as api:
                assert api.post(f"/api/videos/cancel/{job_id}").status_code == 202
            said, _ = process.communicate(timeout=60)
        done = json.loads(said)
        assert (done["state"], "2 completed, 1 partial" in done["message"]) == ("Partial", True)
        assert job_status(records, job_id).overall_status == State.PARTIAL
        assert len(runware.ledger.entries) == 12

    @pytest.mark.slow
    @pytest.mark.usefixtures("runware")
    def test_slices_are_handed_out_once_while_they_are_under_way(self, prefect: str, ads: Path) -> None:
        deploy(prefect)
        first, second = (ran(ads, "--parts", "2") for _ in range(2))
        assert [(each["part"], each["is_new"]) for each in first] == [(1, True), (2, True)]
        assert second == [{**each, "is_new": False} for each in first]
        with get_client(sync_client=True) as client:
            for each in first:
                client.delete_flow_run(UUID(each["run_id"]))


@pytest.mark.parametrize("end", ["", "/"])
def test_the_root_of_a_bucket_is_a_source(s3: S3Server, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    bucket = s3.bucket()
    Storage(bucket, s3.options).write("one.json", json.dumps(session_data(session_id="one")).encode())
    monkeypatch.setenv("ADREEL_STORAGE", f"{bucket}/ads")
    monkeypatch.setenv("ADREEL_STORAGE_OPTIONS", s3.environment["ADREEL_STORAGE_OPTIONS"])
    settings = Settings.load()
    assert check_sessions(settings, f"{bucket}{end}") == 1
    assert [session.session_id for session in read_sessions(settings, f"{bucket}{end}")] == ["one"]
