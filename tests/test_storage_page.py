"""The lines of docs/storage.md that people paste into a shell."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "storage.md"
BLOCKS = [
    block
    for block in re.split(r"\n\s*\n", PAGE.read_text().split("## Settings to copy")[1].split("\n## ")[0])
    if block.startswith("    #")
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0].strip(" #")[:20])
def test_settings_that_are_pasted_into_a_shell_reach_a_command(block: str) -> None:
    lines = [line for line in block.splitlines() if "pip install" not in line]
    script = "\n".join(line.removeprefix("    ") for line in lines)
    ran = subprocess.run(
        ["bash", "-euc", f"{script}\nenv"], capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=True
    )
    assert ran.stderr == ""
    found = dict(line.split("=", 1) for line in ran.stdout.splitlines() if "=" in line)
    assert found["ADREEL_STORAGE"]
    if "ADREEL_STORAGE_OPTIONS" in script:
        assert isinstance(json.loads(found["ADREEL_STORAGE_OPTIONS"]), dict)
