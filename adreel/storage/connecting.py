"""From a URL and its options to a file system and what is known of its kind."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from adreel.environment.paths import local_path
from adreel.errors import StorageError
from adreel.storage.objects import Objects

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}
EXTRAS |= {"sftp": "sftp", "ssh": "sftp"}
_KINDS = {
    "file": "local:LocalDisk",
    "memory": "memory:Memory",
    "s3": "s3:S3",
    "gs": "gcs:Gcs",
    "abfs": "azure:Azure",
    "sftp": "sftp:Sftp",
}
_ALIASES = {"local": "file", "s3a": "s3", "gcs": "gs", "az": "abfs", "abfss": "abfs", "ssh": "sftp"}
# Changes of other writers must be visible at once, so listings are not cached.
_USUAL: dict[str, dict[str, Any]] = {name: {"use_listings_cache": False} for name in ("s3", "gcs", "azure")}
_USUAL["s3"]["config_kwargs"] = {
    # By default botocore signs URLs with the old version, which many regions and other vendors' servers refuse.
    "signature_version": "s3v4",
    # Many vendors' servers also refuse the trailing checksums that botocore adds.
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
    "connect_timeout": 5,
    "read_timeout": 15,
}
_SECRET = re.compile(r"secret|passw|token|key|credential|connection_string|account_name", re.IGNORECASE)


def connect(url: str, options: dict[str, Any]) -> tuple[Objects, str]:
    """Open the file system of a URL; returns it and the root in it. StorageError says what to install or to mend."""
    shown, extra = without_password(url), EXTRAS.get(url.partition("://")[0])
    try:
        if (path := local_path(url)) is not None:
            # fsspec would read a::b as a chain of file systems, and would not decode %20.
            return _kind_of(fsspec.filesystem("file", **options)), str(Path(path).absolute())
        fs, root = fsspec.core.url_to_fs(url, **_merged(_USUAL.get(extra or "", {}), options))
        return _kind_of(fs), root
    except ImportError as error:
        if extra is None:
            raise StorageError(f"ADREEL_STORAGE is {shown!r}: {error}") from error
        raise StorageError(f"ADREEL_STORAGE is {shown!r}: for that, pip install 'adreel[{extra}]'") from error
    except Exception as error:
        raise StorageError(f"ADREEL_STORAGE is {shown!r}: {without(secrets(url, options), error)}") from error


def _merged(usual: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the options merged with the defaults; nested dictionaries are merged as well."""
    both = {
        name: _merged(usual[name], value) if isinstance(value, dict) and isinstance(usual.get(name), dict) else value
        for name, value in given.items()
    }
    return {**usual, **both}


def _kind_of(fs: Any) -> Objects:
    protocols = [fs.protocol] if isinstance(fs.protocol, str) else list(fs.protocol)
    for protocol in protocols:
        if kind := _KINDS.get(_ALIASES.get(protocol, protocol)):
            module, name = kind.split(":")
            found: Objects = getattr(import_module(f"adreel.storage.{module}"), name)(fs)
            return found
    return Objects(fs)


def without_password(url: str) -> str:
    """Return a URL as it may be shown."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", url)


def secrets(url: str, options: dict[str, Any]) -> list[str]:
    """Return what must not be shown."""
    found = [value for name, value in _leaves(options) if _SECRET.search(name)]
    return [text for text in [*found, urlsplit(url).password] if text]


def without(hidden: list[str], error: BaseException) -> str:
    """Return the reason of an error, with its secrets struck out."""
    reason = str(getattr(error, "strerror", None) or error or type(error).__name__)
    for secret in hidden:
        reason = reason.replace(secret, "***")
    return reason


def _leaves(options: dict[str, Any], name: str = "") -> Iterator[tuple[str, str]]:
    for key, value in options.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{name}{key}.")
        elif isinstance(value, str):
            yield f"{name}{key}", value
