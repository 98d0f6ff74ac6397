"""Each test gets an empty folder and no settings of the machine; those that ask for it, a real Prefect server."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from adreel.records import Records
from adreel.storage import Storage


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("RUNWARE_", "ADREEL_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Give a storage in an empty folder on the local disk."""
    return Storage(str(tmp_path / "outputs"))


@pytest.fixture
def records(storage: Storage) -> Records:
    """Give the records of that storage."""
    return Records(storage)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """Run Prefect's server for all tests of a worker and return its address."""
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    # At its end a flow waits up to a second for the thread of its heartbeat.
    without_heartbeat = temporary_settings(updates={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with without_heartbeat, prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())
