"""Google Cloud Storage: conditional puts by generation."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from google.api_core.exceptions import NotFound, PreconditionFailed, RetryError
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import SSLError, Timeout

from adreel.storage.backend import too_large
from adreel.storage.object_store import ObjectStore
from adreel.storage.versions import Version

CHUNK_BYTES = 8 * 1024 * 1024
CONNECTIONS = 64
"""Maximum number of connections: one for each thread that reads records. The client keeps ten by default."""
TIMEOUT = (5, 15)
"""Seconds to connect, and without data."""
WRITE_ID = "adreel-write"
"""Metadata key of a record that identifies the put that wrote it."""
RETRY = DEFAULT_RETRY.with_timeout(2)
"""The storage itself retries for longer."""


class Gcs(ObjectStore):
    """The objects of a bucket. gcsfs reads clips; Google's client, which supports generations, does the rest."""

    absent_tag = "1"

    def __init__(self, fs: Any) -> None:
        super().__init__(fs)
        # For traces that nobody collects, the client would ask for the bucket now and then, which needs a right more.
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
        self._client = Client(
            project=fs.project or "none",
            credentials=fs.credentials.credentials or AnonymousCredentials(),
            client_options={"api_endpoint": fs._endpoint},
        )
        for scheme in ("https://", "http://"):
            self._client._http.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))

    def get_version(self, path: str, most: int) -> tuple[Version, str]:
        blob = self._blob(path)
        try:
            with _builtin_errors():
                content = blob.download_as_bytes(timeout=TIMEOUT, retry=RETRY)
        except NotFound as error:
            raise FileNotFoundError(path) from error
        if len(content) > most:
            raise too_large(most)
        return Version(content, str(blob.generation)), ""

    def put_version(self, path: str, old: Version, new: bytes, write_id: str) -> str | None:
        blob = self._blob(path)
        blob.metadata = {WRITE_ID: write_id}
        generation = 0 if old.content is None else int(old.etag)
        try:
            with _builtin_errors():
                blob.upload_from_string(new, if_generation_match=generation, timeout=TIMEOUT, retry=RETRY)
        except PreconditionFailed:
            return None
        return str(blob.generation)

    def write_id_of(self, path: str, version: Version) -> str:
        if version.content is None:
            return ""
        blob = self._blob(path)
        try:
            with _builtin_errors():
                blob.reload(if_generation_match=int(version.etag), timeout=TIMEOUT, retry=RETRY)
        except (NotFound, PreconditionFailed):
            return ""  # Another writer has replaced it.
        return str((blob.metadata or {}).get(WRITE_ID, ""))

    def names(self, path: str) -> list[str]:
        return self._list(path, delimiter="/")

    def files(self, path: str) -> list[str]:
        return self._list(path)

    def _list(self, path: str, **options: str) -> list[str]:
        """List what is below a folder, thousands of names per request."""
        bucket, key, _ = self.fs.split_path(path)
        options["prefix"] = f"{key}/" if key else ""
        with _builtin_errors():
            blobs = self._client.list_blobs(bucket, timeout=TIMEOUT, retry=RETRY, **options)
            names = [blob.name for blob in blobs]
        return [f"{bucket}/{name}" for name in (*names, *blobs.prefixes)]

    def publish(self, source: Path, path: str) -> bool:
        try:
            with _builtin_errors():
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


@contextmanager
def _builtin_errors() -> Iterator[None]:
    """Raise broken connections and timeouts as Python's own errors, which are outages of the storage."""
    try:
        yield
    except SSLError:
        raise
    except (RequestsConnectionError, Timeout, RetryError) as error:
        cause = getattr(error, "cause", None) or error
        if isinstance(cause, SSLError):
            raise cause from error
        raise ConnectionError(str(cause)) from cause
