"""The command line as a person types it: real processes, a real Prefect server, the emulator."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from adreel.emulator import LocalRunware, in_thread
from adreel.models.scenarios import Scenario
from adreel.purchase.jobs import start_job
from adreel.records import Records
from adreel.settings import Settings
from adreel.storage import Storage
from tests.commands import run_command
from tests.factories import make_session, session_data, write_image

ADREEL = Path(sys.executable).with_name("adreel")
GLOWCAP = str(Path(__file__).parent.parent / "examples" / "glowcap.yaml")


@pytest.fixture
def session_file(tmp_path: Path) -> Path:
    file = tmp_path / "ad.yaml"
    file.write_text(yaml.safe_dump(session_data(seconds=1)))
    return file


def adreel(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_command(ADREEL, [str(word) for word in words], {**os.environ, "RUNWARE_API_KEY": "", **environment})


def answer(*words: str | Path, **environment: str) -> Any:
    ran = adreel(*words, "--json", **environment)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def files(folder: Path) -> dict[str, bytes]:
    """Return the files of a storage, but not the feed of changes, which is written in the background."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith("changes/")}


def test_help_and_version_do_without_prefect_and_pydantic() -> None:
    code = "import sys, adreel.cli.app; sys.exit(bool({'prefect', 'pydantic', 'runware', 'av'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert "generate" in adreel("--help").stdout
    installed = subprocess.run([ADREEL, "version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", installed.stdout)


def test_the_schema_names_every_field_of_a_session() -> None:
    schema = json.loads(adreel("schema").stdout)
    assert {"session_id", "product_name", "scene_descriptions"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


@pytest.mark.usefixtures("prefect")
def test_generate_regenerate_and_use_from_the_first_clip_to_the_choice(
    runware: LocalRunware, session_file: Path, tmp_path: Path
) -> None:
    ran = adreel("generate", session_file)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert "hook: rendering (30%)" in ran.stdout
    assert "adreel regenerate ad hook" in ran.stdout
    outputs = tmp_path / "outputs"
    before = files(outputs)
    assert len([path for path in before if path.endswith(".mp4")]) == 4

    image = write_image(tmp_path / "lamp.png")
    options = ["--prompt", "another hook", "--seed", "7", "--first-frame", "lamp.png", "--last-frame", "lamp.png"]
    options += ["--reference", "lamp.png", "--reference", "https://pictures.example/a.png", "--size", "64x48"]
    options += ["--seconds", "2", "--no-sound", "--negative-prompt", "no text"]
    ran = adreel("regenerate", "ad", "hook", *options)
    assert ran.returncode == 0, ran.stderr
    warning = "warning: hook: it is not known whether Seedance 1.0 Pro Fast (bytedance:2@2) takes reference images\n"
    assert ran.stdout.count(warning) == 2
    assert ran.stdout.index(warning) < ran.stdout.index("hook: rendering (30%)")
    image.unlink()
    after = files(outputs)
    assert {path: after[path] for path in before} == before

    old, new = answer("takes", "ad", "hook")
    assert new["request"]["seed"] == 7
    assert new["request"]["first_frame"].endswith(".png#lamp.png")
    assert new["request"]["references"] == [new["request"]["first_frame"], "https://pictures.example/a.png"]
    asked = {"duration": 2, "width": 64, "height": 48, "sound": False, "last_frame": new["request"]["first_frame"]}
    assert new["request"].items() >= asked.items()
    assert "Avoid: no text" in new["request"]["prompt"]
    assert warning in adreel("status", "ad").stdout
    assert warning.replace("hook:", f"hook {new['attempts'][0]['uuid'][:8]}:") in adreel("takes", "ad").stdout
    [hook] = [scene for scene in answer("status", "ad")["scene_videos"] if scene["scenario"] == "hook"]
    assert hook["take"] == new["job_id"]
    assert adreel("use", "ad", "hook", old["job_id"]).returncode == 0
    [hook] = [scene for scene in answer("status", "ad")["scene_videos"] if scene["scenario"] == "hook"]
    assert hook["take"] == old["job_id"]
    new_files = {path for path in files(outputs) if path not in after}
    assert new_files == {"sessions/ad/current.json"}
    assert [each["session_id"] for each in answer("sessions")] == ["ad"]
    assert answer("verify") == []
    next(outputs.glob("ad_cta_*.mp4")).write_bytes(b"")
    ran = adreel("verify")
    assert ran.returncode == 1
    assert "changed: " in ran.stdout


@pytest.mark.usefixtures("prefect")
def test_a_scene_told_to_fail_ends_the_command_with_1_and_three_clips(
    runware: LocalRunware, session_file: Path, tmp_path: Path
) -> None:
    runware.inject("contentPolicy:solution")
    ran = adreel("generate", session_file)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stdout + ran.stderr
    assert re.search(r"^solution: failed: .*invalidProviderContent", ran.stdout, re.MULTILINE)
    assert re.search(r"^solution +failed .*invalidProviderContent", ran.stdout, re.MULTILINE)
    assert "adreel regenerate ad solution" in ran.stdout
    assert len(list((tmp_path / "outputs").glob("*.mp4"))) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("prefect")
def test_each_scene_without_a_clip_gets_the_command_that_suits_it(runware: LocalRunware, session_file: Path) -> None:
    # A refusal for credits would keep other scenes from being sent.
    for fault in ("neverEnds:problem", "contentPolicy:solution"):
        runware.inject(fault)
    ran = adreel("generate", session_file, ADREEL_DEADLINE="3")
    assert ran.returncode == 1
    job_id = answer("status", "ad")["scene_videos"][0]["take"]
    next_steps = [
        "Rerun one scene:  adreel regenerate ad solution",
        "  solution: Runware refuses this description: change it first. This buys a new clip.",
        f"Resume the job:  adreel resume {job_id}",
        "  problem: It is ordered already: this downloads the clip, and buys another only if its render has failed.",
    ]
    assert ran.stdout[ran.stdout.index("Rerun one scene") :].splitlines() == next_steps
    # PREFECT_API_URL names a server, so none is started.
    assert "Starting Prefect" not in ran.stdout
    shown = adreel("status", "ad").stdout
    assert shown[shown.index("Rerun one scene") :].splitlines() == next_steps
    assert re.search(r"solution +failed .*invalidProviderContent", shown)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect")
def test_generating_a_session_twice_takes_an_explicit_word(runware: LocalRunware, session_file: Path) -> None:
    first = answer("generate", session_file, "--scene", "hook")
    assert first["overall_status"] == "completed"
    ran = adreel("generate", session_file, "--scene", "hook")
    assert ran.returncode == 2
    assert "--again" in ran.stderr
    assert len(runware.ledger.entries) == 1
    answer("generate", session_file, "--scene", "hook", "--again")
    assert len(runware.ledger.entries) == 2


@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)], ids=["Ctrl-C", "SIGTERM"]
)
def test_an_interrupted_generate_ends_and_leaves_its_take_to_be_taken_up(
    runware: LocalRunware, session_file: Path, number: signal.Signals
) -> None:
    runware.inject("neverEnds")
    with subprocess.Popen(
        [ADREEL, "generate", session_file, "--scene", "hook"],
        env={**os.environ, "RUNWARE_API_KEY": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "rendering" in line:
                process.send_signal(number)
                break
        _, errors = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert "Traceback" not in errors
    [take] = answer("takes", "ad", "hook")
    assert take["attempts"][0]["state"] == "accepted"
    assert "cancelled" in take["problem"]["message"]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect")
def test_a_killed_generate_is_resumed_without_buying_again(
    runware: LocalRunware, session_file: Path, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [ADREEL, "generate", session_file], env={**os.environ, "RUNWARE_API_KEY": ""}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "rendering" in line:
                process.kill()
                break
    _free_slots()
    ran = adreel("resume", "ad")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(list((tmp_path / "outputs").glob("*.mp4"))) == 4
    assert len(runware.ledger.entries) == 4
    assert "nothing to resume" in adreel("resume", "--all").stdout


@pytest.mark.slow
@pytest.mark.usefixtures("prefect", "runware")
def test_resume_all_brings_home_what_is_beside_a_broken_record_and_ends_with_1(tmp_path: Path) -> None:
    records = Records(Storage("outputs"))
    records.save_session(make_session(seconds=1))
    for job_id in ("good", "torn"):
        start_job(records, Settings.load(), job_id, "ad", scenarios=[Scenario.HOOK])
    (tmp_path / "outputs/jobs/torn.json").write_text("{")
    ran = adreel("resume", "--all")
    assert ran.returncode == 1
    assert "job good: completed" in ran.stdout
    assert f"adreel: {tmp_path}/outputs/jobs/torn.json is not a valid record" in ran.stderr
    assert (tmp_path / "outputs/jobs/torn.json").read_text() == "{"


def test_a_bad_key_is_one_clear_sentence(prefect: str, session_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_thread(keys=frozenset({"good"})) as server:
        monkeypatch.setenv("RUNWARE_URL", server.url)
        monkeypatch.setenv("ADREEL_MODEL", "bytedance:2@2")
        ran = adreel("generate", session_file, "--scene", "hook", RUNWARE_API_KEY="sk-not-good")
    assert ran.returncode == 1
    assert "RUNWARE_API_KEY" in ran.stdout
    assert "sk-not-good" not in ran.stdout + ran.stderr
    assert not any(b"sk-not-good" in content for content in files(Path("outputs")).values())


def _free_slots() -> None:
    from tests.slots import free_slots

    free_slots()


@pytest.mark.slow
def test_without_any_server_or_key_an_ad_is_generated_all_the_same(session_file: Path, tmp_path: Path) -> None:
    environment = {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": "",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "ADREEL_MODEL": "bytedance:2@2",
        "ADREEL_SIZE": "128x72",
        "ADREEL_LOCAL_RENDER_SECONDS": "0.3",
    }
    ran = adreel("generate", session_file, "--json", **environment)
    assert ran.returncode == 0, ran.stderr
    job = json.loads(ran.stdout)
    assert [scene["status"] for scene in job["scenes"]] == ["completed"] * 4
    clips = [Path(scene["location"]).read_bytes() for scene in job["scenes"]]
    assert len(set(clips)) == 4

    # What a killed run leaves on the embedded server: slots that nobody will ever free.
    with closing(sqlite3.connect(tmp_path / "prefect" / "prefect.db")) as database, database:
        database.execute("UPDATE concurrency_limit_v2 SET active_slots = 4")
    before = files(tmp_path / "outputs")
    ran = adreel("regenerate", "ad", "hook", **environment)
    assert ran.returncode == 0, ran.stderr
    assert "nothing is spent.\nStarting Prefect ...\n" in ran.stdout
    after = files(tmp_path / "outputs")
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize(
    ("change", "words", "says"),
    [
        ({"session_id": "../up"}, [], "session_id"),
        ({"product_name": ""}, [], "product_name"),
        ({"colour": "red"}, [], "colour"),
        ({"scene_descriptions": []}, [], "scene_descriptions"),
        ({}, ["--scene", "outro"], "outro"),
        ({"scene_descriptions": [{"scenario": "hook", "visual_description": "x"}]}, [], "problem, solution, cta"),
        ({"scene_descriptions": [{"scenario": "hook", "visual_description": "x"}] * 2}, [], "more than once: hook"),
        (
            {"scene_descriptions": [{"scenario": "hook", "visual_description": "x", "duration": 7.5}]},
            ["--scene", "hook"],
            "scene hook: duration 7.5 .* it offers whole seconds",
        ),
        (
            {"scene_descriptions": [{"scenario": "hook", "visual_description": "x", "size": "64x64"}]},
            ["--scene", "hook"],
            "scene hook: size 64x64 .* 1280x720",
        ),
        (
            {"scene_descriptions": [{"scenario": "hook", "visual_description": "x", "first_frame": "gone.png"}]},
            ["--scene", "hook"],
            "scene hook: can't read first_frame 'gone.png'",
        ),
    ],
    ids=[
        "id leads out of its folder",
        "no product",
        "unknown field",
        "no scenes",
        "unknown scenario",
        "missing scenes",
        "doubled scene",
        "duration",
        "size",
        "first frame",
    ],
)
def test_bad_input_ends_with_2_and_one_sentence_that_names_it(
    session_file: Path, change: dict[str, Any], words: list[str], says: str
) -> None:
    session_file.write_text(yaml.safe_dump({**yaml.safe_load(session_file.read_text()), **change}))
    ran = adreel("generate", session_file, *words)
    assert ran.returncode == 2
    assert re.search(says, ran.stderr), ran.stderr
    assert "Traceback" not in ran.stderr
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("words", "environment", "code", "says"),
    [
        (["generate", "nowhere.yaml"], {}, 2, "nowhere.yaml"),
        (["status", "nobody"], {}, 2, "neither a job nor a session"),
        (["status", "../../etc"], {}, 2, "letters, digits"),
        (["takes", "nobody"], {}, 2, "no session 'nobody'"),
        (["use", "nobody", "hook", "1"], {}, 2, "nobody"),
        (["resume", "nobody"], {}, 2, "neither a job nor a session"),
        (["resume"], {}, 2, "--all"),
        (["sessions"], {"ADREEL_CONCURRENCY": "none"}, 2, "ADREEL_CONCURRENCY"),
        (["sessions"], {"ADREEL_STORAGE": "nosuch://x"}, 1, "ADREEL_STORAGE"),
        (["generate", GLOWCAP], {"ADREEL_STORAGE": "/dev/null/x"}, 1, "/dev/null/x"),
        (["generate", GLOWCAP], {"RUNWARE_URL": "wss://elsewhere.example/v1"}, 2, "RUNWARE_API_KEY"),
        (["local-runware", "--port", "0", "--fault", "nosuch"], {}, 2, "nosuch"),
    ],
    ids=[
        "no such file",
        "unknown name",
        "name leads out of its folder",
        "takes of nobody",
        "use of nobody",
        "resume of nobody",
        "resume of nothing",
        "setting that is no number",
        "storage of no kind",
        "storage that is no folder",
        "foreign address without a key",
        "unknown fault",
    ],
)  # fmt: skip
def test_other_mistakes_are_named_too(words: list[str], environment: dict[str, str], code: int, says: str) -> None:
    ran = adreel(*words, **environment)
    assert ran.returncode == code
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_local_runware_serves_until_it_is_interrupted() -> None:
    with subprocess.Popen([ADREEL, "local-runware", "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert re.match(r"RUNWARE_URL=ws://127\.0\.0\.1:\d+/v1", server.stdout.readline())
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 0
