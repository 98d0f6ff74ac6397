"""Servers for the tests of the API."""

from collections.abc import Iterator

import httpx
import pytest

from adreel.records import Records
from tests.api.serving import KEYS, served
from tests.factories import make_session


@pytest.fixture
def api(records: object) -> Iterator[httpx.Client]:
    """Serve the test's storage without keys, and with no Prefect in reach."""
    with served() as client:
        yield client


@pytest.fixture
def guarded(records: Records, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """Serve with two keys."""
    records.save_session(make_session())
    monkeypatch.setenv("ADREEL_API_KEYS", KEYS)
    with served() as client:
        yield client
