"""The API with all that stands behind it: the program of the documentation, and Prefect's server restarted midway."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from adreel.client import Client
from adreel.models.scenarios import Scenario
from adreel.records.views import words_of
from tests.api.stack import PATIENCE, ROOT, Stack, made_stack
from tests.documentation import PAGES, Example, examples
from tests.factories import make_session

pytestmark = pytest.mark.slow

PROGRAMS = [example for page in PAGES for example in examples(page) if example.language == "python"]
SERVER_PROGRAMS = [example for example in PROGRAMS if example.calls_the_server]


@dataclass
class System:
    """A running system, and a hand on its Prefect server."""

    stack: Stack
    prefect: ExitStack


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with made_stack(tmp_path_factory.mktemp("stack")) as stack, ExitStack() as prefect:
        prefect.enter_context(stack.prefect())
        with stack.workers():
            yield System(stack, prefect)


def bought(stack: Stack, session_id: str) -> list[str]:
    """Return the scenes of a session that the provider's ledger has, one for each time that it was bought."""
    takes = [take for scenario in Scenario for take in stack.records.takes(session_id, scenario)]
    uuids = {str(attempt.uuid) for take in takes for attempt in take.attempts}
    return sorted(str(entry.scenario) for entry in stack.runware.ledger.entries if entry.uuid in uuids)


def test_the_program_of_the_documentation_runs_as_it_stands(system: System) -> None:
    system.stack.records.save_session(make_session(session_id="abc-123", seconds=1))
    found = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.DOTALL)
    assert found
    program = found[1].replace("localhost:8000", f"localhost:{system.stack.port}")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "Overall: generating"
    assert lines[-5:] == ["Overall: completed", *(f"  {scenario}: completed (100%)" for scenario in Scenario)]
    assert bought(system.stack, "abc-123") == sorted(Scenario)


# The first one is the test's above.
@pytest.mark.parametrize("example", SERVER_PROGRAMS[1:], ids=str)
def test_other_documented_programs_run_as_they_stand(system: System, example: Example) -> None:
    system.stack.records.save_session(make_session(session_id="abc-123", seconds=1))
    program = example.text.replace("localhost:8000", f"localhost:{system.stack.port}")
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_prefect_restarted_midway_loses_nothing(system: System) -> None:
    stack, order = system.stack, "order-2"
    stack.records.save_session(make_session(session_id="restart", seconds=1))
    with Client(stack.url) as client:
        job_id = client.generate("restart").job_id
        for status in client.watch(job_id):
            if min(scene.progress for scene in status.scenes) >= 30:
                break
        waiting = client.regenerate("restart", "hook", idempotency_key=order, visual_description="a moth")
        system.prefect.close()

        assert client.wait(job_id, timeout=PATIENCE, every=0.2).overall_status == "completed"
        system.prefect.enter_context(stack.prefect())
        stored = client.regenerate(
            "restart", "hook", wait=True, wait_seconds=PATIENCE, idempotency_key=order, visual_description="a moth"
        )
    assert (stored.job_id, stored.success) == (waiting.job_id, True)
    assert bought(stack, "restart") == sorted([*Scenario, Scenario.HOOK])
    assert [words_of(take) for take in stack.records.takes("restart", Scenario.HOOK)][-1] == "a moth"
    assert stored.video_url
    assert Path(stack.records.storage.location(stored.video_url.removeprefix("/outputs/"))).is_file()
