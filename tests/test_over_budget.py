"""Runs that a budget refuses: they end in a state of their own, send nothing, and go on once the cap is raised."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.flows import Flow

from adreel.emulator import LocalRunware, in_thread
from adreel.errors import OverBudget
from adreel.flows import in_process
from adreel.flows.generate_ad import generate_ad
from adreel.flows.regenerate_scene import regenerate_scene
from adreel.flows.resume import resume
from adreel.purchase.jobs import end_job, start_job
from adreel.records import Records
from adreel.settings import Settings
from adreel.spend.budgets import Budgets
from adreel.storage import Storage
from tests.factories import make_session
from tests.runs import retry, run

pytestmark = pytest.mark.usefixtures("prefect")
CLIP = 6290
"""Micro-dollars of one clip of the tests, estimated and billed."""


@pytest.fixture(autouse=True)
def runware(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRunware]:
    """Run an emulator that bills the prices of the catalogue."""
    with in_thread(render_seconds=0.1) as server:
        monkeypatch.setenv("RUNWARE_URL", server.url)
        monkeypatch.setenv("RUNWARE_API_KEY", "")
        monkeypatch.setenv("ADREEL_MODEL", "bytedance:2@2")
        monkeypatch.setenv("ADREEL_SIZE", "128x72")
        yield server


@pytest.fixture
def records() -> Records:
    records = Records(Storage("./outputs"))
    records.save_session(make_session(seconds=1))
    return records


@pytest.mark.parametrize(
    ("flow", "parameters"),
    [(generate_ad, {"scenarios": ["hook", "cta"]}), (regenerate_scene, {"scenario": "hook"})],
    ids=["generate-ad", "regenerate-scene"],
)
def test_a_refused_run_continues_once_the_cap_is_raised(
    flow: Flow[..., Any], parameters: dict[str, Any], records: Records, runware: LocalRunware
) -> None:
    Budgets(records).set("all", CLIP - 1)
    job_id, state = run(flow, session_id="ad", **parameters)
    assert (state.name, state.is_failed()) == ("OverBudget", True)
    assert "is needed, and budget all has USD 0.006289 left" in (state.message or "")
    assert (records.job_ids(), list(runware.ledger.entries)) == ([], [])
    Budgets(records).set("all", 2 * CLIP)
    assert retry(flow, job_id).is_completed()
    assert records.job_ids() == [job_id]


def test_a_refused_resume_names_the_way_out_and_leaves_the_scenes_open(records: Records, runware: LocalRunware) -> None:
    job = start_job(records, Settings(), "job-1", "ad")
    end_job(records, job)
    Budgets(records).set("all", CLIP)
    _, state = run(resume, target="job-1")
    assert (state.name, list(runware.ledger.entries)) == ("OverBudget", [])
    assert "adreel budget set all" in (state.message or "")
    with pytest.raises(OverBudget) as refusal:
        in_process.resume("job-1")
    assert (refusal.value.budget, refusal.value.needed) == ("all", 4 * CLIP)
    Budgets(records).set("all", 4 * CLIP)
    assert in_process.resume("job-1").jobs[0].overall_status == "completed"


def test_a_program_gets_the_refusal_with_its_sums(records: Records) -> None:
    Budgets(records).set("all", 3 * CLIP)
    with pytest.raises(OverBudget) as refusal:
        in_process.generate("ad")
    assert (refusal.value.needed, refusal.value.left) == (4 * CLIP, 3 * CLIP)
    assert refusal.value.next == ("adreel budget set all 0.03",)
