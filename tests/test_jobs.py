"""Jobs against the emulator: one clip per scene, whatever happens on the way, by the provider's ledger."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
import pytest

from adreel.campaigns import Tally
from adreel.emulator import LocalRunware
from adreel.errors import (
    AdreelError,
    ClipUnavailable,
    InputError,
    NoCredits,
    RenderFailed,
    SceneRefused,
    StillRendering,
    StorageError,
    TakeFailed,
)
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneChanges
from adreel.models.takes import AttemptState, Take, task_uuid
from adreel.purchase.jobs import buy_scene, end_job, open_scenes, record_failure, start_job
from adreel.records.verification import verify
from adreel.records.views import job_status, job_view, readable_takes, session_view
from adreel.settings import Settings
from tests.studio import JOB, Studio, studio


async def test_a_scene_ends_as_a_playable_clip_with_its_measures_in_the_record() -> None:
    async with studio() as it:
        take = await it.produce()
        assert take == it.take()
        assert take.clip is not None
        assert (take.state, take.progress, take.cost) == (State.COMPLETED, 100, 0.1)
        assert take.clip.file == f"ad_hook_{task_uuid(JOB, Scenario.HOOK, 1).hex[:8]}.mp4"
        with av.open(str(it.clip_path(take))) as container:
            assert container.streams.video[0].width == take.clip.width == 128
        assert take.clip.poster
        assert it.records.storage.exists(take.clip.poster)
        assert it.records.storage.names("") == sorted(["jobs", "sessions", take.clip.file, take.clip.poster])


async def test_a_second_run_of_a_stored_take_sends_and_writes_nothing() -> None:
    async with studio() as it:
        first = await it.produce()
        submits = dict(it.server.ledger.submits)
        assert await it.produce() == first
        assert dict(it.server.ledger.submits) == submits


async def test_the_record_says_submitted_before_runware_hears_of_the_task() -> None:
    async with studio() as it:
        job = it.start(Scenario.HOOK)
        seen: list[tuple[list[AttemptState], int]] = []

        def look(_take: Take, _text: str) -> None:
            seen.append(([attempt.state for attempt in it.take().attempts], len(it.server.ledger.submits)))

        await buy_scene(it.records, it.settings, job, Scenario.HOOK, report=look)
        assert ([AttemptState.SUBMITTED], 0) in seen
        assert not [states for states, submits in seen if submits and states in ([], [AttemptState.PLANNED])]


@pytest.mark.parametrize(
    "fault",
    ["dropReplyReset", "dropReplySilent", "emptyAcceptance", "conflict", "closeClean", "unknownTask", "pollCloseTorn"],
)
async def test_a_fault_of_the_wire_ends_with_one_clip_and_one_charge(fault: str) -> None:
    async with studio(fault) as it:
        assert (await it.produce()).is_stored
        assert len(it.bought) == 1


@pytest.mark.parametrize("state", [AttemptState.SUBMITTED, AttemptState.ACCEPTED, AttemptState.RENDERED])
async def test_a_take_left_in_any_open_state_is_taken_up_without_buying_again(state: AttemptState) -> None:
    async with studio() as it:
        job = it.start(Scenario.HOOK)

        def die(take: Take, _text: str) -> None:
            if take.attempts[-1].state == state:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await _outcome(buy_scene(it.records, it.settings, job, Scenario.HOOK, report=die))
        assert it.take().attempts[-1].state == state
        assert (await it.produce(job=job)).is_stored
        assert it.bought == [str(task_uuid(JOB, Scenario.HOOK, 1))]


async def _outcome(work: object) -> object:
    # A KeyboardInterrupt inside a task would end the test run itself: carry it out as a value.
    try:
        return await work  # type: ignore[misc]
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt from stop


async def test_a_failed_render_is_bought_anew_up_to_the_allowed_attempts() -> None:
    async with studio("failedInData", ADREEL_ATTEMPTS=2) as it:
        with pytest.raises(RenderFailed, match="scene hook"):
            await it.produce()
        with pytest.raises(TakeFailed, match="ADREEL_ATTEMPTS"):
            await it.produce()
        with pytest.raises(TakeFailed):
            await it.produce()
        assert it.bought == [str(task_uuid(JOB, Scenario.HOOK, attempt)) for attempt in (1, 2)]
        assert it.take().cost is None


async def test_a_job_that_ended_and_is_started_again_may_buy_what_failed_anew() -> None:
    async with studio("failedInDatax1", ADREEL_ATTEMPTS=1) as it:
        with pytest.raises(TakeFailed):
            await it.produce()
        end_job(it.records, it.start(Scenario.HOOK))
        assert (await it.produce()).is_stored
        assert len(it.bought) == 2


async def test_a_job_says_which_of_its_takes_are_stored() -> None:
    async with studio("invalidParameterx1", ADREEL_ATTEMPTS=1) as it:
        job = it.start(Scenario.HOOK, Scenario.CTA)
        with pytest.raises(SceneRefused):
            await it.produce(Scenario.CTA, job=job)
        await it.produce(job=job)
        partial = end_job(it.records, job, takes=readable_takes(it.records, job))
        assert partial
        assert (partial.stored, partial.is_stored) == ({Scenario.HOOK: 100_000}, False)
        other = it.start_another(Scenario.HOOK, Scenario.CTA)
        takes = [await it.produce(scenario, job=other) for scenario in other.scenarios]
        ended = end_job(it.records, other, takes=takes)
        assert ended
        assert ended.is_stored

        read, known = Tally(1), Tally(1)
        read.add(job_view(it.records, other.job_id))
        known.add_stored(ended)
        assert (str(known), known.scenes, known.failures) == (str(read), read.scenes, read.failures)


async def test_a_job_leaves_a_stored_take_with_an_unknown_bill_to_its_record() -> None:
    async with studio("failedInDatax1", ADREEL_ATTEMPTS=1) as it:
        with pytest.raises(TakeFailed):
            await it.produce()
        end_job(it.records, it.start(Scenario.HOOK))
        job = it.start(Scenario.HOOK)
        take = await it.produce(job=job)
        ended = end_job(it.records, job, takes=[take])
        assert take.is_stored
        assert ended
        assert (ended.stored, ended.is_stored) == ({}, False)
        assert open_scenes(it.records, it.settings, "all") == []


async def test_a_take_that_its_job_wrongly_says_to_be_stored_is_found() -> None:
    """A copy of the storage may have a job that ended after its takes were copied."""
    async with studio() as it:
        job = it.start(Scenario.HOOK)
        await it.produce(job=job)
        end_job(it.records, job, takes=[it.take()])
        assert open_scenes(it.records, it.settings, "all") == []
        assert verify(it.records) == []
        take = it.take()
        take.attempts[-1].state, take.clip = AttemptState.ACCEPTED, None
        path = f"sessions/ad/takes/hook/{JOB}.json"
        for lost in (take.model_dump_json().encode(), None):
            if lost:
                it.records.storage.write(path, lost)
            else:
                it.records.storage.remove(path)
            [finding] = [each for each in verify(it.records) if each.kind == "unstored"]
            assert finding.path == f"jobs/{JOB}.json"
            assert f"`adreel resume {JOB}`" in finding.message
            assert open_scenes(it.records, it.settings, "all") == []
            for target in (JOB, "ad") if lost else (JOB,):
                [(found, scenes)] = open_scenes(it.records, it.settings, target)
                assert (found.job_id, scenes) == (JOB, [Scenario.HOOK])


async def test_a_refused_scene_is_final_and_costs_nothing() -> None:
    async with studio("invalidParameter") as it:
        with pytest.raises(SceneRefused, match=r"scene hook.*parameter"):
            await it.produce()
        with pytest.raises(TakeFailed):
            await it.produce()
        assert it.bought == []
        assert it.take().attempts[0].problem is not None
        assert it.take().cost == 0


async def test_one_refused_order_leaves_the_costs_of_its_ad_known() -> None:
    async with studio("invalidParameterx1") as it:
        with pytest.raises(SceneRefused):
            await it.produce()
        job = it.start_another(Scenario.HOOK)
        price = (await it.produce(job=job)).cost
        assert price
        refused, view = job_view(it.records, JOB), job_view(it.records, job.job_id)
        assert (refused.cost, view.cost, session_view(it.records, "ad").cost) == (0, price, price)
        tally = Tally(2)
        tally.add(refused)
        tally.add(view)
        assert tally.money == f"USD {price:.2f}"


async def test_a_moderated_scene_is_final_for_its_prompt() -> None:
    async with studio("contentPolicy") as it:
        with pytest.raises(SceneRefused):
            await it.produce()
        with pytest.raises(TakeFailed):
            await it.produce()
        assert len(it.bought) == 1


async def test_without_credits_the_take_stays_open_and_goes_on_once_there_are_some() -> None:
    async with studio("insufficientCreditsx1") as it:
        job = it.start(Scenario.HOOK)
        with pytest.raises(NoCredits, match="scene hook") as refused:
            await it.produce(job=job)
        assert it.take().cost is None
        record_failure(it.records, job, Scenario.HOOK, refused.value)
        assert it.take().cost == 0
        assert (await it.produce()).is_stored
        assert it.bought == [str(task_uuid(JOB, Scenario.HOOK, 1))]


async def test_a_deadline_leaves_the_take_open_and_the_next_run_brings_it_home() -> None:
    async with studio(render_seconds=2, ADREEL_DEADLINE=0.2) as it:
        with pytest.raises(StillRendering, match=f"still rendering.*{task_uuid(JOB, Scenario.HOOK, 1)}"):
            await it.produce()
        assert it.take().is_open
        it.settings = it.settings.model_copy(update={"deadline": 20})
        assert (await it.produce()).is_stored
        assert len(it.bought) == 1


@pytest.mark.parametrize("fault", ["gone404", "forbidden403", "shortBody", "shortBodyNoLength", "html200", "emptyBody"])
async def test_a_bad_download_stores_nothing_and_the_next_run_fetches_again(fault: str) -> None:
    async with studio(f"{fault}x1") as it:
        with pytest.raises(ClipUnavailable, match="scene hook"):
            await it.produce()
        assert it.take().attempts[-1].state == AttemptState.RENDERED
        assert it.records.storage.names("") == ["jobs", "sessions"]
        assert (await it.produce()).is_stored
        assert len(it.bought) == 1


async def test_a_redirect_to_a_strange_host_is_not_followed() -> None:
    async with studio("redirectElsewhere") as it:
        with pytest.raises(AdreelError, match="ADREEL_DOWNLOAD_HOSTS"):
            await it.produce()
        assert it.take().is_open


async def test_a_clip_whose_address_has_changed_is_asked_for_again(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    async with LocalRunware(render_seconds=0.1, ledger_file=ledger) as first:
        options = {"runware_url": first.url, "ADREEL_MODEL": "bytedance:2@2", "ADREEL_SIZE": "128x72"}
        it = Studio(first, Settings(**options))  # type: ignore[arg-type]
        first.inject("gone404")
        with pytest.raises(ClipUnavailable):
            await it.produce()
    async with LocalRunware(render_seconds=0.1, ledger_file=ledger) as second:
        it.settings = it.settings.model_copy(update={"runware_url": second.url})
        assert (await it.produce()).is_stored
        assert len(second.ledger.entries) == 1


async def test_two_runners_of_the_same_job_buy_each_clip_once() -> None:
    async with studio() as it:
        job = it.start(Scenario.HOOK)
        one, two = await asyncio.gather(it.produce(job=job), it.produce(job=job))
        assert one.is_stored
        assert two.is_stored
        assert len(it.bought) == 1


async def test_a_cancelled_scene_says_so_and_can_be_taken_up() -> None:
    async with studio(render_seconds=1) as it:
        job = it.start(Scenario.HOOK)
        work = asyncio.create_task(it.produce(job=job))
        while not it.bought:  # noqa: ASYNC110 - the ledger is another party's, it wakes nobody
            await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        status = job_status(it.records, JOB).scenes[0]
        assert status.status == State.CANCELLED
        assert "cancelled" in (status.error or "")
        assert (await it.produce(job=job)).is_stored
        assert len(it.bought) == 1


async def test_one_scene_s_failure_leaves_the_others_alone() -> None:
    async with studio("contentPolicy:solution") as it:
        job = it.start()
        results = await asyncio.gather(
            *(it.produce(scenario, job=job) for scenario in job.scenarios), return_exceptions=True
        )
        failed = [result for result in results if isinstance(result, Exception)]
        assert len(failed) == 1
        record_failure(it.records, job, Scenario.SOLUTION, failed[0])
        status = job_status(it.records, JOB)
        assert status.overall_status == State.PARTIAL
        assert [scene.status for scene in status.scenes] == ["completed", "completed", "failed", "completed"]
        assert "scene solution" in (status.scenes[2].error or "")
        assert session_view(it.records, "ad").state == State.PARTIAL


async def test_a_wrong_duration_is_named_before_anything_is_written(tmp_path: Path) -> None:
    async with studio(ADREEL_MODEL="klingai:6@1", ADREEL_SIZE="1280x720") as it:
        with pytest.raises(InputError, match=r"scene hook: duration 2 .*5, 10 seconds"):
            it.start()
        assert it.records.job(JOB) is None


async def test_a_storage_that_fails_before_the_submit_buys_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with studio() as it:
        job = it.start(Scenario.HOOK)

        def refuse(take: Take, yields_to: object, **_: object) -> None:
            raise StorageError("the disk is full")

        monkeypatch.setattr(it.records, "update_take", refuse)
        with pytest.raises(StorageError, match="scene hook: the disk is full"):
            await it.produce(job=job)
        assert it.bought == []


async def test_a_runner_that_lags_behind_takes_over_what_the_other_has_stored() -> None:
    async with studio() as it:
        job = it.start(Scenario.HOOK)
        late_has_begun, first_is_done = asyncio.Event(), asyncio.Event()

        @asynccontextmanager
        async def late_slot(_earlier: object) -> AsyncIterator[None]:
            late_has_begun.set()
            await first_is_done.wait()
            yield

        late = asyncio.create_task(buy_scene(it.records, it.settings, job, Scenario.HOOK, slot=late_slot))
        await late_has_begun.wait()
        stored = await it.produce(job=job)
        submits = dict(it.server.ledger.submits)
        first_is_done.set()
        assert await late == stored == it.take()
        assert dict(it.server.ledger.submits) == submits


async def test_a_change_of_a_field_that_no_scene_has_is_refused_before_anything_is_bought() -> None:
    async with studio() as it:
        changes = SceneChanges.model_validate({"lightning": "warm"})
        with pytest.raises(InputError, match="lightning"):
            start_job(it.records, it.settings, JOB, "ad", scenarios=[Scenario.HOOK], changes=changes)
        assert it.records.job(JOB) is None


async def test_a_bill_beside_its_estimate_prices_the_next_clip() -> None:
    async with studio(runware_api_key="key-of-a-test") as it:
        first = await it.produce()
        assert (first.estimate, first.cost) == (0.01258, 0.1)
        second = await it.produce(job=it.start_another(Scenario.HOOK))
        assert second.estimate == 0.1


async def test_a_local_render_is_marked_as_no_money_and_is_no_bill() -> None:
    async with studio() as it:
        take = await it.produce()
        assert take.price is not None
        assert (take.price.source, take.estimate, take.cost) == ("emulator", 0.01258, 0.1)
        assert "prices" not in it.records.storage.names("")


async def test_a_take_that_a_local_render_has_left_is_one_of_money_with_a_key() -> None:
    async with studio("providerTimeoutx1") as it:
        job = it.start(Scenario.HOOK)
        with pytest.raises(RenderFailed):
            await it.produce(job=job)
        marked = it.take().price
        it.settings = it.settings.with_key("key-of-a-test", "this test")
        take = await it.produce(job=job)
        assert marked is not None
        assert take.price is not None
        assert (marked.source, take.price.source) == ("emulator", "listed")
        assert "prices" in it.records.storage.names("")
