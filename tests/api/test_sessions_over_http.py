"""Sessions and takes over HTTP, from the records alone: Prefect is not in reach."""

import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from adreel.cli.records import show_status
from adreel.index import SessionIndex
from adreel.models.scenarios import Scenario
from adreel.models.takes import PROGRESS, AttemptState, Job, utc_now
from adreel.records import Records
from adreel.records.pruning import prunable, prune
from adreel.records.views import words_of
from adreel.storage import Storage
from adreel.web.metrics import Metrics, RecordsCollector
from tests.api.serving import served
from tests.factories import make_session, make_take, save_job, scene_data, session_data
from tests.storyboard.reading import PageReader

KLING = "klingai:kling-video@3-standard"
FRAME, REFERENCE = "hook.first_frame", "hook.references.1"
JSON = {"Content-Type": "application/json"}


def test_a_session_is_made_read_and_found_in_the_list(api: httpx.Client, records: Records) -> None:
    made = api.post("/api/sessions", json=session_data(session_id="lamp-1"))
    assert (made.status_code, made.headers["Location"]) == (201, "/api/sessions/lamp-1")
    assert records.session("lamp-1").product_name == "Lamp"
    read = api.get("/api/sessions/lamp-1").json()
    assert read == made.json()
    assert (read["state"], read["cost"], read["scene_videos"]) == (None, None, [])
    assert [each["session_id"] for each in api.get("/api/sessions").json()["sessions"]] == ["lamp-1"]


def test_an_id_is_made_up_if_none_is_given(api: httpx.Client) -> None:
    data = session_data()
    del data["session_id"]
    first, second = (api.post("/api/sessions", json=data).json()["session_id"] for _ in range(2))
    assert first != second
    assert api.get(f"/api/sessions/{first}").status_code == 200


def test_an_id_that_is_taken_is_not_taken_twice(api: httpx.Client, records: Records) -> None:
    api.post("/api/sessions", json=session_data())
    again = api.post("/api/sessions", json=session_data(product_name="Another"))
    assert (again.status_code, again.json()["errors"][0]["field"]) == (409, "session_id")
    assert records.session("ad").product_name == "Lamp"


@pytest.mark.parametrize("chosen", [{}, {"session_id": "mine"}], ids=["made up", "chosen"])
def test_the_same_key_makes_one_session_on_any_server_even_if_it_was_changed(
    api: httpx.Client, chosen: dict[str, str]
) -> None:
    data = session_data()
    del data["session_id"]
    key = {"Idempotency-Key": "s1"}
    first = api.post("/api/sessions", json={**data, **chosen}, headers=key).json()
    api.patch(f"/api/sessions/{first['session_id']}/scenes/hook", json={"seed": 7})
    with served() as another:
        again = another.post("/api/sessions", json={**data, **chosen}, headers=key)
        assert (again.status_code, again.json()["session_id"]) == (201, first["session_id"])
        other = another.post("/api/sessions", json={**data, **chosen, "product_name": "Other"}, headers=key)
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert len(api.get("/api/sessions").json()["sessions"]) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"product_name": ""}, "product_name"),
        ({"session_id": "../x"}, "session_id"),
        ({"price": 3}, "price"),
        ({"product_name": "a\0b"}, "product_name"),
        ({"product_name": "a\x1b[2Jb"}, "product_name"),
        ({"brand_colors": ["red", "\x9b31m"]}, "brand_colors"),
        ({"brand_colors": ["red", "\0"]}, "brand_colors"),
        ({"scene_descriptions": []}, "scene_descriptions"),
        ({"scene_descriptions": [scene_data(duration=0)]}, "hook.duration"),
        ({"scene_descriptions": [scene_data(duration=float("nan"))]}, "hook.duration"),
        ({"scene_descriptions": [scene_data(mood="x")]}, "hook.mood"),
        ({"scene_descriptions": [scene_data(first_frame="/etc/hosts")]}, "hook.first_frame"),
        ({"scene_descriptions": [scene_data(first_frame="file:///etc/hosts")]}, "hook.first_frame"),
        ({"scene_descriptions": [scene_data(), scene_data()]}, ""),
        ({"scene_descriptions": [scene_data(last_frame="lamp.png")]}, "hook.last_frame"),
        ({"scene_descriptions": [scene_data(references=["https://a.example/1.png", "../x.png"])]}, REFERENCE),
        ({"scene_descriptions": [scene_data(first_frame=f"inputs/{'0' * 64}.png/../../x")]}, FRAME),
        ({"scene_descriptions": [scene_data(first_frame="data:image/png;base64,AA==")]}, FRAME),
        ({"first_frame": "/etc/hosts"}, "first_frame"),
        ({"last_frame": "http://a.example/1.png"}, "last_frame"),
        ({"references": ["~/lamp.png"]}, "references.0"),
        ({"references": [f"inputs/{'0' * 64}.png#a\nb"]}, "references.0"),
        ({"first_frame": f"inputs/{'0' * 64}.png#lamp.png"}, "first_frame"),
        ({"aspect": "7:3"}, "aspect"),
        ({"resolution": "721p"}, "resolution"),
        ({"sound": "loud"}, "sound"),
        ({"size": "1280x"}, "size"),
        ({"settings": {"fps": float("nan")}}, "settings"),
        ({"settings": {"style": "\0"}}, "settings"),
        ({"settings": {"taskUUID": "mine"}}, "settings"),
        ({"model": "klingai:kling-video@3-standart"}, "model"),
        ({"model": KLING, "sound": True, "aspect": "4:5"}, "aspect"),
        ({"model": KLING, "scene_descriptions": [scene_data(duration=99)]}, "hook.duration"),
        ({"model": KLING, "scene_descriptions": [scene_data(duration=5.5)]}, "hook.duration"),
        ({"scene_descriptions": [scene_data(model=KLING, aspect="4:5")]}, "hook.aspect"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_field_is_named_and_nothing_is_stored(
    api: httpx.Client, records: Records, changes: dict[str, Any], field: str
) -> None:
    # httpx would refuse to send NaN.
    answer = api.post("/api/sessions", content=json.dumps(session_data(**changes)), headers=JSON)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [each["field"] for each in answer.json()["errors"]] == [field]
    assert records.session_ids() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'"\\ud800"', b"[" * 100_000])
