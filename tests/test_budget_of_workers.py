"""A campaign of two workers under one budget, of which one is killed: whole ads only, and as many as the cap pays."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled

from adreel.campaigns import campaign_job_id
from adreel.emulator import LocalRunware, in_thread
from adreel.models.scenarios import Scenario
from adreel.models.takes import task_uuid
from adreel.records import Records
from adreel.records.verification import verify
from adreel.spend.budgets import Budgets
from adreel.storage import Storage
from tests.factories import session_data
from tests.workers import deploy, ended, kill_run, prefect_server, start, state_name, until, worker

pytestmark = pytest.mark.slow
ADS, PAID_ADS = 100, 37
CLIP = 6290
"""Micro-dollars of one clip of the test, estimated and billed."""


@pytest.fixture
def runware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRunware]:
    """Run an emulator that bills the prices of the catalogue, and a server without workers."""
    with in_thread(render_seconds=1.0) as provider, prefect_server(tmp_path / "prefect") as url:
        for name, value in {
            "PREFECT_API_URL": url,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "RUNWARE_URL": provider.url,
            "RUNWARE_API_KEY": "",
            "ADREEL_STORAGE": str(tmp_path / "outputs"),
            "ADREEL_MODEL": "bytedance:2@2",
            "ADREEL_SIZE": "128x72",
        }.items():
            monkeypatch.setenv(name, value)
        deploy(url)
        with temporary_settings(updates={PREFECT_API_URL: url}):
            free_slots()
            yield provider


def free_slots() -> None:
    """Give the limit a slot for each scene of both windows, all free, as when the leases of a killed run have ended."""
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name("runware", 64)
        client.update_global_concurrency_limit("runware", GlobalConcurrencyLimitUpdate(active_slots=0))


def test_two_workers_of_which_one_is_killed_buy_whole_ads_up_to_the_cap(runware: LocalRunware, tmp_path: Path) -> None:
    sessions = [{**session_data(seconds=1), "session_id": f"ad-{number}"} for number in range(ADS)]
    source = tmp_path / "spring.jsonl"
    source.write_text("\n".join(map(json.dumps, sessions)))
    records = Records(Storage(os.environ["ADREEL_STORAGE"]))
    Budgets(records).set("campaign:spring", (PAID_ADS + 1) * 4 * CLIP - 1)

    def start_part(part: int) -> UUID:
        return start("generate-campaign/generate-campaign", source=str(source), part=part, parts=2, window=24)

    with worker("one", "--limit", "1") as first:
        killed = start_part(1)
        until(lambda: state_name(killed) == "Running", "the first part")
        with worker("two", "--limit", "1"):
            other = start_part(2)
            until(lambda: len(runware.ledger.entries) > PAID_ADS, "some purchases of both")
            os.kill(first.pid, signal.SIGKILL)
            kill_run(killed)
            free_slots()
            assert ended(other).state_name == "OverBudget"
            with get_client(sync_client=True) as client:
                client.set_flow_run_state(killed, Scheduled(name="AwaitingRetry"), force=True)
            assert ended(killed).state_name == "OverBudget"
    scenes = Counter(owner_of(entry.uuid) for entry in runware.ledger.entries)
    assert (len(runware.ledger.entries), len(scenes), set(scenes.values())) == (4 * PAID_ADS, PAID_ADS, {4})
    [view] = Budgets(records).views()
    assert (view.spent, view.held) == (4 * PAID_ADS * CLIP, 0)
    assert verify(records) == []


def owner_of(uuid: str) -> str:
    """Return the session of a task of the campaign."""
    for number in range(ADS):
        job_id = campaign_job_id("spring", f"ad-{number}")
        with suppress(ValueError):
            [str(task_uuid(job_id, scenario, 1)) for scenario in Scenario].index(uuid.lower())
            return f"ad-{number}"
    raise AssertionError(f"task {uuid} is of no ad of the campaign")
