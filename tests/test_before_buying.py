"""Output and errors before anything is bought or written: `adreel prompt`, warnings and bad input."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from adreel.campaigns import MAX_LISTED, OTHER_WARNINGS, check_sessions
from adreel.catalog import packaged
from adreel.cli.app import app
from adreel.errors import InputError
from adreel.flows import in_process
from adreel.flows.running import Observer, open_records
from adreel.models.api import ClipWarning
from adreel.models.scenarios import Scenario
from adreel.models.sessions import read_session
from adreel.purchase.planning import planned_scene
from adreel.records import Records
from adreel.records.views import warning_lines
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.tasks.artifacts import ProgressArtifact, SceneProgress
from tests.factories import make_session, make_take, session_data, write_image
from tests.studio import studio
from tests.test_cli import adreel

KLING = "klingai:kling-video@3-standard"
SEEDANCE = "bytedance:2@2"
HOOK = Scenario.HOOK


def session_file(folder: Path, **changes: Any) -> Path:
    """Write a session of one scene; some changes are those of the scene."""
    data = session_data(**{name: value for name, value in changes.items() if name in {"model", "target_platform"}})
    data["scene_descriptions"] = [{**data["scene_descriptions"][0], **changes}]
    data["scene_descriptions"][0].pop("target_platform", None)
    file = folder / "ad.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


def printed(*words: str | Path) -> str:
    ran = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.output


# adreel prompt


def test_prompt_prints_the_request_and_its_warnings_and_writes_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "lamp.png")
    file = session_file(
        tmp_path,
        model=KLING,
        target_platform="TikTok",
        first_frame="lamp.png",
        seed=7,
        sound=False,
        negative_prompt="no text",
        background_music="a piano",
    )
    lines = printed("prompt", file).splitlines()
    assert lines[0] == f"hook: Kling VIDEO 3.0 Standard ({KLING}), the image's size, 5 s, without sound"
    assert {"  first_frame: lamp.png", "  negative_prompt: no text", "    Framed for TikTok."} <= set(lines)
    assert "    a lamp in the hook." in lines
    assert [line for line in lines if line.startswith("warning: ")] == lines[-2:]
    assert "warning: hook: Kling VIDEO 3.0 Standard" in lines[-1] + lines[-2]
    assert "piano" not in "\n".join(lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ad.yaml", "lamp.png"]


@pytest.mark.parametrize("name", ["glowcap", "fernway-vertical", "emberly"])
def test_prompt_shows_the_facts_of_the_product_in_each_scene_of_the_examples(name: str) -> None:
    file = Path(__file__).parents[1] / "examples" / f"{name}.yaml"
    session = read_session(file)
    scenes = json.loads(printed("prompt", file, "--json"))
    assert [(scene["scenario"], scene["warnings"]) for scene in scenes] == [(each.value, []) for each in Scenario]
    for scene in scenes:
        prompt = scene["request"]["positivePrompt"]
        facts = [session.main_benefit, session.target_audience, session.target_platform, session.brand_tone]
        assert [fact for fact in facts if fact not in prompt] == []
        assert (session.website_url in prompt) == (scene["scenario"] == "cta")


def test_prompt_prints_the_task_for_programs(tmp_path: Path) -> None:
    write_image(tmp_path / "lamp.png")
    references = ["lamp.png", "https://pictures.example/a.png"]
    file = session_file(tmp_path, model=SEEDANCE, references=references, aspect="9:16", resolution="480p", seed=7)
    [hook] = json.loads(printed("prompt", file, "--json"))
    assert (hook["scenario"], hook["request"]["model"], hook["request"]["seed"]) == ("hook", SEEDANCE, 7)
    assert hook["request"]["inputs"] == {"referenceImages": references}
    assert "taskUUID" not in hook["request"]
    assert {warning["code"] for warning in hook["warnings"]} == {"notKnown"}


async def test_prompt_shows_what_is_sent(tmp_path: Path) -> None:
    image = write_image(tmp_path / "lamp.png")
    async with studio() as it:
        session = make_session(seconds=2, seed=7, settings={"cameraFixed": True})
        session.scene(HOOK).first_frame = str(image)
        it.records.save_session(session)
        take = await it.produce()
        [entry] = it.server.ledger.entries
        sent = {name: value for name, value in entry.request.items() if name != "taskUUID"}
        sent["inputs"] = {"frameImages": [{"image": "lamp.png", "frame": "first"}]}
        assert planned_scene(HOOK, take.request, packaged()).task == sent


def test_prompt_shows_a_stored_session_too(tmp_path: Path) -> None:
    Records(Storage("outputs")).save_session(make_session(model=SEEDANCE))
    before = sorted(tmp_path.rglob("*"))
    shown = printed("prompt", "ad", "--scene", "cta", "--scene", "hook")
    assert [line[:4] for line in shown.splitlines() if SEEDANCE in line] == ["hook", "cta:"]
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(InputError, match=r"^'other' is neither a session file nor a session in"):
        printed("prompt", "other")


# Warnings


def test_a_warning_of_several_scenes_is_one_line() -> None:
    seed, sound = (ClipWarning(code=name, message=f"no {name}") for name in ("seed", "sound"))
    lines = warning_lines([("hook", [seed, sound]), ("problem", []), ("cta", [seed])])
    assert lines == ["hook, cta: no seed", "hook: no sound"]


def test_warnings_are_told_before_anything_is_bought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*_: object) -> None:
        raise InputError("it ends before the flow")

    told: list[str] = []
    observer = Observer()
    monkeypatch.setattr(observer, "message", told.append)
    monkeypatch.setattr(in_process, "run_flow", end)
    with pytest.raises(InputError, match="ends before"):
        in_process.generate(make_session(model=KLING, seed=7), observer=observer)
    assert told == [
        f"warning: hook, problem, solution, cta: Kling VIDEO 3.0 Standard ({KLING}) has no seed: it is left out"
    ]
    told.clear()
    monkeypatch.setenv("ADREEL_CUT", "true")
    chinese = make_session(sound=True, cut={"end_card": {"text": "灯"}})
    chinese.scene_descriptions[1].dialog_narration = "只照亮书页。"
    with pytest.raises(InputError, match="ends before"):
        in_process.generate(chinese, again=True, observer=observer)
    assert [line.partition(": the font")[0] for line in told] == [
        "warning: the finished ad can't show the captions of scene problem",
        "warning: the finished ad can't show its end card",
    ]
    told.clear()
    with pytest.raises(InputError, match="ends before"):
        in_process.generate(chinese, again=True, cut=False, observer=observer)
    assert told == []
    open_records().save_session(make_session(model=KLING, seed=7))
    with pytest.raises(InputError, match="ends before"):
        in_process.regenerate("ad", "hook", observer=observer)
    assert told == [f"warning: hook: Kling VIDEO 3.0 Standard ({KLING}) has no seed: it is left out"]


async def test_the_log_of_a_scene_begins_with_its_warnings(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProgressArtifact, "show", lambda *_: None)
    take = make_take()
    seed = ClipWarning(code="noSeed", message="it has no seed")
    take.request = take.request.model_copy(update={"warnings": (seed,)})
    progress = SceneProgress(logging.getLogger("adreel.test"), HOOK)
    with caplog.at_level(logging.INFO, "adreel.test"):
        progress(take, "rendered")
        progress(take, "stored")
    assert caplog.messages == ["hook: it has no seed", "hook: rendered (100 %)", "hook: stored (100 %)"]


def test_a_campaign_counts_its_warnings(tmp_path: Path) -> None:
    sessions = [session_data(session_id=f"ad-{number}", model=KLING, seed=7) for number in range(3)]
    for number, session in enumerate(sessions * 10):
        session["session_id"] = f"ad-{number}"
    file = tmp_path / "spring.jsonl"
    file.write_text("\n".join(json.dumps(session) for session in sessions))
    warnings = Counter[str]()
    check_sessions(Settings.load(), str(file), warnings=warnings)
    assert warnings == {f"Kling VIDEO 3.0 Standard ({KLING}) has no seed: it is left out": 12}
    warnings = Counter({f"warning {number}": 1 for number in range(MAX_LISTED)})
    check_sessions(Settings.load(), str(file), warnings=warnings)
    assert warnings[OTHER_WARNINGS] == 12


def test_a_campaign_names_the_place_of_a_bad_scene(tmp_path: Path) -> None:
    file = tmp_path / "spring.jsonl"
    file.write_text(json.dumps(session_data(model=KLING, size="64x48")))
    with pytest.raises(InputError, match=r"spring\.jsonl, line 1: scene hook: size 64x48 is not offered by Kling"):
        check_sessions(Settings.load(), str(file))


# Bad input


BAD = [
    ({"aspect": "16:10"}, r"aspect: '16:10' is not one of 16:9, 9:16, .*, 9:21: did you mean 3:2\?"),
    ({"aspect": "1080x1920"}, r"aspect: '1080x1920' is not one of .*: did you mean 9:16\?"),
    ({"resolution": "1080"}, r"resolution: '1080' is not one of 360p, .*, 4k: did you mean 1080p\?"),
    ({"resolution": "sharp"}, r"resolution: 'sharp' is not one of 360p, 480p, 540p, 720p, 768p, 1080p, 1440p, 2k, 4k$"),
    ({"size": "16:9"}, "size: .* is an aspect ratio: give WIDTHxHEIGHT, such as 1280x720, or set `aspect` instead"),
    ({"model": "klingai:kling-video@3-standart"}, rf"did you mean .*\({KLING}\)"),
    ({"model": "bytedance:seedance@1.5-pro"}, "scene hook: .* is no longer offered by Runware since .*: use "),
    ({"references": ["https://pictures.example/a"] * 31}, r"references: 31 are given, at most 30 are allowed"),
    ({"first_frame": "gone.png"}, r"scene hook: can't read first_frame 'gone\.png': No such file or directory"),
    ({"first_frame": "text.png"}, r"scene hook: first_frame '.*text\.png' is neither an https URL nor a PNG"),
    ({"first_frame": "half.jpg"}, r"scene hook: first_frame '.*half\.jpg' is a damaged image"),
    ({"references": ["whole.png", "half.jpg"]}, r"scene hook: references\.1 '.*half\.jpg' is a damaged image"),
    ({"references": ["whole.png", "folder"]}, r"scene hook: references\.1 '.*folder' is not a file"),
    ({"first_frame": "http://pictures.example/a.png"}, "scene hook: first_frame 'http://.*' is no https URL: give one"),
    (
        {"last_frame": f"data:image/png;base64,{'A' * 9000}"},
        r"scene hook: last_frame 'data:.{95}\.\.\.' is no https",
    ),
    ({"settings": {"taskUUID": "1"}}, r"settings\.taskUUID would replace a parameter of adreel's own: leave it out"),
]


@pytest.mark.parametrize(("changes", "reason"), BAD, ids=lambda value: str(value)[:30])
def test_bad_input_is_one_sentence_and_writes_nothing(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    images(tmp_path)
    file = session_file(tmp_path, **{"model": SEEDANCE, **changes})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=reason) as caught:
        in_process.generate(read_session(file), ["hook"])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("changes", "reason"), BAD, ids=lambda value: str(value)[:30])
def test_so_is_a_bad_change_of_a_scene(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    images(tmp_path)
    Records(Storage("outputs")).save_session(make_session(model=SEEDANCE))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=reason.removeprefix("scene hook: ")):
        in_process.regenerate("ad", "hook", **changes)
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_input_ends_a_command_with_2(tmp_path: Path) -> None:
    file = session_file(tmp_path, first_frame="http://pictures.example/a.png")
    ran = adreel("generate", file, "--scene", "hook")
    assert ran.returncode == 2
    assert ran.stderr.startswith("adreel: scene hook: first_frame 'http://pictures.example/a.png' is no https URL")
    assert not (tmp_path / "outputs").exists()


def test_unchecked_sends_what_the_catalogue_does_not_know(tmp_path: Path) -> None:
    file = session_file(tmp_path, model="newcomer:1@1", seed=7)
    with pytest.raises(InputError, match=r"newcomer:1@1.* is not in the catalogue of .*--unchecked sends it anyway"):
        printed("prompt", file)
    shown = printed("prompt", file, "--unchecked")
    assert "hook: newcomer:1@1" in shown
    assert "  seed: 7" in shown
    with pytest.raises(InputError, match="--parts starts runs of workers: set ADREEL_CATALOG=unchecked"):
        printed("campaign", file, "--parts", "2", "--unchecked")


def images(folder: Path) -> None:
    write_image(folder / "whole.png")
    (folder / "text.png").write_text("root:x:0:0")
    Image.effect_noise((200, 200), 50).save(folder / "half.jpg")
    (folder / "half.jpg").write_bytes((folder / "half.jpg").read_bytes()[:2000])
    (folder / "folder").mkdir()
