"""A purchase on a storage that fails at any operation: the error names the file, nothing is bought twice or lost."""

import asyncio
import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from adreel.catalog.stored import PATH as CATALOG
from adreel.errors import StorageError, StorageUnavailable
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState
from adreel.purchase.jobs import open_scenes
from adreel.purchase.posters import draw_missing_poster
from adreel.purchase.probe.process import draw
from adreel.records import Records
from adreel.records.verification import verify
from adreel.storage import Storage
from adreel.tasks.retries import RETRY_DELAYS, is_retryable
from tests.factories import make_session, make_take
from tests.rigs.faulty_storage import PASSING, READ_FAULTS, WRITE_FAULTS, Death, StorageFaults, faulty_storage
from tests.studio import JOB, Studio, studio

MOST = 100
REASONS = {
    "diskFull": "No space left on device",
    "permissionDenied": "Permission denied",
    "readFailed": "Input/output error",
}


@pytest.fixture
def inner() -> Iterator[str]:
    """Name a folder in memory that is gone after the test."""
    url = f"memory://{uuid4().hex}"
    yield url
    storage = Storage(url)
    if storage.fs.exists(storage.root):
        storage.fs.rm(storage.root, recursive=True)


async def failure_of(it: Studio) -> StorageError | Death | None:
    try:
        await it.produce()
    except (StorageError, Death) as error:
        return error
    return None


async def check_that_it_ends_well(it: Studio) -> None:
    """Check what a crash must leave (the fault is over), then produce again and check the end."""
    recorded = it.records.take("ad", Scenario.HOOK, JOB)
    attempts = recorded.attempts if recorded else []
    sent = {str(attempt.uuid) for attempt in attempts if attempt.state != AttemptState.PLANNED}
    assert set(it.server.ledger.submits) <= sent, "I3 intent first"
    assert (await it.produce()).is_stored
    assert len(it.bought) == 1, "I1 charge"
    assert verify(it.records) == []
    assert open_scenes(it.records, it.settings, "all") == []


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adreel.storage.RETRY_PAUSES", (0, 0, 0, 0))


@pytest.mark.parametrize("fault", PASSING)
async def test_a_fault_that_passes_is_not_noticed_anywhere_in_a_purchase(fault: str, inner: str) -> None:
    for number in count(1):
        faults = StorageFaults([f"{fault}@{number}"])
        storage = faulty_storage(faults, f"{inner}/{number}")
        async with studio(render_seconds=0, ADREEL_STORAGE=storage.url) as it:
            assert (await it.produce()).is_stored
            assert len(it.bought) == 1
            if not faults.struck:
                break
            await check_that_it_ends_well(it)
        assert number < MOST
    assert number > 8, "the sweep has to reach every record and both files of a purchase"


@pytest.mark.parametrize("fault", ["writeTimedOut", "readTimedOut"])
async def test_an_outage_that_lasts_is_left_to_the_task_s_retries(fault: str, inner: str) -> None:
    faults = StorageFaults()
    storage = faulty_storage(faults, inner)
    async with studio(render_seconds=0, ADREEL_STORAGE=storage.url) as it:
        job = it.start(Scenario.HOOK)
        # After the clip is rendered, the store fails for three tries of the task, with five tries of each operation.
        faults.begin(f"{fault}@4x15")
        errors = []
        for _ in range(1 + len(RETRY_DELAYS)):
            try:
                take = await it.produce(job=job)
            except StorageUnavailable as error:
                errors.append(error)
            else:
                break
        assert errors
        assert all(is_retryable(error) and "trying again costs nothing" in str(error) for error in errors)
        assert take.is_stored
        await check_that_it_ends_well(it)


