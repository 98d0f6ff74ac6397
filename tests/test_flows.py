"""The flows on a real Prefect server, with the emulator's ledger as the witness."""

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import Artifact, TaskRun

from adreel.emulator import LocalRunware
from adreel.flows.generate_ad import generate_ad
from adreel.flows.regenerate_scene import regenerate_scene
from adreel.flows.resume import resume
from adreel.models.api import State as SceneState
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneChanges
from adreel.purchase.jobs import start_job
from adreel.records import Records
from adreel.records.views import current_take, job_status, words_of
from adreel.settings import Settings
from adreel.storage import Storage
from tests.factories import make_session, session_data, write_image
from tests.runs import retry, run
from tests.slots import free_slots
from tests.workers import until

pytestmark = pytest.mark.usefixtures("prefect")


@pytest.fixture
def records() -> Records:
    records = Records(Storage("./outputs"))
    records.save_session(make_session(session_id="Lamp_1", seconds=1))
    return records


def scenarios_bought(server: LocalRunware) -> list[str]:
    return sorted(str(entry.scenario) for entry in server.ledger.entries)


def task_runs(job_id: str) -> list[TaskRun]:
    runs = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(job_id)]))
    with get_client(sync_client=True) as client:
        return client.read_task_runs(flow_run_filter=runs)


def artifacts_of(job_id: str) -> dict[str | None, Artifact]:
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(job_id)]))
    with get_client(sync_client=True) as client:
        return {artifact.key: artifact for artifact in client.read_artifacts(artifact_filter=of_run)}


def progress_told(scene: str) -> list[str | None]:
    of_scene = ArtifactFilter(key=ArtifactFilterKey(any_=[f"progress-{scene}"]))
    with get_client(sync_client=True) as client:
        return [artifact.description for artifact in client.read_artifacts(artifact_filter=of_scene)]


def test_four_scenes_are_bought_side_by_side_over_one_connection(runware: LocalRunware, records: Records) -> None:
    job_id, state = run(generate_ad, session_id="Lamp_1")
    assert state.is_completed(), state.message
    assert scenarios_bought(runware) == ["cta", "hook", "problem", "solution"]
    assert runware.ledger.counters.connections == 1
    assert job_status(records, job_id).overall_status == SceneState.COMPLETED


def test_runs_carry_the_names_that_people_look_for(runware: LocalRunware, records: Records) -> None:
    job_id, _ = run(generate_ad, session_id="Lamp_1", scenarios=[Scenario.HOOK])
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(UUID(job_id)).name == "ad-Lamp_1"
    assert {each.name for each in task_runs(job_id)} <= {"scene-hook"}


def test_the_ui_gets_progress_posters_and_a_summary_with_cost(runware: LocalRunware, records: Records) -> None:
    job_id, _ = run(generate_ad, session_id="Lamp_1", scenarios=[Scenario.CTA])
    artifacts = artifacts_of(job_id)
    assert artifacts["progress-lamp-1-cta"].data == 100
    assert str(artifacts["poster-lamp-1-cta"].data).startswith("data:image/jpeg;base64,")
    assert "USD 0.05" in str(artifacts["job-summary"].data)


