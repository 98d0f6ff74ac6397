"""Which path on this machine a storage or a campaign's source names, by one rule for all that open one."""

import os
import re
from pathlib import Path
from urllib.parse import unquote


def local_path(place: str) -> str | None:
    """Return the path that a path or a file:// URL names; None for a URL of another kind.

    A path is taken as it is, but for a `~` at its beginning; a URL may have %20 for a blank.
    """
    scheme, separator, rest = place.partition("://")
    if not separator and place.lower().startswith("file:"):
        scheme, separator, rest = "file", ":", place[len("file:") :]
    if separator and scheme.lower() not in {"file", "local"}:
        return None
    path = unquote(rest.removeprefix("localhost") if rest.startswith("localhost/") else rest) if separator else place
    return os.path.expanduser(path)  # noqa: PTH111 - Path's own raises for a user that is unknown


def storage_place(place: str) -> str:
    """Return a storage's path or URL in its one spelling; ValueError says what is wrong with it."""
    if not place:
        raise ValueError("it is empty: name a folder or a URL, or leave the variable out")
    if re.match(r"[A-Za-z]:[\\/]", place):
        raise ValueError(f"{place!r} is a path of Windows: adreel needs a path of this machine, or a URL")
    scheme, separator, rest = place.partition("://")
    path = local_path(place)
    if path is None:
        return f"{scheme.lower()}{separator}{rest}"
    if not separator and (kind := re.match(r"(s3a?|gc?s|az|abfss?|sftp|ssh|memory|https?):", place, re.IGNORECASE)):
        raise ValueError(f"{place!r} would be a folder of this machine: a URL begins with {kind[0].lower()}//")
    if path.startswith("~"):
        raise ValueError(f"nobody here has the home folder {path.partition('/')[0]}")
    if not path:
        raise ValueError(f"{place!r} names no folder")
    # Earlier versions did not read %20 and, in workers, ~: their clips must not be bought again in another place.
    written = rest if separator else place
    if written != path and Path(written).exists() and not Path(path).exists():
        raise ValueError(f"{place!r} is {path}, but there is a folder {written} by its letters: rename it first")
    return path
