"""Cuts on a real Prefect server: after the scenes of an ad, and alone."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from adreel.emulator import LocalRunware
from adreel.flows.cut_ad import cut_ad
from adreel.flows.generate_ad import generate_ad
from adreel.flows.generate_campaign import generate_campaign
from adreel.models.cuts import CUT_FAILED
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.records.verification import verify
from adreel.records.views import cut_views, job_view
from adreel.storage import Storage
from tests.cut.stored_ads import store_ad
from tests.factories import make_session, session_data
from tests.runs import run
from tests.test_flows import artifacts_of

pytestmark = pytest.mark.usefixtures("prefect")


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Records:
    monkeypatch.delenv("ADREEL_CUT")
    return Records(Storage("./outputs"))


def tasks_of(run_id: str) -> list[str]:
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run_id)])))
    return sorted(each.name for each in runs)


def test_an_ad_ends_with_its_cut(runware: LocalRunware, records: Records) -> None:
    records.save_session(make_session(seconds=1))
    job_id, state = run(generate_ad, session_id="ad")
    assert state.is_completed(), state.message
    [cut] = cut_views(records, "ad")
    assert (cut.state, [file.frames for file in cut.files]) == ("current", [120])
    assert "cut-ad" in tasks_of(job_id)
    shown = artifacts_of(job_id)
    assert shown["progress-ad-cut"].data == 100
    assert str(shown["cut-ad-16-9"].data).startswith("data:image/jpeg;base64,")
    assert verify(records) == []


def test_a_part_of_an_ad_has_no_cut_and_neither_has_one_that_wants_none(
    runware: LocalRunware, records: Records
) -> None:
    records.save_session(make_session(seconds=1))
    run(generate_ad, session_id="ad", scenarios=[Scenario.HOOK])
    _, state = run(generate_ad, session_id="ad", cut=False)
    assert state.is_completed()
    assert records.cuts("ad") == []


def test_a_failed_cut_leaves_a_completed_job_and_says_why(runware: LocalRunware, records: Records) -> None:
    session = make_session(seconds=1)
    records.save_session(session)
    records.update_session("ad", lambda stored: stored.model_copy(update={"cut": with_a_long_fade()}))
    job_id, state = run(generate_ad, session_id="ad")
    assert (state.is_completed(), state.name) == (True, CUT_FAILED)
    says = "The clips are stored. No finished ad was made: cut.transition: a fade of 2 s does not fit scene hook"
    assert says in (state.message or "")
    assert job_view(records, job_id).overall_status == "completed"
    assert records.cuts("ad") == []


def with_a_long_fade() -> Any:
    return make_session(cut={"transition": {"kind": "fade", "seconds": 2}}).cut


def test_the_flow_makes_a_cut_once_and_reports_what_is_missing(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, scenarios=[Scenario.HOOK], cut={"captions": False})
    _, state = run(cut_ad, session_id="ad")
    assert state.is_failed()
    assert "has no clip of problem, solution, cta" in (state.message or "")
    _, state = run(cut_ad, session_id="ad", allow_missing=True, formats=["9:16"])
    assert state.is_completed(), state.message
    [cut] = records.cuts("ad")
    assert [file.format for file in cut.files] == ["9:16"]
    _, state = run(cut_ad, session_id="ad", allow_missing=True, formats=["9:16"])
    assert state.is_completed()
    assert records.cuts("ad") == [cut]
    with get_client(sync_client=True) as client:
        assert client.read_global_concurrency_limit_by_name("cuts").active_slots == 0


@pytest.mark.slow
def test_each_ad_of_a_campaign_ends_with_its_cut(runware: LocalRunware, records: Records, tmp_path: Path) -> None:
    import json

    lines = [json.dumps(session_data(session_id=f"ad-{number}", seconds=1)) for number in range(2)]
    (tmp_path / "ads.jsonl").write_text("\n".join(lines))
    _, state = run(generate_campaign, source="ads.jsonl", cut=False)
    assert state.is_completed(), state.message
    assert records.cuts("ad-0") == []
    # The same campaign again makes what is missing.
    _, state = run(generate_campaign, source="ads.jsonl")
    assert state.is_completed(), state.message
    assert [len(records.cuts(f"ad-{number}")) for number in range(2)] == [1, 1]
