"""Local paths of storages and campaign sources, with `~` and file:// URLs."""

import os
import re
from pathlib import Path
from urllib.parse import unquote


def local_path(place: str) -> str | None:
    """Return the local path of a path or a file:// URL; None for another URL.

    In a path only a leading `~` is expanded. A URL is decoded (%20).
    """
    scheme, separator, rest = place.partition("://")
    if not separator and place.lower().startswith("file:"):
        scheme, separator, rest = "file", ":", place[len("file:") :]
    if separator and scheme.lower() not in {"file", "local"}:
        return None
    path = unquote(rest.removeprefix("localhost") if rest.startswith("localhost/") else rest) if separator else place
    return os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser raises for an unknown user


def storage_place(place: str) -> str:
    """Return a storage's path or URL in normal form; ValueError for an invalid one."""
    if not place:
        raise ValueError("it is empty: name a folder or a URL, or leave the variable out")
    if re.match(r"[A-Za-z]:[\\/]", place):
        raise ValueError(f"{place!r} is a Windows path: adreel needs a local path or a URL")
    scheme, separator, rest = place.partition("://")
    path = local_path(place)
    if path is None:
        return f"{scheme.lower()}{separator}{rest}"
    if not separator and (kind := re.match(r"(s3a?|gc?s|az|abfss?|sftp|ssh|memory|https?):", place, re.IGNORECASE)):
        raise ValueError(f"{place!r} would be a local folder: a URL begins with {kind[0].lower()}//")
    if path.startswith("~"):
        raise ValueError(f"there is no home folder {path.partition('/')[0]}")
    if not path:
        raise ValueError(f"{place!r} names no folder")
    # Earlier versions took %20, and ~ in workers, literally. In another folder, their clips would be bought again.
    written = rest if separator else place
    if written != path and Path(written).exists() and not Path(path).exists():
        raise ValueError(f"{place!r} is {path}, but a folder is literally named {written}: rename it first")
    return path
