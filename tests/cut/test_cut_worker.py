"""Cuts of a worker: cancelled and killed while they are rendered."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.states import Cancelling

from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.records.verification import verify
from adreel.storage import Storage
from tests import workers
from tests.cut.stored_ads import store_ad, store_clip
from tests.workers import deploy, ended, kill_run, start, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect")]
RENDER = "adreel.cut.render.child"


@pytest.fixture
def records(prefect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    """Run a worker, and store an ad whose render takes a minute: long, and enlarged to Full HD."""
    monkeypatch.setenv("ADREEL_STORAGE", str(tmp_path / "outputs"))
    records = Records(Storage(str(tmp_path / "outputs")))
    store_ad(records, tmp_path, scenarios=[], cut={"captions": False, "formats": ["9:16", "16:9"]})
    for scenario in Scenario:
        store_clip(records, tmp_path, scenario, job_id=f"job-{scenario}", seconds=10, size=(1920, 1080))
    deploy(prefect)
    with workers.worker():
        yield records


def busy_render() -> psutil.Process | None:
    """Return the render process of this test once it has worked for a second; an inspection is over sooner."""
    for process in psutil.process_iter(["cmdline", "cpu_times"]):
        if RENDER in " ".join(process.info["cmdline"] or ()) and process.info["cpu_times"].user > 1:
            return process
    return None


def test_a_cancel_ends_the_render_within_five_seconds(records: Records) -> None:
    run_id = start("cut-ad/cut-ad", session_id="ad")
    render = until(busy_render, "the render")
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, Cancelling())
    render.wait(timeout=5)
    assert ended(run_id).state_name == "Cancelled"
    assert records.cuts("ad") == []
    assert verify(records) == []


def test_a_killed_run_takes_its_render_along(records: Records) -> None:
    run_id = start("cut-ad/cut-ad", session_id="ad")
    render = until(busy_render, "the render")
    kill_run(run_id)
    render.wait(timeout=5)
    assert records.cuts("ad") == []
    assert verify(records) == []