def test_the_ui_links_to_the_ad_and_its_clips_where_browsers_find_them(
    runware: LocalRunware, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADREEL_PUBLIC_URL", "https://ads.example/")
    runware.inject("contentPolicy:solution")
    job_id, _ = run(generate_ad, session_id="Lamp_1", scenarios=[Scenario.SOLUTION, Scenario.CTA])
    clip = f"https://ads.example{job_status(records, job_id).scenes[1].video_url}"
    shown = artifacts_of(job_id)
    assert f"]({clip})" in str(shown["poster-lamp-1-cta"].description)
    assert str(shown["job-summary"].description).endswith(f"USD 0.05. Clips: [cta]({clip})")
    page = "[Lamp_1](https://ads.example/sessions/Lamp_1)"
    assert str(shown["job-summary"].description).startswith(f"Session {page}: partial")
    assert clip in str(shown["job-summary"].data)


def test_a_scene_that_waits_for_a_slot_says_so_until_it_has_one(
    runware: LocalRunware, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adreel.tasks.slots.NOTICE_SECONDS", 0.1)
    with get_client(sync_client=True) as client:
        client.update_global_concurrency_limit("runware", GlobalConcurrencyLimitUpdate(active_slots=4))
    waits = "Scene hook: waits for a slot of 'runware'"
    with ThreadPoolExecutor() as threads:
        ending = threads.submit(copy_context().run, run, generate_ad, session_id="Lamp_1", scenarios=[Scenario.HOOK])
        try:
            until(lambda: waits in progress_told("lamp-1-hook"), "a word about the wait")
        finally:
            free_slots()
        job_id, state = ending.result()
    assert state.is_completed(), state.message
    assert artifacts_of(job_id)["progress-lamp-1-hook"].description == "Scene hook"


def test_other_systems_are_told_of_each_scene_and_of_the_end(runware: LocalRunware, records: Records) -> None:
    runware.inject("contentPolicy:solution")
    job_id, _ = run(generate_ad, session_id="Lamp_1", scenarios=[Scenario.HOOK, Scenario.SOLUTION])
    names = ["adreel.scene.stored", "adreel.scene.failed", "adreel.job.finished"]

    def told() -> dict[str, dict[str, Any]] | None:
        with get_client(sync_client=True) as client:
            asked = {"filter": {"event": {"name": names}}}
            events = client.request("POST", "/events/filter", json=asked).json()["events"]
        payloads = {event["event"]: event["payload"] for event in events if event["payload"]["job_id"] == job_id}
        return payloads if len(payloads) == 3 else None

    stored, failed, finished = map(until(told, "three events").__getitem__, names)
    assert stored["video_url"] == job_status(records, job_id).scenes[0].video_url
    assert (stored["scenario"], stored["cost"], stored["duration"]) == ("hook", 0.05, pytest.approx(1, abs=0.1))
    assert (failed["scenario"], failed["session_id"]) == ("solution", "Lamp_1")
    assert failed["error"] == finished["scenes"][1]["error"]
    assert finished["overall_status"] == "partial"


def test_a_job_with_one_failed_scene_ends_as_partial_and_names_it(runware: LocalRunware, records: Records) -> None:
    runware.inject("contentPolicy:solution")
    job_id, state = run(generate_ad, session_id="Lamp_1")
    assert (state.name, state.is_failed()) == ("Partial", True)
    assert "scene solution" in (state.message or "")
    assert job_status(records, job_id).overall_status == SceneState.PARTIAL


def test_retry_after_credits_were_added_buys_only_what_is_missing(runware: LocalRunware, records: Records) -> None:
    runware.inject("insufficientCredits:solutionx1")
    job_id, state = run(generate_ad, session_id="Lamp_1")
    # The refusal keeps back the scenes that are not sent yet: none, some, or all others.
    assert state.is_failed()
    clips = records.storage.names("")
    again = retry(generate_ad, job_id)
    assert again.is_completed(), again.message
    assert scenarios_bought(runware) == ["cta", "hook", "problem", "solution"]
    assert set(clips) < set(records.storage.names(""))


def test_retry_after_a_provider_s_failure_buys_one_more_attempt(
    runware: LocalRunware, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADREEL_ATTEMPTS", "1")
    runware.inject("providerTimeout:hookx1")
    job_id, state = run(generate_ad, session_id="Lamp_1")
    assert state.name == "Partial"
    assert retry(generate_ad, job_id).is_completed()
    assert scenarios_bought(runware) == ["cta", "hook", "hook", "problem", "solution"]


def test_a_provider_s_failure_is_retried_by_itself_within_the_allowed_attempts(
    runware: LocalRunware, records: Records
) -> None:
    runware.inject("providerTimeout:hookx1")
    job_id, state = run(generate_ad, session_id="Lamp_1", scenarios=[Scenario.HOOK])
    assert state.is_completed(), state.message
    take = records.take("Lamp_1", Scenario.HOOK, job_id)
    assert take is not None
    assert [attempt.state for attempt in take.attempts] == ["failed", "stored"]


def test_retry_of_a_completed_run_buys_and_writes_nothing(runware: LocalRunware, records: Records) -> None:
    job_id, _ = run(generate_ad, session_id="Lamp_1")
    before = records.takes("Lamp_1", Scenario.HOOK)
    assert retry(generate_ad, job_id).is_completed()
    assert len(runware.ledger.entries) == 4
    assert records.takes("Lamp_1", Scenario.HOOK) == before


def test_regenerate_adds_a_take_and_leaves_every_other_file_as_it_was(runware: LocalRunware, records: Records) -> None:
    run(generate_ad, session_id="Lamp_1")
    before = _contents(records)
    job_id, state = run(
        regenerate_scene,
        session_id="Lamp_1",
        scenario=Scenario.HOOK,
        changes=SceneChanges(visual_description="another hook"),
    )
    assert state.is_completed(), state.message
    after = _contents(records)
    assert {path: after[path] for path in before} == before
    takes = records.takes("Lamp_1", Scenario.HOOK)
    assert [words_of(take) for take in takes] == ["a lamp in the hook", "another hook"]
    current = current_take(takes, records.choices("Lamp_1"))
    assert current is not None
    assert current.job_id == job_id
    new = {path for path in after if path not in before}
    assert len(new) == 4, new  # the clip, its poster, its take, its job


def test_a_job_that_cannot_start_says_why_and_records_nothing(runware: LocalRunware, records: Records) -> None:
    job_id, state = run(generate_ad, session_id="nobody")
    assert state.is_failed()
    assert "no session 'nobody'" in (state.message or "")
    assert records.job(job_id) is None


def test_parameters_name_no_file_of_the_machine_that_runs_them(
    runware: LocalRunware, records: Records, tmp_path: Path
) -> None:
    image = str(write_image(tmp_path / "private.png"))
    data = session_data(session_id="sent", seconds=1)
    data["scene_descriptions"][0]["first_frame"] = image
    changes = SceneChanges(first_frame=image)
    for job_id, state in (
        run(generate_ad, session=data),
        run(regenerate_scene, session_id="Lamp_1", scenario=Scenario.HOOK, changes=changes),
    ):
        assert state.is_failed()
        assert "scene hook: first_frame" in (state.message or "")
        assert "is not an https URL" in (state.message or "")
        assert records.job(job_id) is None
    assert runware.ledger.submits == {}


def test_the_key_may_lie_in_a_secret_block(
    runware: LocalRunware, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    from prefect.blocks.system import Secret

    from adreel.tasks.credentials import load_settings

    monkeypatch.delenv("RUNWARE_API_KEY")
    Secret(value="from-the-block").save("runware-api-key", overwrite=True)
    try:
        assert asyncio.run(load_settings()).key == "from-the-block"
        monkeypatch.setenv("RUNWARE_API_KEY", "")
        assert asyncio.run(load_settings()).is_local
    finally:
        Secret.delete("runware-api-key")


def test_the_slots_are_free_after_a_job(runware: LocalRunware, records: Records) -> None:
    run(generate_ad, session_id="Lamp_1")
    with get_client(sync_client=True) as client:
        limit = client.read_global_concurrency_limit_by_name("runware")
    assert limit.active_slots == 0


def _contents(records: Records) -> dict[str, bytes]:
    """Return the files of the storage, but not the feed of changes, which is written in the background."""
    root = Path(records.storage.location(""))
    files = [path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0] != "changes"]
    return {str(path): path.read_bytes() for path in files}


def test_resume_brings_home_what_is_open_and_then_has_nothing_to_do(
    runware: LocalRunware, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADREEL_DEADLINE", "0.1")
    job_id, state = run(generate_ad, session_id="Lamp_1")
    assert "still rendering" in (state.message or "")
    monkeypatch.setenv("ADREEL_DEADLINE", "60")
    _, resumed = run(resume, target="Lamp_1")
    assert resumed.is_completed(), resumed.message
    assert scenarios_bought(runware) == ["cta", "hook", "problem", "solution"]
    assert job_status(records, job_id).overall_status == SceneState.COMPLETED
    before, submits = _contents(records), dict(runware.ledger.submits)
    assert run(resume, target=job_id)[1].is_completed()
    assert _contents(records) == before
    assert dict(runware.ledger.submits) == submits


def test_resume_leaves_a_scene_alone_that_failed_for_good(runware: LocalRunware, records: Records) -> None:
    runware.inject("contentPolicy:solution")
    run(generate_ad, session_id="Lamp_1")
    assert run(resume, target="all")[1].is_completed()
    assert len(runware.ledger.entries) == 4


def test_resume_of_all_serves_the_jobs_beside_a_broken_record_and_names_it(
    runware: LocalRunware, records: Records
) -> None:
    for job_id in ("good", "torn"):
        start_job(records, Settings.load(), job_id, "Lamp_1", scenarios=[Scenario.HOOK])
    torn = Path(records.storage.location("jobs/torn.json"))
    torn.write_bytes(torn.read_bytes()[:50])
    _, state = run(resume)
    assert state.name == "Partial"
    assert f"{torn} is not a valid record" in (state.message or "")
    assert scenarios_bought(runware) == ["hook"]
    assert job_status(records, "good").overall_status == SceneState.COMPLETED
    assert torn.stat().st_size == 50