def test_what_is_no_session_at_all_is_refused(api: httpx.Client, body: bytes) -> None:
    answer = api.post("/api/sessions", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["status"]) == (422, 422)


def test_the_facts_of_the_product_are_changed_for_later_clips(api: httpx.Client, records: Records) -> None:
    records.save_session(make_session(brand_tone="calm", category="lamps"))
    changed = api.patch("/api/sessions/ad", json={"product_name": "Tent", "brand_tone": None, "brand_colors": ["red"]})
    assert changed.status_code == 200
    session = records.session("ad")
    assert (session.product_name, session.brand_tone, session.brand_colors) == ("Tent", "", ["red"])
    assert session.category == "lamps"
    for wrong in ({"product_name": None}, {"product_name": ""}, {"brand_tone": "x" * 201}, {"session_id": "other"}):
        assert api.patch("/api/sessions/ad", json=wrong).status_code == 422
    assert records.session("ad") == session


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("doubled", ['"product_name": "Lamp"', '"product\\u005fname": "Lamp"'])
def test_a_key_that_is_there_twice_is_refused(api: httpx.Client, records: Records, doubled: str, encoding: str) -> None:
    body = f"{json.dumps(session_data())[:-1]}, {doubled}}}".encode(encoding)
    answer = api.post("/api/sessions", content=body, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "'product_name' appears twice: keep one of them"
    assert [each["field"] for each in answer.json()["errors"]] == ["product_name"]
    assert records.session_ids() == []


def test_a_scene_s_key_that_is_there_twice_changes_nothing(api: httpx.Client, records: Records) -> None:
    records.save_session(make_session())
    before = records.session("ad")
    for path in ("/api/sessions/ad/scenes/hook", "/api/sessions/ad/scenes/hook?wait=true"):
        body = b'{"seed": 1, "lighting": "{\\"seed\\": 2}", "seed": 3}'
        assert api.patch(path, content=body, headers=JSON).status_code == 422
    assert records.session("ad") == before


def test_the_newest_session_is_first_and_pages_lead_both_ways(api: httpx.Client, records: Records) -> None:
    for name in "abcde":
        records.save_session(make_session(session_id=name))
    first = api.get("/api/sessions", params={"limit": 3}).json()
    assert ([each["session_id"] for each in first["sessions"]], first["previous"], first["total"]) == (
        ["e", "d", "c"],
        None,
        5,
    )
    second = api.get("/api/sessions", params={"limit": 3, "after": first["next"]}).json()
    assert ([each["session_id"] for each in second["sessions"]], second["next"]) == (["b", "a"], None)
    back = api.get("/api/sessions", params={"limit": 3, "before": second["previous"]}).json()
    assert back == first


def test_a_session_that_can_t_be_read_is_named_in_the_list(records: Records) -> None:
    for name in "abc":
        records.save_session(make_session(session_id=name))
    records.storage.write("sessions/b/session.json", b"{")
    with served() as api:
        page = api.get("/api/sessions").json()
        assert [each["session_id"] for each in page["sessions"]] == ["c", "a"]
        assert [reason for reason in page["unreadable"] if "sessions/b/session.json is not a valid record" in reason]
        assert api.get("/api/sessions", params={"state": "unreadable"}).json()["total"] == 1


def test_the_list_is_searched_filtered_and_sorted(api: httpx.Client, records: Records) -> None:
    records.save_session(make_session(session_id="one", product_name="Ärmel Lamp"))
    records.save_session(make_session(session_id="two", product_name="Tent"))
    records.save_take(make_take(session_id="two"))

    def found(**parameters: str) -> list[str]:
        return [each["session_id"] for each in api.get("/api/sessions", params=parameters).json()["sessions"]]

    assert found(q="ärmel LAMP") == ["one"]
    assert found(q="wo") == ["two"]
    assert found(state="new") == ["one"]
    assert found(state="partial", q="") == ["two"]
    assert found(sort="-cost") == ["two", "one"]
    assert found(sort="id") == ["one", "two"]
    assert found(since="2100-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"after": "bm9wZQ"}, "after"),
        ({"before": "ad"}, "before"),
        ({"sort": "colour"}, "sort"),
        ({"state": "lost"}, "state"),
        ({"limit": "101"}, "limit"),
        ({"since": "yesterday"}, "since"),
    ],
)
def test_a_wrong_filter_of_the_list_is_named(api: httpx.Client, parameters: dict[str, str], field: str) -> None:
    answer = api.get("/api/sessions", params=parameters)
    assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, [field])


