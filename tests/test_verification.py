"""`verify` finds each broken promise of a storage, and nothing in a good one."""

import os
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Lock
from weakref import finalize

import pytest

from adreel.models.parts import Part
from adreel.models.scenarios import Scenario
from adreel.models.takes import Choices, Job, Take, utc_now
from adreel.records import Records
from adreel.records.files import AnyRecord
from adreel.records.store import READERS
from adreel.records.verification import verify
from adreel.storage import Storage
from adreel.storage.media import sha256_of
from tests.factories import NOW, make_session, make_take, save_choices, save_job

TAKE = "sessions/ad/takes/hook/job-1.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A storage with one session, one job, and one stored take that a person has chosen."""
    records = Records(Storage(str(tmp_path / "outputs")))
    records.save_session(make_session())
    save_job(records, Job(job_id="job-1", session_id="ad", scenarios=[Scenario.HOOK], created_at=NOW))
    take = make_take()
    assert take.clip is not None
    clip = tmp_path / "outputs" / take.clip.file
    clip.write_bytes(b"the clip")
    clip.with_suffix(".jpg").write_bytes(b"the poster")
    with clip.open("rb") as stream:
        take.clip.sha256 = sha256_of(stream)
    records.save_take(take)
    save_choices(records, "ad", Choices(takes={Scenario.HOOK: "job-1"}))
    return tmp_path / "outputs"


def abandon(path: Path, *, hours: float = 25) -> None:
    """Leave a file as a run that was killed so long ago has left it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    then = (utc_now() - timedelta(hours=hours)).timestamp()
    os.utime(path, (then, then))
    os.utime(path.parent, (then, then))


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def clip(root: Path) -> Path:
    take = Records(Storage(str(root))).take("ad", Scenario.HOOK, "job-1")
    assert take is not None
    assert take.clip is not None
    return root / take.clip.file


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
        (lambda root: next(root.glob("*.jpg")).unlink(), set()),
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
            {("unreadable", "json"), ("orphan", "mp4"), ("orphan", "jpg"), ("dangling", "json")},
        ),
        (
            lambda root: [(root / TAKE).unlink(), (root / TAKE).parent.rmdir(), (root / TAKE).parent.write_text("")],
            {("unreadable", "hook"), ("orphan", "mp4"), ("orphan", "jpg"), ("dangling", "json")},
        ),
        (lambda root: make_folder(clip(root)), {("unreadable", "mp4")}),
        (lambda root: abandon(root / ".tmp/0f3a/ad_hook_1.mp4"), {("leftover", "0f3a")}),
        (lambda root: abandon(root / f"jobs/.job-1.json.{'0' * 32}"), {("leftover", "0" * 32)}),
        (lambda root: abandon(root / f"sessions/ad/takes/cta/.job-1.json.{'f' * 32}"), {("leftover", "f" * 32)}),
    ],
    ids=[
        "clip gone",
        "no poster yet",
        "clip changed",
        "file of a stranger",
        "take gone",
        "take torn",
        "job gone",
        "job of another kind",
        "session gone",
        "choices torn",
        "take renamed",
        "folder of takes is a file",
        "clip is a folder",
        "a killed download",
        "a killed write of a job",
        "a killed write of a take",
    ],
)
def test_each_harm_is_found_and_named(
    root: Path, harm: Callable[[Path], object], expected: set[tuple[str, str]]
) -> None:
    harm(root)
    assert found(root) == expected


@pytest.mark.parametrize(
    "path", [".tmp/0f3a/ad_hook_1.mp4", f"jobs/.job-1.json.{'0' * 32}"], ids=["download", "record"]
)
def test_what_a_run_may_still_be_writing_is_not_called_left_over(root: Path, path: str) -> None:
    abandon(root / path, hours=23)
    assert found(root) == set()


@pytest.mark.parametrize("path", ["jobs/.notes.json", ".nfs000001", "sessions/ad/.job-1.json.swp"])
def test_other_people_s_hidden_files_are_not_called_left_over(root: Path, path: str) -> None:
    abandon(root / path)
    assert found(root) == set()


def test_a_leftover_is_named_with_the_way_out(root: Path) -> None:
    abandon(root / ".tmp/0f3a/ad_hook_1.mp4")
    [finding] = verify(Records(Storage(str(root))))
    assert finding.path == ".tmp/0f3a"
    assert "`adreel resume --all`" in finding.message


def test_what_a_killed_write_really_leaves_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_paths: object) -> None:
        raise SystemExit

    storage = Storage(str(root))
    with monkeypatch.context() as during:
        during.setattr(os, "replace", dies)
        during.setattr(Path, "unlink", lambda *_args, **_options: None)
        with pytest.raises(SystemExit):
            storage.write("jobs/job-1.json", b"new")
    assert found(root) == set()
    [left] = root.glob("jobs/.*")
    abandon(left)
    assert {kind for kind, _ in found(root)} == {"leftover"}


class WatchedRecords(Records):
    """Records that know how many of the takes and jobs that were read are in memory, and were at most."""

    most = total = 0

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self._alive: set[int] = set()
        self._lock = Lock()

    def take(self, session_id: str, scenario: Part, job_id: str) -> Take | None:
        return self._watch(super().take(session_id, scenario, job_id))

    def job(self, job_id: str) -> Job | None:
        return self._watch(super().job(job_id))

    def _watch(self, record: AnyRecord | None) -> AnyRecord | None:
        if record is not None:
            with self._lock:
                self.total += 1
                number = self.total
                self._alive.add(number)
                self.most = max(self.most, len(self._alive))
            finalize(record, self._alive.discard, number)
        return record


@pytest.mark.parametrize(("is_concurrent", "sessions_at_once"), [(False, 1), (True, READERS)], ids=["disk", "store"])
def test_the_records_in_memory_do_not_grow_with_the_sessions(
    tmp_path: Path, *, is_concurrent: bool, sessions_at_once: int
) -> None:
    records = WatchedRecords(Storage(str(tmp_path)))
    records.storage.is_concurrent = is_concurrent
    for number in range(80):
        session_id, job_id = f"ad-{number}", f"job-{number}"
        records.save_session(make_session(session_id=session_id))
        save_job(records, Job(job_id=job_id, session_id=session_id, scenarios=list(Scenario), created_at=NOW))
        for scenario in Scenario:
            records.save_take(make_take(session_id=session_id, job_id=job_id, scenario=scenario))
    (tmp_path / "sessions/ad-40/takes/hook/job-40.json").write_text("torn")
    (tmp_path / "stranger.mp4").write_bytes(b"")
    findings = verify(records, checksums=False)
    assert Counter(each.kind for each in findings) == {"missing": 79 + 3 * 80, "unreadable": 1, "orphan": 1}
    assert records.total == 80 + 79 + 3 * 80
    # The error of the torn take keeps those of its session until the garbage is collected.
    assert records.most <= (sessions_at_once + 1) * (len(Scenario) + 1)
