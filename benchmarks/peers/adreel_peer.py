"""adreel itself: ads of four scenes, as a campaign with all scenes in flight."""

import json
import os
from pathlib import Path

from benchmarks.peers import clips

os.environ |= {
    "RUNWARE_URL": clips.RUNWARE,
    "RUNWARE_API_KEY": "",
    "ADREEL_STORAGE": str(clips.FOLDER),
    "ADREEL_CONCURRENCY": str(clips.SCENES),
    # The peers make no finished ad either.
    "ADREEL_CUT": "false",
}

from adreel.flows.generate_campaign import generate_campaign
from adreel.models.scenarios import Scenario
from adreel.models.sessions import read_session

EXAMPLE = Path(__file__).parents[2] / "examples" / "glowcap.yaml"


def write_sessions(file: Path) -> None:
    """Write the sessions of the campaign. The number of scenes must be a multiple of four."""
    example = clips.ordered_alike(read_session(EXAMPLE))
    with file.open("w") as lines:
        for number in range(clips.SCENES // len(Scenario)):
            session = example.model_copy(update={"session_id": f"ad-{number}"})
            lines.write(json.dumps(session.model_dump(mode="json")) + "\n")


def main() -> None:
    """Make all clips, or those that an earlier run has left open."""
    source = clips.STATE / "ads.jsonl"
    write_sessions(source)
    clips.tell("submitting")
    generate_campaign(str(source), window=max(clips.SCENES, len(Scenario)))
    clips.tell("stored")


if __name__ == "__main__":
    main()
