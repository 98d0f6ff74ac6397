"""The requests of an ad, a page and a command to an object store, counted by its server."""

import pytest

from adreel.emulator import LocalRunware
from adreel.flows.generate_ad import generate_ad
from adreel.records import Records
from adreel.settings import Settings
from adreel.storage import Storage
from tests.factories import make_session
from tests.storage.counting import counted
from tests.storage.servers import KEY, S3Server


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
    with counted(s3) as requests:
        generate_ad("Lamp")
    assert requests.total() <= 45, requests.paths
