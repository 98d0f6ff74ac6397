"""`verify` finds each broken promise of a storage, and nothing in a good one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from adreel.media import sha256_of
from adreel.records import Records
from adreel.scenarios import Scenario
from adreel.storage import Storage
from adreel.takes import Choices, Job
from adreel.verification import verify
from tests.factories import NOW, make_session, make_take

TAKE = "sessions/ad/takes/hook/job-1.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A storage with one session, one job, and one stored take that a person has chosen."""
    records = Records(Storage(str(tmp_path / "outputs")))
    records.save_session(make_session())
    records.save_job(Job(job_id="job-1", session_id="ad", scenarios=[Scenario.HOOK], created_at=NOW))
    take = make_take()
    assert take.clip is not None
    clip = tmp_path / "outputs" / take.clip.file
    clip.write_bytes(b"the clip")
    clip.with_suffix(".jpg").write_bytes(b"the poster")
    with clip.open("rb") as stream:
        take.clip.sha256 = sha256_of(stream)
    records.save_take(take)
    records.save_choices("ad", Choices(takes={Scenario.HOOK: "job-1"}))
    return tmp_path / "outputs"


def found(root: Path) -> set[tuple[str, str]]:
    findings = verify(Records(Storage(str(root))))
    return {(finding.kind, finding.path.split("/")[-1].split(".")[-1]) for finding in findings}


def test_a_good_storage_has_no_findings(root: Path) -> None:
    assert found(root) == set()


def test_an_empty_storage_has_no_findings(tmp_path: Path) -> None:
    assert verify(Records(Storage(str(tmp_path / "nothing")))) == []


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lambda root: next(root.glob("*.mp4")).unlink(), {("missing", "mp4")}),
        (lambda root: next(root.glob("*.jpg")).unlink(), {("missing", "jpg")}),
        (lambda root: next(root.glob("*.mp4")).write_bytes(b"another"), {("changed", "mp4")}),
        (lambda root: (root / "stranger.mp4").write_bytes(b""), {("orphan", "mp4")}),
        (lambda root: (root / TAKE).unlink(), {("orphan", "mp4"), ("orphan", "jpg"), ("dangling", "json")}),
        (
            lambda root: (root / TAKE).write_text("{"),
            {("unreadable", "json"), ("orphan", "mp4"), ("orphan", "jpg"), ("dangling", "json")},
        ),
        (lambda root: (root / "jobs/job-1.json").unlink(), {("jobless", "json")}),
        (lambda root: (root / "jobs/job-1.json").write_text("[]"), {("unreadable", "json")}),
        (lambda root: (root / "sessions/ad/session.json").unlink(), {("missing", "json")}),
        (lambda root: (root / "sessions/ad/current.json").write_text("no"), {("unreadable", "json")}),
        (
            lambda root: (root / TAKE).rename(root / TAKE.replace("job-1", "job-2")),
            {("misplaced", "json")},
        ),
    ],
    ids=[
        "clip gone",
        "poster gone",
        "clip changed",
        "file of a stranger",
        "take gone",
        "take torn",
        "job gone",
        "job of another kind",
        "session gone",
        "choices torn",
        "take renamed",
    ],
)
def test_each_harm_is_found_and_named(
    root: Path, harm: Callable[[Path], object], expected: set[tuple[str, str]]
) -> None:
    harm(root)
    assert found(root) == expected
