"""The tiers of the tests, as CONTRIBUTING.md lists them."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
SLOW_ROWS = re.findall(r"^\| slow \|.*$", (TESTS.parent / "CONTRIBUTING.md").read_text(), re.MULTILINE)


def test_every_file_with_slow_tests_is_listed() -> None:
    mark = "mark." + "slow"
    marked = {str(file.relative_to(TESTS)) for file in TESTS.rglob("*.py") if mark in file.read_text()}
    assert marked == set(re.findall(r"`([\w/]+\.py)`", "\n".join(SLOW_ROWS)))