@pytest.mark.parametrize("fault", [fault for fault in WRITE_FAULTS + READ_FAULTS if fault not in PASSING])
async def test_a_purchase_that_meets_a_fault_anywhere_is_taken_up_when_it_is_over(fault: str, inner: str) -> None:
    # Those before are of the marker and the session, before the job.
    for number in count(5 if fault in READ_FAULTS else 3):
        faults = StorageFaults([f"{fault}@{number}"])
        storage = faulty_storage(faults, f"{inner}/{number}")
        async with studio(render_seconds=0, ADREEL_STORAGE=storage.url) as it:
            error = await failure_of(it)
            if not faults.struck:
                break
            path = faults.struck[0].removeprefix(f"{fault} ")
            if path == CATALOG or (path.endswith(".jpg") and fault in REASONS):
                # The facts of the release are used, and a poster is drawn when it is asked for.
                assert error is None
            elif fault in REASONS:
                expected = f"{storage.location(path)}: {REASONS[fault]}; check ADREEL_STORAGE"
                assert isinstance(error, StorageError)
                assert expected in str(error)
            else:
                assert isinstance(error, Death)
            faults.clear()
            await check_that_it_ends_well(it)
        assert number < MOST
    assert error is None
    assert number > 8, "the sweep has to reach every record and both files of a purchase"


async def test_a_storage_that_fails_now_and_then_still_costs_one_clip(inner: str) -> None:
    faults = StorageFaults(["diskFull%0.2", "writeLost%0.1", "readFailed%0.1"], seed=6)
    storage = faulty_storage(faults, inner)
    Records(Storage(inner)).save_session(make_session(seconds=2))
    async with studio(render_seconds=0) as it:
        it.settings = it.settings.model_copy(update={"storage": storage.url})
        it.records = Records(storage)
        for _ in range(MOST):
            if await failure_of(it) is None:
                break
        assert len(faults.struck) > 3
        faults.clear()
        await check_that_it_ends_well(it)


def test_the_rig_counts_each_kind_of_event_and_tells_what_struck(inner: str) -> None:
    faults = StorageFaults(["diskFull@2x2", "writeThenDeath@4"])
    storage = faulty_storage(faults, inner)
    storage.write("a.json", b"1")
    for _ in range(2):
        with pytest.raises(StorageError, match=r"a\.json: No space left"):
            storage.write("a.json", b"2")
    assert storage.read("a.json") == b"1"
    with pytest.raises(Death):
        storage.write("a.json", b"3")
    assert storage.read("a.json") == b"3"
    assert faults.writes == ["a.json"] * 2
    assert faults.reads == ["a.json"] * 2
    assert faults.struck == ["diskFull a.json"] * 2 + ["writeThenDeath a.json"]
    faults.clear()
    storage.write("b/c.json", b"")
    assert storage.names("") == ["a.json", "b"]
    assert Storage(storage.url).names("b") == ["c.json"]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_rig_s_dice_fall_the_same_for_the_same_seed(seed: int, inner: str) -> None:
    def run() -> list[str]:
        faults = StorageFaults(["diskFull%0.5"], seed=seed)
        storage = faulty_storage(faults, inner)
        for number in range(20):
            try:
                storage.write(str(number), b"")
            except StorageError:
                continue
        return faults.struck

    first = run()
    assert 0 < len(first) < 20
    assert run() == first


def test_an_unknown_storage_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="diskFul"):
        StorageFaults(["diskFul@2"])


