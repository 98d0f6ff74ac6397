"""One ad, warm: how much longer it takes than its critical path, and how late a rendered clip is stored.

Usage: python -m benchmarks.one_ad [--ads 9] [--render-seconds 5]

A Prefect server on PostgreSQL and a local Runware are processes of their own; this process makes one ad after the other
with the flow `generate-ad`. The critical path is one render and the transfer of one clip. The lag of a scene runs from
the end of its render, by the provider's ledger, to its record `stored`, less the transfer.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.peers import clips
from benchmarks.peers.catalog import named
from benchmarks.peers.measuring import transfer_seconds
from benchmarks.peers.surroundings import Surroundings, around

EXAMPLE = Path(__file__).parent.parent / "examples" / "glowcap.yaml"


def make_ads(place: Surroundings, ads: int) -> tuple[list[float], list[float]]:
    """Return how long each ad took, and the seconds from the end of each render to its record."""
    os.environ |= {
        **place.settings,
        "RUNWARE_URL": place.settings["PEERS_RUNWARE"],
        "RUNWARE_API_KEY": "",
        "ADREEL_STORAGE": str(place.folder),
        "PREFECT_LOGGING_TO_CONSOLE_LEVEL": "ERROR",
    }
    from adreel.records import Records  # noqa: PLC0415 - Prefect reads the environment when it is imported
    from adreel.sessions import read_session  # noqa: PLC0415
    from adreel.storage import Storage  # noqa: PLC0415
    from flows.generate_ad import generate_ad  # noqa: PLC0415

    records, example = Records(Storage(str(place.folder))), read_session(EXAMPLE)
    for scene in example.scene_descriptions:
        scene.seed = clips.ORDER["seed"]
    walls, stored = [], {}
    for number in range(ads + 1):
        session = example.model_copy(update={"session_id": f"ad-{number}"})
        records.save_session(session)
        began = time.perf_counter()
        generate_ad(session.session_id)
        walls.append(time.perf_counter() - began)
        for scenario in session.scenarios:
            (take,) = records.takes(session.session_id, scenario)
            stored[str(take.attempts[-1].uuid)] = take.updated_at.timestamp()
    tasks = place.provider.book()["tasks"][4:]
    # The first ad warms up: connections, and what is imported late.
    return walls[1:], [stored[task["uuid"]] - task["due_at"] for task in tasks]


def main() -> None:
    """Print both distributions."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_ad", description=__doc__)
    parser.add_argument("--ads", type=int, default=9)
    parser.add_argument("--render-seconds", type=float, default=5.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="adreel-one-ad-") as root:
        (Path(root) / "transfer").mkdir()
        transfer = transfer_seconds(Path(root) / "transfer")
        with around(
            named(["adreel_peer"])[0], Path(root) / "ads", scenes=4, render_seconds=given.render_seconds
        ) as place:
            walls, lags = make_ads(place, given.ads)
    over = [wall - given.render_seconds - transfer for wall in walls]
    print(f"{len(over)} ads of four scenes, {given.render_seconds:g} s of rendering, {transfer:.3f} s of transfer")
    print(f"over the critical path: median {statistics.median(over):.2f} s, slowest {max(over):.2f} s")
    late = statistics.quantiles([lag - transfer for lag in lags], n=100, method="inclusive")
    print(f"from rendered to stored: p50 {late[49]:.2f} s, p95 {late[94]:.2f} s, p99 {late[98]:.2f} s")


if __name__ == "__main__":
    main()