def test_a_changed_description_holds_for_later_jobs_and_the_takes_stay(api: httpx.Client, records: Records) -> None:
    records.save_session(make_session())
    records.save_take(make_take())
    changes = {"visual_description": "<script>alert(1)</script>", "seed": 7, "model": "lightricks:ltx@2.3"}
    answer = api.patch("/api/sessions/ad/scenes/hook", json=changes)
    assert answer.status_code == 200
    scene = records.session("ad").scene(Scenario.HOOK)
    assert (scene.visual_description, scene.seed, scene.duration) == ("<script>alert(1)</script>", 7, 5)
    assert answer.headers["Content-Type"] == "application/json"
    [take] = records.takes("ad", Scenario.HOOK)
    assert words_of(take) == "a lamp in the hook"
    api.patch("/api/sessions/ad/scenes/hook", json={"seed": None})
    assert records.session("ad").scene(Scenario.HOOK).seed is None


def test_what_the_scenes_have_in_common_is_changed_and_a_scene_says_otherwise(
    api: httpx.Client, records: Records
) -> None:
    records.save_session(make_session(size="1280x720"))
    assert api.patch("/api/sessions/ad/scenes/hook", json={"aspect": "1:1"}).status_code == 200
    common = {"aspect": "9:16", "sound": False, "references": ["https://a.example/1.png"], "settings": {"style": "x"}}
    answer = api.patch("/api/sessions/ad", json={**common, "model": "alibaba:wan@3.0"})
    assert answer.status_code == 200, answer.text
    # An aspect takes the place of the size.
    assert (answer.json()["aspect"], answer.json()["size"]) == ("9:16", None)
    session = records.session("ad")
    assert [session.render_options(session.scene(each)).aspect for each in Scenario] == ["1:1", *["9:16"] * 3]
    assert api.patch("/api/sessions/ad", json=dict.fromkeys([*common, "model"])).status_code == 200
    assert records.session("ad").model_dump(include={*common}) == dict.fromkeys(common)


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("ad/scenes/hook", {"visual_description": ""}, (422, "visual_description")),
        ("ad/scenes/hook", {"visual_description": None}, (422, "visual_description")),
        ("ad/scenes/hook", {"scenario": "cta"}, (422, "scenario")),
        ("ad/scenes/hook", {"model": KLING, "duration": 5.5}, (422, "duration")),
        ("ad/scenes/hook", {"model": KLING, "aspect": "4:5"}, (422, "aspect")),
        ("ad/scenes/hook", {"first_frame": f"inputs/{'0' * 64}.png#lamp.png"}, (422, "first_frame")),
        ("ad/scenes/hook", {"references": ["lamp.png"]}, (422, "references.0")),
        ("ad", {"model": KLING, "aspect": "4:5"}, (422, "aspect")),
        ("ad", {"last_frame": "lamp.png"}, (422, "last_frame")),
        ("ad", {"product_name": None}, (422, "product_name")),
        ("nobody", {}, (404, "session_id")),
        ("ad/scenes/ending", {}, (422, "scenario")),
        ("ad/scenes/cta", {}, (404, "scenario")),
        ("nobody/scenes/hook", {}, (404, "session_id")),
    ],
)
def test_a_wrong_change_is_named_and_changes_nothing(
    api: httpx.Client, records: Records, path: str, body: dict[str, Any], told: tuple[int, str]
) -> None:
    records.save_session(make_session(scene_descriptions=[scene_data()]))
    before = records.storage.read("sessions/ad/session.json")
    answer = api.patch(f"/api/sessions/{path}", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == told
    assert records.storage.read("sessions/ad/session.json") == before


def test_the_takes_of_a_scene_are_compared_and_one_is_chosen(api: httpx.Client, records: Records) -> None:
    records.save_session(make_session())
    old, new = make_take(job_id="job-1"), make_take(job_id="job-2", minute=5)
    for take in (old, new, make_take(None, job_id="job-3", minute=9, problem="no credits")):
        records.save_take(take)
    takes = api.get("/api/sessions/ad/scenes/hook/takes").json()["takes"]
    assert [(take["job_id"], take["is_current"]) for take in takes] == [
        ("job-1", False),
        ("job-2", True),
        ("job-3", False),
    ]
    assert takes[2]["error"] == "no credits"
    chosen = api.put("/api/sessions/ad/scenes/hook/current", json={"take": old.short_id})
    assert (chosen.json()["job_id"], chosen.json()["is_current"]) == ("job-1", True)
    [video] = api.get("/api/sessions/ad").json()["scene_videos"]
    assert (video["take"], video["video_url"]) == ("job-1", f"/outputs/{old.clip.file if old.clip else ''}")
    wrong = api.put("/api/sessions/ad/scenes/hook/current", json={"take": "job-3"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (404, "take")


def test_without_prefect_stored_jobs_are_told_and_new_ones_are_asked_to_come_later(
    api: httpx.Client, records: Records
) -> None:
    records.save_session(make_session())
    scenarios = [Scenario.HOOK, Scenario.CTA]
    save_job(records, Job(job_id="job-1", session_id="ad", scenarios=scenarios, created_at=utc_now()))
    records.save_take(make_take())
    records.save_take(make_take(AttemptState.ACCEPTED, scenario=Scenario.CTA))
    status = api.get("/api/videos/status/job-1").json()
    assert status["overall_status"] == "generating"
    assert [(scene["status"], scene["progress"]) for scene in status["scenes"]] == [
        ("completed", 100),
        ("generating", 30),
    ]

    assert api.get("/api/videos/status/job-2").status_code == 404
    unknown = "3097ff71-41eb-4f32-87bb-83b77b4d2311"
    for answer in (
        api.get(f"/api/videos/status/{unknown}"),
        api.post("/api/videos/generate-scenes", json={"session_id": "ad"}),
        api.get("/readyz"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:adreel:problem:prefectUnreachable")
        # Prefect's address belongs only in the log.
        assert "http" not in answer.json()["detail"]
        assert int(answer.headers["Retry-After"]) > 0
    assert api.get("/healthz").json() == {"status": "ok"}


def scraped(api: httpx.Client, name: str) -> list[str]:
    """Return the lines of the first scrape with a metric, because the records are read in the background."""
    for _ in range(1000):
        lines = api.get("/metrics").text.splitlines()
        if any(line.startswith(name) for line in lines):
            return lines
        time.sleep(0.01)
    raise AssertionError(f"no {name}")


def test_a_scrape_never_waits_for_the_storage(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    over, asked = threading.Event(), []

    def hang(_storage: Storage, folder: str) -> list[str]:
        asked.append(folder)
        over.wait(60)
        return []

    monkeypatch.setattr(Storage, "names", hang)
    metrics = Metrics(SessionIndex(records))
    try:
        for _ in range(20):
            assert b"adreel_jobs" not in metrics.text()
        while not asked:
            time.sleep(0.01)
        assert asked == ["changes"], "one reading at a time"
    finally:
        over.set()


def test_no_counter_falls_when_takes_are_pruned(records: Records) -> None:
    records.save_session(make_session())
    for number in range(3):
        save_job(records, Job(job_id=f"job-{number}", session_id="ad", scenarios=[Scenario.HOOK], created_at=utc_now()))
        records.save_take(make_take(job_id=f"job-{number}", minute=number))
    collector = RecordsCollector(SessionIndex(records))

    def counters() -> dict[str, float]:
        while not collector.read():
            pass
        found = (sample for family in collector.collect() if family.type != "gauge" for sample in family.samples)
        return {f"{sample.name} {sample.labels}": sample.value for sample in found}

    before = counters()
    assert before["adreel_scene_seconds_count {}"] == 3
    for take in list(prunable(records, utc_now())):
        prune(records, take)
    assert counters() == before


def test_the_api_metrics_pages_and_commands_agree_on_a_cost_whose_bill_is_missing(
    api: httpx.Client, records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    records.save_session(make_session())
    save_job(records, Job(job_id="job-1", session_id="ad", scenarios=list(Scenario), created_at=utc_now()))
    records.save_take(make_take())
    refused = make_take(AttemptState.FAILED, scenario=Scenario.PROBLEM, problem="no such duration")
    refused.progress = PROGRESS["submitted"]
    records.save_take(refused)
    records.save_take(make_take(AttemptState.SUBMITTED, scenario=Scenario.CTA))

    def costs() -> list[Any]:
        read, [listed] = api.get("/api/sessions/ad").json(), api.get("/api/sessions").json()["sessions"]
        takes = [
            api.get(f"/api/sessions/ad/scenes/{scenario}/takes").json()["takes"] for scenario in ("problem", "cta")
        ]
        shown = PageReader(api.get("/sessions/ad", headers={"Accept": "text/html"}).text).text
        show_status("ad", as_json=False)
        return [
            (read["cost"], read["billed"]),
            (listed["cost"], listed["billed"]),
            *((take["cost"], take["billed"]) for [take] in takes),
            *re.findall(r"Cost ((?:at least )?\$[\d.]+)", shown),
            capsys.readouterr().out.partition(", cost ")[2].splitlines()[0],
        ]

    assert costs() == [*[(None, 0.11)] * 2, (0, 0), (None, 0), "at least $0.11", "at least $0.11"]
    lines = scraped(api, "adreel_jobs")
    assert "adreel_cost_usd_total 0.11" in lines
    assert "adreel_unknown_costs 1.0" in lines
    # The retry of a lost order gets its bill.
    records.update_take(make_take(scenario=Scenario.CTA, cost=0.2), lambda _latest: False)
    assert costs() == [*[(0.31, 0.31)] * 2, (0, 0), (0.2, 0.2), "$0.31", "$0.31"]


def test_metrics_tell_jobs_scenes_seconds_cost_and_requests(api: httpx.Client, records: Records) -> None:
    records.save_session(make_session())
    scenarios = [Scenario.HOOK, Scenario.CTA]
    save_job(records, Job(job_id="job-1", session_id="ad", scenarios=scenarios, created_at=utc_now()))
    records.save_take(make_take())
    records.save_take(make_take(AttemptState.ACCEPTED, scenario=Scenario.CTA))
    api.get("/api/videos/status/job-1")
    lines = scraped(api, "adreel_jobs")
    assert 'adreel_jobs{state="generating"} 1.0' in lines
    assert 'adreel_scenes{scenario="hook",state="completed"} 1.0' in lines
    assert 'adreel_scenes{scenario="cta",state="generating"} 1.0' in lines
    assert "adreel_cost_usd_total 0.11" in lines
    assert "adreel_unknown_costs 1.0" in lines
    assert "adreel_scene_seconds_count 1.0" in lines
    assert any(line.startswith("adreel_lag_seconds ") for line in lines)
    assert 'adreel_http_requests_total{method="GET",route="/api/videos/status/{job_id}",status="200"} 1.0' in lines


def test_a_storage_that_is_gone_is_neither_ready_nor_written_to(api: httpx.Client, records: Records) -> None:
    assert api.post("/api/sessions", json=session_data(session_id="lamp-1")).status_code == 201
    folder = Path(records.storage.root)
    folder.rename(folder.with_name("unmounted"))
    folder.mkdir()
    for answer in (
        api.post("/api/sessions", json=session_data(session_id="lamp-2")),
        api.get("/api/sessions/lamp-1"),
        api.get("/api/sessions"),
        api.get("/readyz"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:adreel:problem:storageUnavailable")
    assert list(folder.iterdir()) == []
    folder.rmdir()
    folder.with_name("unmounted").rename(folder)
    assert api.get("/api/sessions/lamp-1").status_code == 200