class Disk:
    """Counts what the storage asks of the local disk, and refuses one of these requests."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int, is_stored: Callable[[], bool]) -> None:
        self.refused = ""
        self.was_stored = False
        self._is_stored = is_stored
        self._left = number
        for name, where in (("fsync", os), ("replace", os), ("link", os)):
            patch.setattr(where, name, partial(self._ask, name, getattr(os, name)))
        opens = Path.open
        patch.setattr(Path, "open", lambda path, mode="r", *rest, **options: self._open(opens, path, mode))

    def _open(self, opens: Callable[..., Any], path: Path, mode: str) -> Any:
        return self._ask("create", opens, path, mode) if mode in {"xb", "wb"} else opens(path, mode)

    def _ask(self, name: str, work: Callable[..., Any], *arguments: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            self.refused, self.was_stored = name, self._is_stored()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return work(*arguments)


def has_stored_take(records: Records) -> bool:
    take = records.take("ad", Scenario.HOOK, JOB)
    return take is not None and take.is_stored


def temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name != ".tmp"] + list(folder.glob(".tmp/*"))


async def test_a_full_local_disk_at_any_request_leaves_no_temporary_file_and_is_taken_up(tmp_path: Path) -> None:
    refused = set()
    for number in range(1, MOST):
        folder = tmp_path / str(number)
        async with studio(render_seconds=0, ADREEL_STORAGE=str(folder)) as it:
            with pytest.MonkeyPatch.context() as patch:
                disk = Disk(patch, number, partial(has_stored_take, it.records))
                error = await failure_of(it)
            assert temporary_files(folder) == []
            if not disk.refused:
                break
            refused.add(disk.refused)
            if error is None:
                # Only the poster is missing. It is drawn when it is asked for.
                assert disk.was_stored
            else:
                assert isinstance(error, StorageError)
                assert str(folder) in str(error)
                assert "No space left" in str(error)
                assert "check" in str(error)
            await check_that_it_ends_well(it)
    assert error is None
    assert refused == {"create", "fsync", "replace", "link"}


async def test_a_clip_whose_poster_finds_the_disk_full_is_stored_and_gets_one_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The probe process draws it: only a real device can refuse its bytes.
    full_disk = tmp_path / "poster.jpg"
    full_disk.symlink_to("/dev/full")
    monkeypatch.setattr("adreel.purchase.posters.draw", lambda clip, _poster: draw(clip, full_disk))
    async with studio(render_seconds=0) as it:
        clip = (await it.produce()).clip
        assert clip is not None
        assert clip.poster
        assert (it.records.storage.exists(clip.poster), clip.warnings) == (False, [])
        assert draw_missing_poster(it.records, clip.poster)
        assert it.records.storage.exists(clip.poster)
        await check_that_it_ends_well(it)


BUY_WITH_SMALL_FILES = """
import asyncio, resource, sys
from adreel.errors import StorageError
from adreel.purchase.jobs import buy_scene, start_job
from adreel.records import Records
from adreel.models.scenarios import Scenario
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.models.takes import AttemptState

settings = Settings.load()
records = Records(Storage(settings.storage))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
try:
    job = start_job(records, settings, "job-1", "ad", scenarios=[Scenario.HOOK])
    asyncio.run(buy_scene(records, settings, job, Scenario.HOOK))
except StorageError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize(
    ("limit", "where"), [(4096, r"\.tmp/\w+/ad_hook_\w+\.mp4"), (100, r"jobs/job-1\.json")], ids=["clip", "record"]
)
async def test_files_that_the_system_will_not_let_grow_are_named_and_cleaned_up(
    limit: int, where: str, tmp_path: Path
) -> None:
    async with studio(render_seconds=0) as it:
        environment = {
            **os.environ,
            "RUNWARE_URL": it.server.url,
            "RUNWARE_API_KEY": "",
            "ADREEL_MODEL": "bytedance:2@2",
            "ADREEL_SIZE": "128x72",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", BUY_WITH_SMALL_FILES, str(limit), env=environment, stderr=subprocess.PIPE
        )
        _, errors = await process.communicate()
        assert re.search(rf"can't write .*outputs/{where}: File too large; check .*ADREEL_STORAGE", errors.decode())
        assert "Traceback" not in errors.decode()
        assert temporary_files(tmp_path / "outputs") == []
        await check_that_it_ends_well(it)


def test_a_folder_that_the_system_keeps_for_itself_is_named_even_to_root() -> None:
    storage = Storage("/sys/adreel")
    with pytest.raises(StorageError, match=r"can't write /sys/adreel/a\.json: .*; check ADREEL_STORAGE"):
        storage.write("a.json", b"")


def test_a_record_on_a_read_only_storage_is_still_read(inner: str) -> None:
    faults = StorageFaults(["permissionDenied@1x*"])
    Records(Storage(inner)).save_take(make_take())
    records = Records(faulty_storage(faults, inner))
    assert records.take("ad", Scenario.HOOK, "job-1") == make_take()
    with pytest.raises(StorageError, match="Permission denied"):
        records.save_take(make_take())
    assert faults.writes == []
