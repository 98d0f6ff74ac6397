"""The records in storage, which are the source of truth, and what is derived from them."""

from adreel.records.store import Records, StoredSession

__all__ = ["Records", "StoredSession"]
