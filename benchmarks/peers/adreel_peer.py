"""adreel itself: ads of four scenes, recorded as jobs and carried out by its flow `resume`."""

import os
from pathlib import Path
from uuid import uuid4

from benchmarks.peers import clips

os.environ |= {
    "RUNWARE_URL": clips.RUNWARE,
    "RUNWARE_API_KEY": "",
    "ADREEL_STORAGE": str(clips.FOLDER),
    "ADREEL_CONCURRENCY": str(clips.SCENES),
}

from adreel.jobs import start_job
from adreel.records import Records
from adreel.scenarios import Scenario
from adreel.sessions import read_session
from adreel.settings import Settings
from adreel.storage import Storage
from flows.resume import resume

EXAMPLE = Path(__file__).parents[2] / "examples" / "glowcap.yaml"


def plan(records: Records, settings: Settings) -> None:
    """Record a job for each ad; the last may have fewer scenes."""
    example = read_session(EXAMPLE)
    for scene in example.scene_descriptions:
        scene.seed = clips.ORDER["seed"]
    scenarios = list(Scenario)
    for first in range(0, clips.SCENES, len(scenarios)):
        session = example.model_copy(update={"session_id": f"ad-{first}"})
        records.save_session(session)
        chosen = scenarios[: clips.SCENES - first]
        start_job(records, settings, str(uuid4()), session.session_id, scenarios=chosen)


def main() -> None:
    """Make all clips, or what an earlier run has left open."""
    settings = Settings.load()
    records = Records(Storage.of(settings))
    clips.tell("submitting")
    if not records.job_ids():
        plan(records, settings)
    resume()
    clips.tell("home")


if __name__ == "__main__":
    main()
