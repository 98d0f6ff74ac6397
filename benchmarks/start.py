"""Measures `adreel --help` and `import prefect`: the median of five alternating runs."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "adreel --help": [str(Path(sys.executable).with_name("adreel")), "--help"],
    "import prefect": [sys.executable, "-c", "import prefect"],
}


def seconds(command: list[str]) -> float:
    """Run a command and return its wall time."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Print a line for each command."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(6):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    for name, measured in times.items():
        print(f"{name:<15} {statistics.median(measured[1:]):.2f} s")


if __name__ == "__main__":
    main()
