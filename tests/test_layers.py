"""The packages of adreel: few of them, few imports between them, and none that goes up."""

import subprocess
import sys
from itertools import permutations
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
MOST_PACKAGES = 23
MOST_ARROWS = 118


def test_imports_go_down() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_few_packages_with_few_imports_between_them() -> None:
    graph = grimp.build_graph("adreel", cache_dir=None)
    packages = graph.find_children("adreel")
    for package in packages:
        graph.squash_module(package)
    arrows = [
        pair for pair in permutations(packages, 2) if graph.direct_import_exists(importer=pair[0], imported=pair[1])
    ]
    assert len(packages) <= MOST_PACKAGES
    assert len(arrows) <= MOST_ARROWS, sorted(arrows)
