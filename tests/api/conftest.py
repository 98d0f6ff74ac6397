"""Servers for the tests of the API."""

from collections.abc import Iterator

import httpx
import pytest

from tests.api.serving import served


@pytest.fixture
def api(records: object) -> Iterator[httpx.Client]:
    """Serve the test's storage without keys, and with no Prefect in reach."""
    with served() as client:
        yield client
