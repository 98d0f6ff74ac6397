"""Narrations, music and stills over HTTP, on a real Prefect server and the emulator. The test is their worker."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from adreel.client import Client
from adreel.emulator import LocalRunware
from adreel.flows.generate_ad import generate_ad
from adreel.flows.regenerate_scene import regenerate_scene
from adreel.models.parts import STILLS, VOICES, Addition
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.spend.budgets import Budgets
from adreel.storage import Storage
from tests.api.serving import served
from tests.factories import make_session, make_take, scene_data, session_data, store_take

FLOWS: dict[str, Flow[..., Any]] = {flow.name: flow for flow in (generate_ad, regenerate_scene)}
GENERATE, REGENERATE = "/api/videos/generate-scenes", "/api/videos/regenerate-scene"
WORDS = {"hook": "It rains.", "problem": "You are wet.", "solution": "", "cta": "Buy one now."}
TOO_MANY = " ".join(["word"] * 40)


def spoken_session(**changes: Any) -> dict[str, Any]:
    scenes = [scene_data(scenario, duration=2, dialog_narration=words) for scenario, words in WORDS.items()]
    return session_data(scene_descriptions=scenes, voice={"voice": "Ashley"}, music={"prompt": "calm piano"}, **changes)


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Records:
    monkeypatch.setenv("ADREEL_STORAGE", str(tmp_path / "outputs"))
    monkeypatch.setenv("ADREEL_MODEL", "bytedance:2@2")
    return Records(Storage(str(tmp_path / "outputs")))


@pytest.fixture(scope="module")
def deployed(prefect_server: str) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_server}), get_client(sync_client=True) as client:
        for name, flow in FLOWS.items():
            client.create_deployment(client.create_flow(flow), name)


@pytest.fixture
def jobs(prefect: str, deployed: None, runware: LocalRunware, records: Records) -> Iterator[httpx.Client]:
    """Serve an ad with a narrator and music, whose solution has no words."""
    with served(prefect=prefect) as client:
        client.post("/api/sessions", json=spoken_session()).raise_for_status()
        yield client


def work(job_id: str, **changes: Any) -> None:
    """Carry a run out, as a worker would."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(job_id))
        flow = FLOWS[client.read_flow(run.flow_id).name]
    run_flow(flow, flow_run=run, parameters={**run.parameters, **changes}, return_type="state")


