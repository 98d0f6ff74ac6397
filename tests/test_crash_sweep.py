"""The crash-point sweep under some faults, and the proof that it would see a broken promise."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from adreel.models.parts import Addition, Part
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Job, Take
from adreel.purchase import jobs
from adreel.purchase.state_machine import Purchase
from adreel.records import Records
from adreel.runware import RunwareClient, connection
from adreel.settings import Settings
from adreel.spend.accounts import Release
from adreel.spend.budgets import Budgets
from adreel.storage import local
from adreel.storage.crash_points import crash_point
from tests.rigs import sweep as sweep_module
from tests.rigs.mutations import MUTATIONS, buy_voices_anew, store_half_as_whole
from tests.rigs.sweep import ADDITIONS, sweep
from tests.storage.servers import S3Server

STEPS = {
    *(f"{when} the record: {progress}" for when in ("before", "after") for progress in (10, 30, 70, 80, 100)),
    *("slot held", "before the submit", "after the submit", "seen rendered", "downloaded"),
    *("poster published", "clip published", "input copied"),
    *("before the budgets", "after the budgets"),
}
VOICE, MUSIC, STILL = ADDITIONS
STEPS_OF_VOICE = STEPS - {"poster published", "input copied"}
STORED = ("before the record: 100", "after the record: 100")
FAULTS = ["", "providerTimeoutx1", "dropReplyReset", "emptyAcceptance", "conflict", "gone404x1", "shorterVideo"]
ASIDE = ["webmBytes", "undecodableBytes"]
FAULTS_OF_ADDITIONS = [
    *((VOICE, fault) for fault in ("dropReplyReset", "providerTimeoutx1", "shortBodyNoLengthx1", "truncatedSound")),
    (MUSIC, "silentSound"),
    *((STILL, fault) for fault in ("conflict", "gone404x1", "smallerStill", "truncatedStill")),
]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_crash_at_any_point_costs_nothing_twice_and_loses_nothing(fault: str, tmp_path: Path) -> None:
    swept = await sweep(fault, tmp_path)
    assert not swept.violations
    assert swept.points >= STEPS | {"temporary written", "renamed", "linked"}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ASIDE)
async def test_a_crash_at_any_point_loses_no_bytes_that_are_kept_aside(fault: str, tmp_path: Path) -> None:
    swept = await sweep(fault, tmp_path)
    assert not swept.violations
    assert swept.points >= STEPS - {"poster published", "clip published", *STORED} | {"kept aside", "linked"}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["", "gone404x1", "undecodableBytes"])
async def test_so_it_is_in_memory(fault: str) -> None:
    swept = await sweep(fault, f"memory://{uuid4().hex}")
    assert not swept.violations
    assert swept.points >= (STEPS if fault not in ASIDE else {"kept aside"})


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["", "dropReplyReset", "conflict"])
async def test_so_it_is_if_the_image_is_uploaded_first(fault: str, tmp_path: Path) -> None:
    swept = await sweep(fault, tmp_path, key="a-key")
    assert not swept.violations
    assert swept.points >= STEPS | {"before the upload", "after the upload", "upload recorded"}


@pytest.mark.slow
async def test_so_it_is_on_s3(s3: S3Server) -> None:
    swept = await sweep("", s3.bucket(), s3.options)
    assert not swept.violations
    assert swept.points >= STEPS


async def test_a_crash_while_a_voice_is_bought_costs_nothing_twice_and_loses_nothing() -> None:
    swept = await sweep("", f"memory://{uuid4().hex}", parts=[VOICE])
    assert not swept.violations
    assert swept.points >= STEPS_OF_VOICE


@pytest.mark.slow
@pytest.mark.parametrize("part", [VOICE, STILL])
async def test_so_it_is_for_voices_and_stills_on_a_disk(tmp_path: Path, part: Addition) -> None:
    swept = await sweep("", tmp_path, parts=[part])
    assert not swept.violations
    assert swept.points >= STEPS_OF_VOICE | {"temporary written", "renamed", "linked"}


@pytest.mark.slow
async def test_so_it_is_while_one_job_buys_a_clip_a_voice_and_a_still() -> None:
    swept = await sweep("", f"memory://{uuid4().hex}", parts=[Scenario.HOOK, VOICE, STILL])
    assert not swept.violations
    assert swept.points >= STEPS


@pytest.mark.slow
@pytest.mark.parametrize(("part", "fault"), FAULTS_OF_ADDITIONS)
async def test_so_it_is_for_voices_music_and_stills_under_faults(part: Addition, fault: str) -> None:
    swept = await sweep(fault, f"memory://{uuid4().hex}", parts=[part])
    assert not swept.violations
    assert swept.points >= STEPS_OF_VOICE


@pytest.mark.slow
@pytest.mark.parametrize(("part", "fault"), [(VOICE, "undecodableSound"), (STILL, "undecodableStill")])
async def test_so_it_is_for_sound_and_stills_that_are_kept_aside(part: Addition, fault: str) -> None:
    swept = await sweep(fault, f"memory://{uuid4().hex}", parts=[part])
    assert not swept.violations
    assert "kept aside" in swept.points


@pytest.mark.slow
async def test_so_it_is_if_the_reference_of_a_still_is_uploaded_first() -> None:
    swept = await sweep("", f"memory://{uuid4().hex}", parts=[STILL], key="a-key")
    assert not swept.violations
    assert swept.points >= {"input copied", "before the upload", "after the upload", "upload recorded"}


@pytest.mark.slow
async def test_so_it_is_for_a_voice_on_s3(s3: S3Server) -> None:
    swept = await sweep("", s3.bucket(), s3.options, parts=[VOICE])
    assert not swept.violations
    assert swept.points >= STEPS_OF_VOICE


@pytest.mark.slow
async def test_the_sweep_sees_a_submit_without_a_record_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget(self: Purchase) -> None:
        self.take.advance(AttemptState.SUBMITTED)

    monkeypatch.setattr(Purchase, "_prepare", forget)
    assert "I3" in await broken(tmp_path)


async def test_the_sweep_sees_a_conflict_that_is_not_read_as_an_acceptance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def see_nothing_yet(_self: RunwareClient, _uuid: UUID) -> None:
        """Know of no task, as a provider does that has accepted it a moment ago."""

    monkeypatch.setattr(connection, "CONFLICT", "noSuchCode")
    monkeypatch.setattr(RunwareClient, "look_up", see_nothing_yet)
    assert "I2" in await broken(tmp_path, "conflict")


@pytest.mark.slow
async def test_the_sweep_sees_a_record_that_is_not_replaced_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overwrite(path: str, content: bytes) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content[: len(content) // 2])
        crash_point("half written")
        target.write_bytes(content)

    monkeypatch.setattr(local, "_replace", overwrite)
    assert "I11" in await broken(tmp_path)


@pytest.mark.slow
async def test_the_sweep_sees_an_image_that_is_not_copied_into_the_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_with_inputs", lambda _records, job, planned: (job, planned))
    assert {"I2", "I16"} <= await broken(tmp_path)


@pytest.mark.slow
async def test_the_sweep_sees_an_image_that_is_copied_after_its_job_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = jobs._with_inputs

    def record_first(records: Records, job: Job, planned: list[Take]) -> tuple[Job, list[Take]]:
        records.update_job(job.job_id, lambda latest: latest or job)
        crash_point("recorded too early")
        return copy(records, job, planned)

    monkeypatch.setattr(jobs, "_with_inputs", record_first)
    assert await broken(tmp_path)


@pytest.mark.slow
async def test_the_sweep_sees_a_hold_that_is_released_while_its_task_may_be_billed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def release_all(self: Budgets, job: Job) -> None:
        holds = self._records.budgets().open
        self._apply(
            [], [Release(uuid, frozenset(hold.holds)) for uuid, hold in holds.items() if hold.job == job.job_id]
        )

    buy = jobs.buy_scene

    async def release_first(records: Records, settings: Settings, job: Job, part: Part, **options: Any) -> Take:
        release_all(Budgets(records), job)
        return await buy(records, settings, job, part, **options)

    monkeypatch.setattr(sweep_module, "buy_scene", release_first)
    assert "I17" in await broken(tmp_path)


@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_the_sweep_sees_a_paid_clip_that_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutation: str
) -> None:
    fault = MUTATIONS[mutation](monkeypatch)
    assert "I15" in await broken(tmp_path, fault)


async def test_the_sweep_sees_a_voice_that_is_bought_anew_after_a_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    buy_voices_anew(monkeypatch)
    assert "I1" in await broken(f"memory://{uuid4().hex}", part=VOICE)


@pytest.mark.slow
@pytest.mark.parametrize(("part", "fault"), [(VOICE, "truncatedSound"), (STILL, "truncatedStill")])
async def test_the_sweep_sees_half_a_file_that_is_stored_as_whole(
    monkeypatch: pytest.MonkeyPatch, part: Addition, fault: str
) -> None:
    store_half_as_whole(monkeypatch)
    assert "I15" in await broken(f"memory://{uuid4().hex}", fault, part=part)


async def broken(folder: Path | str, fault: str = "", *, part: Part = Scenario.HOOK) -> set[str]:
    swept = await sweep(fault, folder, parts=[part])
    return {violation.invariant for violation in swept.violations}
