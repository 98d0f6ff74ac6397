"""The versions of records that a process has seen: bounded, and the oldest go first."""

from adreel.storage.versions import ENTRY_BYTES, MAX_RECORD_BYTES, Version, Versions


def test_the_oldest_versions_go_first() -> None:
    versions = Versions(max_bytes=3 * ENTRY_BYTES)
    for name in "abcad":
        versions.keep(name, Version(None))
    assert [name for name in "abcd" if versions.get(name)] == ["a", "c", "d"]


def test_a_version_counts_once() -> None:
    versions = Versions(max_bytes=2 * ENTRY_BYTES + 30)
    for number in range(10):
        versions.keep("a", Version(b"x" * number))
    versions.keep("b", Version(b"x" * 20))
    assert versions.get("a")
    versions.forget("a")
    versions.keep("c", Version(b"x" * 10))
    assert versions.get("b")


def test_a_large_record_is_not_kept() -> None:
    versions = Versions()
    versions.keep("a", Version(b"", "1"))
    versions.keep("a", Version(b"x" * (MAX_RECORD_BYTES + 1), "2"))
    assert versions.get("a") is None
