"""Opening the file system of a URL, with defaults for its kind, and hiding the secrets in URLs and options."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from adreel.errors import StorageError
from adreel.settings.paths import local_path
from adreel.storage.backend import StorageBackend

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}
EXTRAS |= {"sftp": "sftp", "ssh": "sftp"}
_BACKENDS = {
    "file": "local:LocalDisk",
    "memory": "memory:Memory",
    "s3": "s3:S3",
    "gcs": "gcs:Gcs",
    "azure": "azure:Azure",
    "sftp": "sftp:Sftp",
}
# Changes of other writers must be visible at once, so listings are not cached.
_DEFAULTS: dict[str, dict[str, Any]] = {name: {"use_listings_cache": False} for name in ("s3", "gcs", "azure")}
_DEFAULTS["s3"]["config_kwargs"] = {
    # By default botocore signs URLs with the old version, which many regions and other vendors' servers refuse.
    "signature_version": "s3v4",
    # Many vendors' servers also refuse the trailing checksums that botocore adds.
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
    "connect_timeout": 5,
    "read_timeout": 15,
    # By default ten requests share as many connections, and sixteen uploads would hold up every record.
    "max_pool_connections": 64,
}
_SECRET = re.compile(r"secret|passw|token|key|credential|connection_string|account_name", re.IGNORECASE)


def connect(url: str, options: dict[str, Any], setting: str = "ADREEL_STORAGE") -> tuple[StorageBackend, str]:
    """Open the backend of a URL; return it and the root path in it."""
    shown, extra = hide_password(url), EXTRAS.get(url.partition("://")[0])
    try:
        if (path := local_path(url)) is not None:
            # fsspec would read a::b as a chain of file systems, and would not decode %20.
            fs, root = fsspec.filesystem("file", **options), str(Path(path).absolute())
        else:
            fs, root = fsspec.core.url_to_fs(url, **_merge(_DEFAULTS.get(extra or "", {}), options))
        for protocol in [fs.protocol] if isinstance(fs.protocol, str) else fs.protocol:
            name = "file" if protocol == "local" else EXTRAS.get(protocol, protocol)
            if name in _BACKENDS:
                module, class_name = _BACKENDS[name].split(":")
                return getattr(import_module(f"adreel.storage.{module}"), class_name)(fs), root
        return StorageBackend(fs), root
    except ImportError as error:
        if extra is None:
            raise StorageError(f"{setting} is {shown!r}: {error}") from error
        raise StorageError(f"{setting} is {shown!r}: for that, pip install 'adreel[{extra}]'") from error
    except Exception as error:
        raise StorageError(f"{setting} is {shown!r}: {reason_of(error, secrets_of(url, options))}") from error


def _merge(defaults: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with the defaults, merging nested dictionaries as well."""
    merged = {
        name: _merge(defaults[name], value)
        if isinstance(value, dict) and isinstance(defaults.get(name), dict)
        else value
        for name, value in options.items()
    }
    return {**defaults, **merged}


def hide_password(url: str) -> str:
    """Return a URL with its password replaced by asterisks."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", url)


def accounts_of(options: dict[str, Any]) -> list[str]:
    """Return the endpoints and accounts in options: the same bucket elsewhere is another storage."""
    return [value for name, value in _strings_in(options) if re.search(r"endpoint_url$|account_name$", name)]


def secrets_of(url: str, options: dict[str, Any]) -> list[str]:
    """Return the secrets in a URL and its options."""
    found = [value for name, value in _strings_in(options) if _SECRET.search(name)]
    return [text for text in [*found, urlsplit(url).password] if text]


def reason_of(error: BaseException, secrets: list[str]) -> str:
    """Return the text of an error, with secrets replaced by asterisks."""
    reason = str(getattr(error, "strerror", None) or error or type(error).__name__)
    for secret in secrets:
        reason = reason.replace(secret, "***")
    return reason


def _strings_in(options: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in options.items():
        if isinstance(value, dict):
            yield from _strings_in(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield f"{prefix}{key}", value
