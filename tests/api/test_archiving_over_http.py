"""Archived and deleted ads over HTTP."""

import httpx

from adreel.models.takes import AttemptState, utc_now
from adreel.records import Records
from tests.factories import make_session, make_take

ARCHIVED = "is archived, so nothing is bought for it: `adreel archive ad --restore` brings it back"


def test_the_api_archives_and_restores_and_refuses_orders_by_name(api: httpx.Client, records: Records) -> None:
    records.save_session(make_session())
    records.save_session(make_session(session_id="other"))
    assert api.post("/api/sessions/nothing/archive").status_code == 404
    assert api.post("/api/sessions/ad/archive").json()["archived_at"] <= utc_now().isoformat()

    def ids(query: str = "") -> list[str]:
        return [each["session_id"] for each in api.get(f"/api/sessions?{query}").json()["sessions"]]

    assert (ids(), ids("q=lamp"), ids("state=new"), ids("state=archived")) == (["other"], ["other"], ["other"], ["ad"])
    page = api.get("/api/sessions").json()
    assert (page["total"], page["states"]) == (1, {"new": 1, "archived": 1})
    orders = {
        "generate-scenes": {"session_id": "ad"},
        "regenerate-scene": {"session_id": "ad", "scenario": "hook"},
    }
    for path, order in orders.items():
        refusal = api.post(f"/api/videos/{path}", json=order)
        assert refusal.status_code == 409
        assert [each["field"] for each in refusal.json()["errors"]] == ["session_id"]
        assert ARCHIVED in refusal.json()["detail"]
    assert api.post("/api/sessions/ad/restore").json()["archived_at"] is None
    assert ids() == ["other", "ad"]
    records.save_take(make_take(AttemptState.ACCEPTED))
    assert api.post("/api/sessions/ad/archive").status_code == 409
    assert records.session("ad").archived_at is None


def test_the_api_deletes_what_was_never_bought(api: httpx.Client, records: Records) -> None:
    records.save_session(make_session())
    records.save_session(make_session(session_id="bought"))
    records.save_take(make_take(session_id="bought"))
    assert api.delete("/api/sessions/ad").status_code == 204
    assert api.delete("/api/sessions/ad").status_code == 404
    assert api.get("/api/sessions/ad").status_code == 404
    refusal = api.delete("/api/sessions/bought")
    assert (refusal.status_code, refusal.json()["errors"][0]["field"]) == (409, "session_id")
    assert [each["session_id"] for each in api.get("/api/sessions").json()["sessions"]] == ["bought"]
    assert records.session("bought").deleted_at is None
