"""Narrations, music and stills on the command line, in flows and in Python, on a real Prefect server."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

import adreel as api
from adreel.emulator import LocalRunware
from adreel.errors import InputError
from adreel.flows.generate_ad import generate_ad
from adreel.flows.regenerate_scene import regenerate_scene
from adreel.flows.resume import resume
from adreel.models.api import State
from adreel.models.parts import STILLS, VOICES, Addition
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.records.views import current_take, job_status
from adreel.storage import Storage
from tests.factories import make_session, scene_data, session_data, write_image
from tests.runs import run
from tests.test_cli import adreel, answer
from tests.test_flows import artifacts_of, task_runs

pytestmark = pytest.mark.usefixtures("prefect")
WORDS = {"hook": "It rains.", "problem": "You are wet.", "solution": "", "cta": "Buy one now."}
SPOKEN = [VOICES[each] for each in (Scenario.HOOK, Scenario.PROBLEM, Scenario.CTA)]
TOO_MANY = " ".join(["word"] * 40)


def spoken_session(**changes: Any) -> dict[str, Any]:
    scenes = [scene_data(scenario, duration=2, dialog_narration=words) for scenario, words in WORDS.items()]
    return session_data(scene_descriptions=scenes, **changes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ad.yaml"
    path.write_text(yaml.safe_dump(spoken_session()))
    return path


@pytest.fixture
def records() -> Records:
    records = Records(Storage("./outputs"))
    records.save_session(make_session(**{**spoken_session(), "voice": {}, "music": {"prompt": "calm piano"}}))
    return records


def kinds_bought(server: LocalRunware) -> Counter[str]:
    return Counter(entry.output.kind for entry in server.ledger.entries)


def names(rows: str) -> list[str]:
    """Return the parts of the rows of a table."""
    return [row.split()[0] for row in rows.splitlines() if row.split()[1:2] in (["completed"], ["failed"])]


@pytest.mark.slow
def test_an_ad_is_bought_narrated_anew_and_started_from_a_still(runware: LocalRunware, file: Path) -> None:
    ran = adreel("generate", file, "--voice", "--music", "--no-cut")
    assert ran.returncode == 0, ran.stderr
    every = ["hook", "problem", "solution", "cta", "voice:hook", "voice:problem", "voice:cta", "music"]
    assert names(ran.stdout) == every
    assert "voice:hook: stored (100%)" in ran.stdout
    assert kinds_bought(runware) == {"clip": 4, "voice": 3, "music": 1}
    shown = adreel("status", "ad").stdout
    assert names(shown) == every
    assert "$0.00 " not in shown

    nothing = adreel("narrate", "ad", "--music", "--no-cut")
    assert (nothing.returncode, "is bought already: --again buys another take" in nothing.stdout) == (0, True)
    assert answer("narrate", "ad", "--no-cut") is None
    records = Records(Storage("./outputs"))
    session = records.session("ad")
    assert (session.voice is not None, session.music is not None) == (True, True)
    file.write_text(file.read_text().replace("It rains.", "It pours."))
    refused = adreel("generate", file, "--voice")
    assert (refused.returncode, "have changed with `adreel narrate ad`" in refused.stderr) == (2, True)
    assert names(adreel("narrate", file, "--music", "--no-cut").stdout) == ["voice:hook"]
    assert kinds_bought(runware) == {"clip": 4, "voice": 4, "music": 1}
    assert [take["request"]["text"] for take in answer("takes", "ad", "voice:hook")] == ["It rains.", "It pours."]

    bought = adreel("stills", "ad", "--scene", "hook")
    [still] = answer("takes", "ad", "still:hook")
    short = still["attempts"][0]["uuid"][:8]
    assert f"  adreel use ad still:hook {short}\n" in bought.stdout
    assert "is bought already" in adreel("stills", "ad", "--scene", "hook").stdout
    used = adreel("use", "ad", "still:hook", short)
    assert "the next clip of hook starts from it: adreel generate ad --scene hook, or adreel regen" in used.stdout
    assert answer("prompt", "ad", "--scene", "hook")[0]["request"]["inputs"] == {
        "frameImages": [{"image": "hook-still.jpg", "frame": "first"}]
    }
    assert [each["scenario"] for each in answer("status", "ad")["additions"]] == [
        "voice-hook",
        "voice-problem",
        "voice-cta",
        "music",
        "still-hook",
    ]
    assert answer("verify") == []


@pytest.mark.slow
def test_a_failed_narration_leaves_a_partial_ad_and_names_its_command(runware: LocalRunware, file: Path) -> None:
    runware.inject("contentPolicy:voicex1")
    ran = adreel("generate", file, "--voice", "--no-cut", "--scene", "hook", "--scene", "cta")
    assert ran.returncode == 1
    failed = next(part for part in ("hook", "cta") if f"voice:{part}  failed" in ran.stdout.replace("   ", "  "))
    command = f"Rerun the voice of {failed}:  adreel regenerate ad voice:{failed}\n"
    assert command in ran.stdout
    assert "change it first" in ran.stdout
    status = adreel("status", "ad")
    assert command in status.stdout
    assert answer("status", "ad")["state"] == "partial"
    again = adreel("regenerate", "ad", f"voice:{failed}", "--words", "It pours.", "--speed", "1.1")
    assert again.returncode == 0, again.stdout
    [_, new] = answer("takes", "ad", f"voice:{failed}")
    assert (new["request"]["text"], new["request"]["speed"]) == ("It pours.", 1.1)


@pytest.mark.slow
def test_a_picture_is_approved_before_any_clip(runware: LocalRunware, file: Path, tmp_path: Path) -> None:
    image = write_image(tmp_path / "lamp.png")
    file.write_text(yaml.safe_dump(spoken_session(references=[image.name])))
    assert names(adreel("stills", file, "--scene", "cta").stdout) == ["still:cta"]
    # The file names the image by its path, and the still was bought with its copy.
    assert "is bought already" in adreel("stills", file, "--scene", "cta").stdout
    assert answer("status", "ad")["state"] is None
    [still] = answer("takes", "ad", "still:cta")
    adreel("use", "ad", "still:cta", still["job_id"])
    assert adreel("generate", "ad", "--scene", "cta", "--no-cut").returncode == 0
    [clip] = answer("takes", "ad", "cta")
    assert clip["request"]["first_frame"].endswith("#cta-still.jpg")
    assert kinds_bought(runware) == {"still": 1, "clip": 1}


def test_no_voice_and_no_music_leave_out_what_the_session_asks_for(runware: LocalRunware, file: Path) -> None:
    file.write_text(yaml.safe_dump(spoken_session(voice={}, music={})))
    ran = adreel("generate", file, "--no-voice", "--no-music", "--no-cut", "--scene", "hook")
    assert ran.returncode == 0, ran.stderr
    assert kinds_bought(runware) == {"clip": 1}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["regenerate", "ad", "hook", "--voice", "Alex"], "scene hook: voice: nothing that is bought depends on it"),
        (["regenerate", "ad", "voice:hook", "--voice", "Nobody"], "voice of hook: Nobody is no voice of "),
        (["regenerate", "ad", "voice:hook", "--words", TOO_MANY], "40 words don't fit 2 s: at most 5 fit"),
        (["regenerate", "ad", "voice:solution"], "voice of solution: the scene has no dialog_narration"),
        (["narrate", "ad", "--scene", "solution"], "no scene has words for a narrator"),
        (["narrate", "other"], "'other' is neither a session file nor a session in "),
        (["use", "ad", "still:hook", "35f85e76"], "is not a stored take of ad still:hook"),
    ],
    ids=" ".join,
)
def test_a_wrong_order_is_refused_before_anything_is_sent(
    runware: LocalRunware, records: Records, words: list[str], says: str
) -> None:
    ran = adreel(*words)
    assert (ran.returncode, says in ran.stderr) == (2, True), ran.stderr
    assert runware.ledger.submits == {}


def test_max_cost_refuses_a_narration(runware: LocalRunware, records: Records) -> None:
    ran = adreel("narrate", "ad", "--max-cost", "0.0001")
    assert ran.returncode != 0
    assert "and --max-cost is USD 0.0001: nothing was sent" in ran.stderr
    assert runware.ledger.submits == {}


def test_flows_take_parts_and_tell_them(runware: LocalRunware, records: Records) -> None:
    job_id, state = run(generate_ad, session_id="ad", scenarios=["voice-hook", "music"], cut=False)
    assert state.is_completed(), state.message
    assert {each.name for each in task_runs(job_id)} <= {"voice-hook", "music"}
    artifacts = artifacts_of(job_id)
    assert artifacts["progress-ad-voice-hook"].data == 100
    assert str(artifacts["progress-ad-voice-hook"].description) == "Voice of hook"
    rows = json.loads(str(artifacts["job-summary"].data))
    assert [(row["scene"], row["cost"][:7]) for row in rows] == [("voice-hook", "USD 0.0"), ("music", "USD 0.0")]
    assert "USD 0.00 " not in str(artifacts["job-summary"].data)
    job_id, state = run(
        regenerate_scene, session_id="ad", scenario="voice-hook", changes={"dialog_narration": "It pours."}
    )
    assert state.is_completed(), state.message
    take = current_take(records.takes("ad", VOICES[Scenario.HOOK]), records.choices("ad"))
    assert take
    assert take.job_id == job_id


@pytest.mark.slow
def test_a_resume_buys_the_narration_that_is_missing(runware: LocalRunware, records: Records) -> None:
    runware.inject("insufficientCredits:voicex1")
    job_id, state = run(generate_ad, session_id="ad", scenarios=["voice-hook"], cut=False)
    assert state.name == "Failed"
    assert "1 of 1 parts are missing:\nvoice of hook: " in str(state.message)
    _, state = run(resume, target=job_id)
    assert state.is_completed(), state.message
    assert job_status(records, job_id).overall_status == State.COMPLETED
    assert kinds_bought(runware) == {"voice": 1}


@pytest.mark.slow
def test_python_narrates_and_buys_stills(runware: LocalRunware, records: Records) -> None:
    job = api.narrate("ad", cut=False)
    assert job
    assert [scene.scenario for scene in job.scenes] == SPOKEN
    assert api.narrate("ad", cut=False) is None
    music = api.narrate("ad", music=True, cut=False)
    assert music
    assert [scene.scenario for scene in music.scenes] == [Addition.MUSIC]
    stills = api.stills("ad", [Scenario.HOOK])
    assert stills
    still = api.choose_take("ad", STILLS[Scenario.HOOK], stills.scenes[0].take)
    assert still.clip
    assert str(records.session("ad").scene_descriptions[0].first_frame).endswith("#hook-still.jpg")
    with pytest.raises(InputError, match="no part of an ad"):
        api.regenerate("ad", "voice:outro")


@pytest.mark.slow
def test_a_campaign_of_narrated_ads_goes_through_the_smallest_window(runware: LocalRunware, tmp_path: Path) -> None:
    ads = [json.dumps({**spoken_session(voice={}, music={}), "session_id": f"ad-{number}"}) for number in (1, 2)]
    (tmp_path / "spring.jsonl").write_text("\n".join(ads))
    ran = adreel("campaign", tmp_path / "spring.jsonl", "--window", "4", "--no-cut")
    assert ran.returncode == 0, ran.stderr
    assert kinds_bought(runware) == {"clip": 8, "voice": 6, "music": 2}
    [campaign] = answer("campaigns")
    assert (campaign["states"], campaign["unknown_bills"]) == ({"completed": 2}, 0)
