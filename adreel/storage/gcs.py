"""Google Cloud Storage: conditional puts by generation."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from adreel.storage.backend import Change, StorageBackend

CHUNK_BYTES = 8 * 1024 * 1024
MAX_TRIES = 100


class Gcs(StorageBackend):
    """The objects of a bucket. gcsfs reads them; Google's client, which supports generations, writes them."""

    conditional = True
    concurrent = True
    atomic = True

    def __init__(self, fs: Any) -> None:
        super().__init__(fs)
        self._client = Client(
            project=fs.project or "none",
            credentials=fs.credentials.credentials or AnonymousCredentials(),
            client_options={"api_endpoint": fs._endpoint},
        )

    def update(self, path: str, change: Change) -> bytes | None:
        for _ in range(MAX_TRIES):
            blob = self._blob(path)
            try:
                old: bytes | None = blob.download_as_bytes()
            except NotFound:
                old = None
            new = change(old)
            if new is None:
                return old
            try:
                blob.upload_from_string(new, if_generation_match=blob.generation if old is not None else 0)
            except PreconditionFailed:
                continue
            return new
        raise BlockingIOError("other writers kept changing it")

    def publish(self, source: Path, path: str) -> bool:
        try:
            self._blob(path, chunk_size=CHUNK_BYTES).upload_from_filename(str(source), if_generation_match=0)
        except PreconditionFailed:
            return False
        return True

    def sign(self, path: str, seconds: int) -> str | None:
        try:
            return str(self._blob(path).generate_signed_url(version="v4", expiration=timedelta(seconds=seconds)))
        except AttributeError:
            return None  # The credentials have no key to sign with.

    def _blob(self, path: str, **options: Any) -> Any:
        bucket, key, _ = self.fs.split_path(path)
        return self._client.bucket(bucket).blob(key, **options)