def made(api: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Start a job, carry it out without a finished ad, and return its status."""
    answer = api.post(path, json={"session_id": "ad", **body})
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["job_id"]
    work(job_id, **({"cut": False} if path == GENERATE else {}))
    status = api.get(f"/api/videos/status/{job_id}").raise_for_status().json()
    return {"message": answer.json()["message"], **status}


def kinds_bought(server: LocalRunware) -> Counter[str]:
    return Counter(entry.output.kind for entry in server.ledger.entries)


@pytest.mark.slow
def test_an_ad_is_bought_with_its_narrations_and_music_and_nothing_twice(
    jobs: httpx.Client, runware: LocalRunware
) -> None:
    found = made(jobs, GENERATE, {})
    assert found["message"] == "Video generation started for 4 scenes, 3 voices and music"
    spoken = ["voice-hook", "voice-problem", "voice-cta"]
    assert [scene["scenario"] for scene in found["scenes"]] == [*Scenario, *spoken, "music"]
    assert {scene["status"] for scene in found["scenes"]} == {"completed"}
    assert kinds_bought(runware) == {"clip": 4, "voice": 3, "music": 1}

    again = jobs.post(GENERATE, json={"session_id": "ad", "only_changed": True})
    assert (again.status_code, again.json()["type"]) == (409, "urn:adreel:problem:nothingChanged")
    jobs.patch("/api/sessions/ad/scenes/problem", json={"dialog_narration": "You are cold."}).raise_for_status()
    voices = [f"voice-{scenario}" for scenario in ("hook", "problem", "cta")]
    changed = made(jobs, GENERATE, {"scenarios": [*voices, "music"], "only_changed": True})
    assert changed["message"] == "Video generation started for 1 voice"
    assert [scene["scenario"] for scene in changed["scenes"]] == ["voice-problem"]
    assert kinds_bought(runware) == {"clip": 4, "voice": 4, "music": 1}
    details = jobs.get("/api/sessions/ad").json()
    assert [each["scenario"] for each in details["additions"]] == [*spoken, "music"]
    assert (details["state"], details["voice"]["voice"]) == ("completed", "Ashley")


def test_a_voice_is_bought_again_with_other_words_and_another_narrator(jobs: httpx.Client) -> None:
    made(jobs, GENERATE, {"scenarios": ["voice-hook"]})
    found = made(
        jobs,
        REGENERATE,
        {"scenario": "voice-hook", "dialog_narration": "It pours.", "voice": {"voice": "Alex", "speed": 1.2}},
    )
    assert found["message"] == "Video generation started for voice of hook"
    old, new = jobs.get("/api/sessions/ad/scenes/voice-hook/takes").json()["takes"]
    assert (old["text"], new["text"], new["is_current"]) == ("It rains.", "It pours.", True)
    chosen = jobs.put("/api/sessions/ad/scenes/voice-hook/current", json={"take": old["take"]}).json()
    assert (chosen["take"], chosen["is_current"]) == (old["take"], True)

    sound = jobs.get(new["video_url"])
    assert (sound.headers["content-type"], sound.content[:4]) == ("audio/flac", b"fLaC")
    part = jobs.get(new["video_url"], headers={"Range": "bytes=4-9"})
    assert (part.status_code, part.content) == (206, sound.content[4:10])
    assert part.headers["content-range"] == f"bytes 4-9/{len(sound.content)}"
    assert jobs.head(new["video_url"]).headers["content-type"] == "audio/flac"


def test_music_is_bought_again_by_another_prompt(jobs: httpx.Client, records: Records) -> None:
    found = made(jobs, REGENERATE, {"scenario": "music", "background_music": "fast drums"})
    assert found["message"] == "Video generation started for music"
    [take] = jobs.get("/api/sessions/ad/scenes/music/takes").json()["takes"]
    assert (take["text"], take["scene"]) == ("fast drums", None)
    assert take["duration"] >= 8


def test_a_chosen_still_is_the_first_frame_of_the_next_clip(jobs: httpx.Client, records: Records) -> None:
    found = made(jobs, GENERATE, {"scenarios": ["still-hook"]})
    [still] = found["scenes"]
    picture = jobs.get(still["video_url"])
    assert (picture.headers["content-type"], picture.content[:2]) == ("image/jpeg", b"\xff\xd8")
    assert jobs.get("/api/sessions/ad").json()["scene_descriptions"][0].get("first_frame") is None
    [take] = jobs.get("/api/sessions/ad/scenes/still-hook/takes").json()["takes"]
    jobs.put("/api/sessions/ad/scenes/still-hook/current", json={"take": take["take"]}).raise_for_status()
    first_frame = jobs.get("/api/sessions/ad").json()["scene_descriptions"][0]["first_frame"]
    assert first_frame.startswith("inputs/")
    assert first_frame.endswith("#hook-still.jpg")
    made(jobs, GENERATE, {"scenarios": ["hook"]})
    [clip] = records.takes("ad", Scenario.HOOK)
    assert clip.request.first_frame == first_frame


def test_the_events_of_a_job_tell_its_parts(jobs: httpx.Client) -> None:
    job_id = made(jobs, GENERATE, {"scenarios": ["voice-hook", "music"]})["job_id"]
    lines = jobs.get(f"/api/videos/events/{job_id}").text.splitlines()
    status = json.loads(next(line for line in lines if line.startswith("data: "))[6:])
    assert [scene["scenario"] for scene in status["scenes"]] == ["voice-hook", "music"]


def test_a_key_starts_one_job_although_less_has_changed_since(jobs: httpx.Client, records: Records) -> None:
    body, key = (
        {"session_id": "ad", "scenarios": ["voice-hook", "voice-cta"], "only_changed": True},
        {"Idempotency-Key": "k"},
    )
    first = jobs.post(GENERATE, json=body, headers=key)
    work(first.json()["job_id"])
    again = jobs.post(GENERATE, json=body, headers=key)
    assert (again.status_code, again.json()) == (202, first.json())
    other = jobs.post(GENERATE, json={**body, "only_changed": False}, headers=key)
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


def test_a_job_that_has_not_begun_shows_what_it_will_buy(jobs: httpx.Client) -> None:
    job_id = jobs.post(GENERATE, json={"session_id": "ad"}).json()["job_id"]
    waiting = jobs.get(f"/api/videos/status/{job_id}").json()
    assert [scene["scenario"] for scene in waiting["scenes"]][4:] == [
        "voice-hook",
        "voice-problem",
        "voice-cta",
        "music",
    ]


def test_limits_and_budgets_refuse_narrations_and_music(jobs: httpx.Client, records: Records) -> None:
    parts = {"session_id": "ad", "scenarios": ["voice-hook", "voice-cta", "music"]}
    refused = jobs.post(GENERATE, json={**parts, "max_cost": 0.0001})
    assert (refused.status_code, refused.json()["budget"]) == (402, "max_cost")
    needed = refused.json()["needed"]
    assert 0 < needed < 0.05
    Budgets(records).set("session:ad", 100)
    assert jobs.post(GENERATE, json=parts).status_code == 402
    Budgets(records).set("session:ad", round(needed * 1_000_000))
    job_id = jobs.post(GENERATE, json=parts).raise_for_status().json()["job_id"]
    work(job_id, cut=False)
    [view] = Budgets(records).views()
    assert (view.spent + view.left, view.held, view.settled) == (round(needed * 1_000_000), 0, 3)


@pytest.mark.parametrize(
    ("part", "changes", "field"),
    [
        ("hook", {"voice": {"voice": "Alex"}}, "voice"),
        ("voice-hook", {"aspect": "9:16"}, "aspect"),
        ("music", {"dialog_narration": "Buy it."}, "dialog_narration"),
        ("still-hook", {"sound": False}, "sound"),
        ("voice-hook", {"voice": {"vioce": "Alex"}}, "voice.vioce"),
        ("voice-hook", {"voice": {"voice": "Nobody at all"}}, "voice"),
        ("voice-hook", {"dialog_narration": TOO_MANY}, "dialog_narration"),
        ("voice-solution", {}, "dialog_narration"),
        ("voice-outro", {}, "scenario"),
    ],
)
def test_a_change_that_decides_nothing_or_that_nobody_sells_is_refused(
    records: Records, api: httpx.Client, part: str, changes: dict[str, Any], field: str
) -> None:
    api.post("/api/sessions", json=spoken_session()).raise_for_status()
    answer = api.post(REGENERATE, json={"session_id": "ad", "scenario": part, **changes})
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_narrator_and_music_are_set_and_removed(records: Records, api: httpx.Client) -> None:
    bare = spoken_session()
    del bare["voice"], bare["music"]
    api.post("/api/sessions", json=bare).raise_for_status()
    api.patch("/api/sessions/ad", json={"voice": {}, "music": {"prompt": "slow strings"}}).raise_for_status()
    stored = records.session("ad")
    assert stored.voice is not None
    assert stored.music is not None
    assert (stored.voice.voice, stored.music.prompt) == (None, "slow strings")
    assert [*stored.parts][4:] == [
        VOICES[Scenario.HOOK],
        VOICES[Scenario.PROBLEM],
        VOICES[Scenario.CTA],
        Addition.MUSIC,
    ]
    api.patch("/api/sessions/ad", json={"voice": None, "music": None}).raise_for_status()
    assert records.session("ad").parts == list(Scenario)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"voice": {"voice": "Nobody at all"}}, "voice.voice"),
        ({"voice": {"model": "bytedance:2@2"}}, "voice.model"),
        ({"voice": {"speed": 9}}, "voice.speed"),
        ({"voice": {"narator": "Alex"}}, "voice.narator"),
        ({"voice": {"voice": "A\u0007"}}, "voice.voice"),
        ({"music": {"model": "inworld:tts@2"}}, "music.model"),
        ({"music": {"file": "/etc/passwd"}}, "music.file"),
        ({"music": {"promt": "piano"}}, "music.promt"),
    ],
)
def test_a_wrong_narrator_or_music_is_refused_by_its_place(
    records: Records, api: httpx.Client, changes: dict[str, Any], field: str
) -> None:
    created = api.post("/api/sessions", json={**spoken_session(), **changes})
    assert (created.status_code, [error["field"] for error in created.json()["errors"]]) == (422, [field])
    api.post("/api/sessions", json=spoken_session()).raise_for_status()
    changed = api.patch("/api/sessions/ad", json=changes)
    assert (changed.status_code, [error["field"] for error in changed.json()["errors"]]) == (422, [field])
    assert records.session("ad").voice == records.session("ad").voice


def test_a_narration_that_does_not_fit_its_scene_is_refused_by_its_place(records: Records, api: httpx.Client) -> None:
    session = spoken_session()
    session["scene_descriptions"][0]["dialog_narration"] = TOO_MANY
    refused = api.post("/api/sessions", json=session)
    assert refused.status_code == 422
    [error] = refused.json()["errors"]
    assert error["field"] == "hook.dialog_narration"
    assert "40 words don't fit 2 s: at most 5 fit" in error["detail"]
    api.post("/api/sessions", json=spoken_session()).raise_for_status()
    patched = api.patch("/api/sessions/ad/scenes/hook", json={"dialog_narration": TOO_MANY})
    assert (patched.status_code, patched.json()["errors"][0]["field"]) == (422, "dialog_narration")


def test_a_scene_has_no_narrator_of_its_own(records: Records, api: httpx.Client) -> None:
    records.save_session(make_session())
    refused = api.patch("/api/sessions/ad/scenes/hook", json={"voice": {"voice": "Alex"}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "voice")


def test_the_typed_client_names_parts(records: Records, api: httpx.Client, tmp_path: Path) -> None:
    records.save_session(make_session())
    voice = store_take(records, make_take(scenario=VOICES[Scenario.HOOK]), tmp_path)
    with Client(str(api.base_url)) as client:
        [take] = client.takes("ad", VOICES[Scenario.HOOK]).takes
        assert (take.take, take.text) == (voice.short_id, "Light, wherever you are.")
        assert client.choose_take("ad", "voice-hook", take.take).is_current
        assert [each.scenario for each in client.session("ad").additions] == [VOICES[Scenario.HOOK]]
        client.change_session("ad", voice={"voice": "Alex"}, music={})
        assert client.session("ad").voice == records.session("ad").voice
        assert take.video_url
        assert (
            client.download(take.video_url, tmp_path / "voice.flac").read_bytes()
            == b"the clip of " + str(voice.attempts[-1].uuid).encode()
        )


def test_a_missing_still_is_not_found_and_not_drawn(records: Records, api: httpx.Client, tmp_path: Path) -> None:
    records.save_session(make_session())
    still = store_take(records, make_take(scenario=STILLS[Scenario.HOOK]), tmp_path)
    assert still.clip
    assert api.get(f"/outputs/{still.clip.file}").headers["content-type"] == "image/jpeg"
    records.storage.remove(still.clip.file)
    assert api.get(f"/outputs/{still.clip.file}").status_code == 404
