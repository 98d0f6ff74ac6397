"""The storage contract on each backend that the development packages can run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from adreel.storage import Storage
from tests.storage.contract import OpenStorage, StorageContract
from tests.storage.servers import S3Server


class TestLocalDisk(StorageContract):
    @pytest.fixture
    def open_storage(self, tmp_path: Path) -> OpenStorage:
        return lambda: Storage(str(tmp_path / "outputs"))


class TestMemory(StorageContract):
    @pytest.fixture
    def open_storage(self) -> Iterator[OpenStorage]:
        url = f"memory://{uuid4().hex}"
        yield lambda: Storage(url)
        storage = Storage(url)
        if storage.fs.exists(storage.root):
            storage.fs.rm(storage.root, recursive=True)


class TestS3(StorageContract):
    @pytest.fixture
    def open_storage(self, s3: S3Server) -> OpenStorage:
        url = s3.bucket()
        return lambda: Storage(url, s3.options)


class TestS3UnderAPrefix(TestS3):
    large = 9_000_000

    @pytest.fixture
    def open_storage(self, s3: S3Server) -> OpenStorage:
        url = f"{s3.bucket()}/ads/2026"
        return lambda: Storage(url, s3.options)


class TestSftp(StorageContract):
    # Not by the standard: OpenSSH links, asyncssh's server looks and renames.
    exclusive = False
    conditional = False

    @pytest.fixture
    def open_storage(self, sftp_options: dict[str, Any]) -> OpenStorage:
        url = f"sftp://127.0.0.1/{uuid4().hex}"
        return lambda: Storage(url, sftp_options)
