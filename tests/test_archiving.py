"""Archived ads: in no list, nothing is bought for them, and what was ordered before is still downloaded."""

import pytest

from adreel.errors import Conflict
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Take
from adreel.purchase.jobs import buy_scene, end_job, resume_job, start_job
from adreel.records import Records
from adreel.records.archiving import archive_session, restore_session
from adreel.service import store_for_generation
from adreel.settings import Settings
from tests.factories import make_session
from tests.studio import JOB, studio

ARCHIVED = "is archived, so nothing is bought for it: `adreel archive ad --restore` brings it back"


def test_an_archived_ad_refuses_a_job_and_a_new_order_until_it_is_restored(records: Records) -> None:
    records.save_session(make_session(), campaign="spring")
    before = records.session("ad")
    archive_session(records, "ad")
    with pytest.raises(Conflict, match=ARCHIVED):
        start_job(records, Settings(), JOB, "ad")
    with pytest.raises(Conflict, match=ARCHIVED):
        store_for_generation(records, Settings(), make_session(product_name="Tent"), None, override_hint="")
    assert records.job_ids() == []
    archived_at = records.session("ad").archived_at
    archive_session(records, "ad")
    assert records.session("ad").archived_at == archived_at
    restore_session(records, "ad")
    assert records.session("ad") == before
    assert start_job(records, Settings(), JOB, "ad").scenarios == list(Scenario)


def test_an_ad_is_not_archived_while_a_job_of_it_runs(records: Records) -> None:
    records.save_session(make_session())
    job = start_job(records, Settings(), JOB, "ad")
    with pytest.raises(Conflict, match="is being generated: wait for its clips or cancel its job"):
        archive_session(records, "ad")
    end_job(records, job)
    archive_session(records, "ad")
    with pytest.raises(Conflict, match=ARCHIVED):
        resume_job(records, Settings(), job)
    with pytest.raises(Conflict, match=ARCHIVED):
        start_job(records, Settings(), JOB, "ad")


async def test_a_resume_of_an_archived_ad_downloads_what_is_ordered_and_buys_nothing_else() -> None:
    async with studio() as it:
        job = it.start(Scenario.HOOK, Scenario.CTA)

        def die(take: Take, _text: str) -> None:
            if take.attempts[-1].state == AttemptState.ACCEPTED:
                raise ConnectionError

        with pytest.raises(ConnectionError):
            await buy_scene(it.records, it.settings, job, Scenario.HOOK, report=die)
        end_job(it.records, job)
        archive_session(it.records, "ad")
        resumed = resume_job(it.records, it.settings, job)
        assert (await buy_scene(it.records, it.settings, resumed, Scenario.HOOK)).is_stored
        with pytest.raises(Conflict, match=f"scene cta: ad 'ad' {ARCHIVED}"):
            await buy_scene(it.records, it.settings, resumed, Scenario.CTA)
        assert len(it.bought) == 1
        end_job(it.records, resumed)
        restore_session(it.records, "ad")
        resumed = resume_job(it.records, it.settings, job)
        assert (await buy_scene(it.records, it.settings, resumed, Scenario.CTA)).is_stored
        assert len(it.bought) == 2
