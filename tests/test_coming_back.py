"""Coming back to a purchase that ended somewhere else: what Runware knows is asked before anything is sent again."""

import asyncio
from pathlib import Path

import pytest

from adreel.errors import ProviderUnreachable, SceneRefused, StorageError
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Take, task_uuid
from adreel.purchase.jobs import buy_scene
from adreel.purchase.shared_client import shared_client
from adreel.storage.crash_points import visit_crash_points
from tests.factories import write_film
from tests.studio import JOB, Studio, studio


class Ended(BaseException):
    """The end of a process, as far as the code under test can tell."""


@pytest.mark.parametrize("refusal", ["invalidParameter", "insufficientCredits", "invalidModel"])
async def test_a_repeat_that_is_refused_does_not_lose_the_task_that_was_accepted_before(refusal: str) -> None:
    async with studio("dropReplyReset", f"{refusal}@2x1") as it:
        assert (await it.produce()).is_stored
        assert len(it.bought) == 1
        assert it.server.ledger.submits[it.bought[0]] == 2


async def test_a_runner_whose_submit_is_refused_follows_the_task_of_the_other_runner() -> None:
    async with studio("invalidParameter@2x1", render_seconds=1) as it:
        job = it.start(Scenario.HOOK)
        runs = [buy_scene(it.records, it.settings, job, Scenario.HOOK) for _ in range(2)]
        assert all(take.is_stored for take in await asyncio.gather(*runs))
        assert len(it.bought) == 1


async def test_a_refusal_that_another_runner_has_heard_does_not_undo_an_acceptance() -> None:
    async with studio("invalidParameter@1x1") as it:
        job = it.start(Scenario.HOOK)
        with pytest.raises(SceneRefused):
            await it.produce(job=job)
        refused = it.take()
        accepted = refused.model_copy(deep=True)
        accepted.attempts[-1].accepted_at = accepted.created_at
        accepted.attempts[-1].state = AttemptState.ACCEPTED
        assert refused.position < accepted.position


async def test_a_refusal_of_a_task_that_nobody_knows_stays_a_refusal() -> None:
    async with studio("invalidParameter") as it:
        with pytest.raises(SceneRefused):
            await it.produce()
        assert it.take().attempts[-1].state == AttemptState.FAILED


async def test_a_take_that_may_have_been_sent_is_looked_up_before_it_is_sent_again() -> None:
    async with studio() as it:
        await end_at(it, "after the submit")
        assert it.take().attempts[-1].state == AttemptState.SUBMITTED
        assert (await it.produce()).is_stored
        assert it.server.ledger.submits[it.bought[0]] == 1


async def test_a_clip_that_polls_no_longer_know_is_found_in_the_archive() -> None:
    async with studio("unknownTaskx*", ADREEL_DEADLINE=1) as it:
        assert (await it.produce()).is_stored
        assert len(it.bought) == 1


async def test_a_clip_that_was_published_before_the_end_is_kept_although_its_address_is_dead() -> None:
    async with studio() as it:
        await end_at(it, "clip published")
        it.server.inject("gone404x*")
        take = await it.produce()
        assert take.is_stored
        assert it.clip_path(take).is_file()


async def test_published_bytes_that_are_not_those_of_the_record_are_not_taken_for_them() -> None:
    async with studio() as it:
        await end_at(it, "clip published")
        [clip] = Path(it.records.storage.location("")).glob("*.mp4")
        write_film(clip, 2)
        with pytest.raises(StorageError, match="another file is at"):
            await it.produce()


async def test_another_file_under_the_clip_s_name_is_named_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with studio() as it:
        job = it.start(Scenario.HOOK)
        uuid = task_uuid(JOB, Scenario.HOOK, 1)
        foreign = Path(it.records.storage.location(f"ad_hook_{uuid.hex[:8]}.mp4"))
        foreign.write_bytes(b"somebody's")
        with pytest.raises(StorageError, match=f"another file is at .*{foreign.name}: move it away"):
            await it.produce(job=job)
        assert foreign.read_bytes() == b"somebody's"
        foreign.unlink()
        assert (await it.produce(job=job)).is_stored
        assert len(it.bought) == 1


async def test_the_record_of_two_runners_never_goes_back_and_ends_with_the_first_that_stores() -> None:
    async with studio() as it:
        job = it.start(Scenario.HOOK)
        progress: list[int] = []
        stored: list[Take] = []

        def look(_take: Take, _text: str) -> None:
            latest = it.take()
            progress.append(latest.progress)
            if latest.is_stored:
                stored.append(latest)

        runs = [buy_scene(it.records, it.settings, job, Scenario.HOOK, report=look) for _ in range(2)]
        await asyncio.gather(*runs)
        assert progress == sorted(progress)
        assert all(take == stored[0] for take in stored)


async def test_a_socket_that_was_closed_under_a_poll_ends_nobody_s_waiting() -> None:
    async with studio(render_seconds=1) as it:
        work = asyncio.create_task(it.produce())
        while not it.bought:  # noqa: ASYNC110 - the ledger is another party's, it wakes nobody
            await asyncio.sleep(0.01)
        async with shared_client(it.settings) as client:
            connection = await client.connect()
            await connection.close()
            with pytest.raises(ProviderUnreachable, match="can't send"):
                await connection.send([])
        assert (await work).is_stored


async def end_at(it: Studio, name: str) -> None:
    """End a run at a crash point, as a kill would."""

    def end(reached: str) -> None:
        if reached == name:
            raise Ended

    with visit_crash_points(end), pytest.raises(Ended):
        await it.produce()
