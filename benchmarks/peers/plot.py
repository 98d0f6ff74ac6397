"""Plots the cost of the tools over the number of scenes: `python -m benchmarks.peers.plot OUT.svg FILE.json ...`.

Run it with the peers' own Python, which has matplotlib. The files are those of `benchmarks.peers.run --out`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

PANELS = {
    "program_cpu_ms_per_scene": "processor for each scene, ms",
    "over_ideal_seconds": "over the ideal time, s",
    "program_peak_mb": "peak memory, MB",
}
# The picture must not depend on the time and the machine.
mpl.rcParams |= {"svg.hashsalt": "adreel", "svg.fonttype": "none"}
mpl.rcParams |= {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def draw(runs: list[dict[str, Any]], target: Path) -> None:
    """Write an SVG with a panel for each figure and a line for each tool, thick for adreel."""
    figure, panels = plt.subplots(1, len(PANELS), figsize=(12, 3.8), layout="constrained")
    for panel, (name, title) in zip(panels, PANELS.items(), strict=True):
        for peer in dict.fromkeys(run["peer"] for run in runs):
            points = sorted((run["scenes"], run[name]) for run in runs if run["peer"] == peer and not run["error"])
            panel.plot(*zip(*points, strict=True), marker="o", ms=3, lw=2.5 if "adreel" in peer else 1, label=peer)
        panel.set(title=title, xscale="log", yscale="log", xlabel="scenes in flight")
    panels[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    """Plot the runs of all files in one picture."""
    target, *files = map(Path, sys.argv[1:])
    draw([run for file in files for run in json.loads(file.read_text())["runs"]], target)


if __name__ == "__main__":
    main()
