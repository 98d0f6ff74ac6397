"""Fixtures of the storage tests."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from adreel.records import Records
from adreel.storage import Storage
from tests.storage.servers import S3Server


@pytest.fixture(params=["local", "memory", "s3"])
def open_records(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Records]:
    """Open the records of one storage anew at each call, as separate processes do."""
    match request.param:
        case "local":
            return lambda: Records(Storage(str(tmp_path / "outputs")))
        case "memory":
            url = f"memory://{uuid4().hex}"
            return lambda: Records(Storage(url))
    s3: S3Server = request.getfixturevalue("s3")
    bucket = s3.bucket()
    return lambda: Records(Storage(bucket, s3.options))
