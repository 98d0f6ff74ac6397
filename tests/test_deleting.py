"""Deleted ads: only those that were never bought, and never one whose purchase starts at the same moment."""

from datetime import timedelta
from pathlib import Path

import pytest

from adreel.errors import Conflict, NotFound, SessionDeleted
from adreel.index import SessionIndex, SessionQuery
from adreel.models.scenarios import Scenario
from adreel.models.shares import ShareCreate
from adreel.models.takes import AttemptState, Job, Take, utc_now
from adreel.purchase import jobs
from adreel.purchase.jobs import buy_scene, end_job, resume_job, start_job
from adreel.records import Records, deleting
from adreel.records.deleting import delete_session, deleted_sessions, remove_session
from adreel.records.sharing import create_share, list_shares
from adreel.records.spend import read_session_spend
from adreel.records.verification import verify
from adreel.settings import Settings
from adreel.storage import Storage
from tests.factories import NOW, make_session, make_take, save_job
from tests.storage.servers import S3Server
from tests.studio import JOB, studio


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.slow)])
def stored(request: pytest.FixtureRequest, records: Records) -> Records:
    """Give the records of a storage on a disk and on S3."""
    if request.param == "disk":
        return records
    s3: S3Server = request.getfixturevalue("s3")
    return Records(Storage(s3.bucket(), s3.options))


def listed(index: SessionIndex) -> list[str]:
    index.update()
    index.refresh_names()
    return [session.session_id for session in index.page(SessionQuery(limit=0)).sessions]


def test_an_ad_that_was_never_bought_is_deleted_with_its_takes_and_its_id_is_free(
    stored: Records, tmp_path: Path
) -> None:
    stored.save_session(make_session(), campaign="spring")
    end_job(stored, start_job(stored, Settings(), JOB, "ad"))
    create_share(stored, "ad", ShareCreate(), lambda path: path)
    index = SessionIndex(stored, tmp_path / "index")
    assert listed(index) == ["ad"]
    delete_session(stored, "ad")
    assert listed(index) == []
    assert index.check() == []
    assert stored.job_ids() == []
    with pytest.raises(SessionDeleted, match="it was deleted on"):
        stored.session("ad")
    for call in (
        lambda: start_job(stored, Settings(), JOB, "ad"),
        lambda: stored.update_session("ad", lambda session: session),
        lambda: delete_session(stored, "ad"),
    ):
        with pytest.raises(NotFound):
            call()
    assert verify(stored) == []
    assert read_session_spend(stored, "ad").unreadable == []

    assert stored.create_session(make_session(product_name="Tent"))[1]
    session = stored.session("ad")
    assert (session.product_name, session.campaign, session.deleted_at) == ("Tent", None, None)
    assert [share.state for share in list_shares(stored, "ad").shares] == ["revoked"]
    assert listed(index) == ["ad"]


@pytest.mark.parametrize("state", [AttemptState.SUBMITTED, AttemptState.FAILED, AttemptState.STORED])
def test_an_ad_with_a_sent_task_is_never_deleted(records: Records, state: AttemptState) -> None:
    records.save_session(make_session())
    save_job(records, Job(job_id=JOB, session_id="ad", scenarios=[Scenario.HOOK], created_at=NOW, ended_at=NOW))
    records.save_take(make_take(state))
    with pytest.raises(Conflict, match="ad 'ad' can't be deleted: clips of it were ordered"):
        delete_session(records, "ad")
    assert records.session("ad").deleted_at is None


def test_an_ad_is_not_deleted_while_a_job_of_it_runs(records: Records) -> None:
    records.save_session(make_session())
    job = start_job(records, Settings(), JOB, "ad")
    with pytest.raises(Conflict, match="a job of it runs"):
        delete_session(records, "ad")
    end_job(records, job)
    delete_session(records, "ad")
    with pytest.raises(NotFound):
        resume_job(records, Settings(), job)


async def test_a_purchase_that_had_read_the_ad_before_its_deletion_loses_no_clip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with studio() as it:
        plan = jobs._plan_takes

        def plan_and_be_overtaken(*args: object) -> object:
            planned = plan(*args)  # type: ignore[arg-type]
            delete_session(it.records, "ad")
            with pytest.raises(SessionDeleted):
                it.records.session("ad")
            return planned

        monkeypatch.setattr(jobs, "_plan_takes", plan_and_be_overtaken)
        job = it.start(Scenario.HOOK)
        assert (await buy_scene(it.records, it.settings, job, Scenario.HOOK)).is_stored
        end_job(it.records, job)
        assert it.records.session("ad").product_name == "Lamp"
        assert listed(SessionIndex(it.records, tmp_path / "index")) == ["ad"]
        assert verify(it.records) == []
        with pytest.raises(Conflict, match="clips of it were ordered"):
            delete_session(it.records, "ad")


def test_a_job_that_is_recorded_while_an_ad_is_deleted_keeps_it(
    stored: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.save_session(make_session())
    look = deleting._unsent_takes
    looks = iter(range(9))

    def look_late(records: Records, session_id: str) -> list[Take]:
        if next(looks) == 1:
            save_job(records, Job(job_id=JOB, session_id="ad", scenarios=[Scenario.HOOK], created_at=NOW))
            records.save_take(make_take(None, job_id=JOB))
        return look(records, session_id)

    monkeypatch.setattr(deleting, "_unsent_takes", look_late)
    with pytest.raises(Conflict, match="a job of it runs"):
        delete_session(stored, "ad")
    assert stored.session("ad").deleted_at is None


def test_without_exclusive_updates_only_an_ad_without_a_job_is_deleted(records: Records) -> None:
    records.storage.is_atomic = False
    records.save_session(make_session())
    records.save_session(make_session(session_id="other"))
    end_job(records, start_job(records, Settings(), JOB, "ad"))
    with pytest.raises(Conflict, match="its storage can't exclude a second one"):
        delete_session(records, "ad")
    delete_session(records, "other")
    assert records.session("ad").deleted_at is None


def test_prune_removes_what_is_left_of_a_deleted_ad(records: Records) -> None:
    for name in ("ad", "other"):
        records.save_session(make_session(session_id=name))
        create_share(records, name, ShareCreate(), lambda path: path)
        delete_session(records, name)
    assert list(deleted_sessions(records, utc_now() - timedelta(days=1), [])) == []
    records.save_take(make_take(None, session_id="other"))
    assert list(deleted_sessions(records, utc_now(), [])) == ["ad"]
    for name in ("ad", "other"):
        remove_session(records, name)
    assert records.storage.files("sessions/ad") == []
    assert records.session("other").product_name == "Lamp"
