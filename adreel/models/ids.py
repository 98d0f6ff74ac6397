"""Ids that follow from what they name, so that every run computes the same one."""

from hashlib import sha256
from uuid import UUID


def derived_uuid(*parts: str | int) -> UUID:
    """Return the UUID of `parts`: the first 16 bytes of their SHA-256, shaped as a v4."""
    return UUID(bytes=sha256("/".join(map(str, parts)).encode()).digest()[:16], version=4)
