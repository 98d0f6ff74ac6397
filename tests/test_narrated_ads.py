"""An ad with a bought narrator and bought music, from the command to the finished file, measured by FFmpeg."""

import re
from array import array
from pathlib import Path

import pytest
import yaml

from adreel.emulator import LocalRunware
from adreel.models.parts import VOICES, Addition
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.records import Records
from adreel.records.views import cut_views
from tests.cut.measuring import ffmpeg, measure_file
from tests.factories import session_data
from tests.test_cli import adreel, answer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect")]

HOOK, PROBLEM, SOLUTION, CTA = Scenario
SECONDS = 4
WORDS = {HOOK: "Do you read in the dark?", SOLUTION: "Your page, and nobody else's.", CTA: "Read on."}
RATE = 8000


@pytest.fixture
def session_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a session of silent scenes, three of them with words. Its ad is made at once."""
    monkeypatch.delenv("ADREEL_CUT")
    session = session_data(seconds=SECONDS, sound=False)
    for scene in session["scene_descriptions"]:
        scene["dialog_narration"] = WORDS.get(scene["scenario"], "")
    file = tmp_path / "ad.yaml"
    file.write_text(yaml.safe_dump(session))
    return file


def bought(runware: LocalRunware) -> list[tuple[str, str]]:
    """Return the task types and the words or prompts that the provider has billed, in their order."""
    requests = [entry.request for entry in runware.ledger.entries]
    return [
        (each["taskType"], each["speech"]["text"] if "speech" in each else each["positivePrompt"]) for each in requests
    ]


def film_of(records: Records) -> Path:
    cut = max(records.cuts("ad"), key=lambda cut: cut.created_at)
    return Path(records.storage.location(cut.files[0].file))


def samples_of(film: Path) -> "array[float]":
    raw, _ = ffmpeg("-v", "error", "-i", film, "-map", "0:a", "-f", "f32le", "-ac", "1", "-ar", str(RATE), "-")
    return array("f", raw)


def speech_in(film: Path) -> list[tuple[float, float]]:
    """Return the stretches of a film that are not silent."""
    _, said = ffmpeg("-i", film, "-af", "silencedetect=noise=-45dB:d=0.5", "-f", "null", "-")
    edges = [0.0, *(float(at) for at in re.findall(r"silence_(?:start|end): (\S+)", said))]
    if len(edges) % 2:
        edges.append(4.0 * SECONDS)
    stretches = list(zip(edges[::2], edges[1::2], strict=True))
    return [(start, end) for start, end in stretches if end - start > 0.1]


def test_a_narrator_speaks_inside_the_scenes_above_the_music(
    runware: LocalRunware, records: Records, session_file: Path
) -> None:
    assert adreel("generate", session_file, "--voice").returncode == 0
    spoken = film_of(records)
    speech = speech_in(spoken)
    scenes = [list(Scenario)[int(start / SECONDS)] for start, _ in speech]
    assert scenes == list(WORDS)
    for start, end in speech:
        assert end <= (int(start / SECONDS) + 1) * SECONDS
    made = answer("narrate", "ad", "--music")
    assert [scene["scenario"] for scene in made["scenes"]] == ["music"]
    film = film_of(records)
    assert film != spoken
    assert measure_file(film).loudness == pytest.approx(-14, abs=0.5)
    # Without the voice of the first film, the second one has its music alone.
    voice, mixed = samples_of(spoken), samples_of(film)
    for start, end in speech:
        low, high = round(start * RATE), round(end * RATE)
        alone, both = voice[low:high], mixed[low:high]
        power = sum(each * each for each in alone)
        gain = sum(a * b for a, b in zip(alone, both, strict=True)) / power
        rest = sum((b - gain * a) ** 2 for a, b in zip(alone, both, strict=True))
        assert gain * gain * power >= 10 * rest
    types = [kind for kind, _ in bought(runware)]
    assert types.count("videoInference") == 4
    assert types.count("audioInference") == len(WORDS) + 1


def test_a_changed_narration_alone_is_bought_again_and_makes_the_ad_stale(
    runware: LocalRunware, records: Records, session_file: Path
) -> None:
    assert adreel("generate", session_file, "--voice", "--music").returncode == 0
    before = len(bought(runware))
    assert "is bought already" in adreel("narrate", "ad", "--music").stdout
    assert len(bought(runware)) == before

    records.update_session("ad", lambda session: _with_words(session, HOOK, "Who turned on the light?"))
    narrated = answer("narrate", "ad", "--no-cut")
    assert [scene["scenario"] for scene in narrated["scenes"]] == [VOICES[HOOK]]
    assert bought(runware)[before:] == [("audioInference", "Who turned on the light?")]
    assert [view.state for view in cut_views(records, "ad")] == ["stale"]
    take = records.takes("ad", VOICES[HOOK])[-1]
    assert take.cost == pytest.approx(runware.ledger.entries[-1].billed)


def _with_words(session: Session, scenario: Scenario, words: str) -> Session:
    scenes = [
        scene.model_copy(update={"dialog_narration": words}) if scene.scenario == scenario else scene
        for scene in session.scene_descriptions
    ]
    return session.model_copy(update={"scene_descriptions": scenes})


def test_a_narration_that_does_not_fit_is_refused_before_anything_is_sent(
    runware: LocalRunware, records: Records, session_file: Path
) -> None:
    session = yaml.safe_load(session_file.read_text())
    session["scene_descriptions"][0] |= {"duration": 5, "dialog_narration": " ".join(["word"] * 40)}
    session_file.write_text(yaml.safe_dump(session))
    refused = adreel("generate", session_file, "--voice")
    assert refused.returncode == 2
    assert "voice of hook: 40 words don't fit 5 s: at most 12 fit" in refused.stderr
    assert not runware.ledger.submits
    assert records.session_ids() == []


def test_a_still_is_bought_and_becomes_the_first_frame(
    runware: LocalRunware, records: Records, session_file: Path
) -> None:
    session = yaml.safe_load(session_file.read_text())
    records.create_session(Session.model_validate(session))
    made = answer("stills", "ad", "--scene", "hook")
    [still] = made["scenes"]
    assert still["scenario"] == "still-hook"
    assert [kind for kind, _ in bought(runware)] == ["imageInference"]
    used = adreel("use", "ad", "still:hook", still["take"])
    assert used.returncode == 0
    frame = records.session("ad").scene(HOOK).first_frame
    assert frame is not None
    content = records.storage.read(f"sessions/ad/{frame.partition('#')[0]}")
    assert content == Path(still["location"]).read_bytes()
    assert Addition.STILL_HOOK in records.choices("ad").takes
