"""The Python API: what `adreel` exports, and the examples of docs/python.md, against the emulator."""

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import adreel
from adreel import InputError, NotFound, OverBudget, Scenario, State
from adreel.emulator import LocalRunware
from adreel.errors import AdreelError
from tests.factories import make_session, session_data

GUIDE = Path(__file__).parent.parent / "docs" / "python.md"
PYTHON = [sys.executable, "-P"]


def examples() -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL))


def test_every_exported_name_is_there_for_readers_and_type_checkers() -> None:
    for name in adreel.__all__:
        assert getattr(adreel, name).__name__ == name
    assert set(adreel.__all__) <= set(dir(adreel))
    source = ast.parse(inspect.getsource(adreel))
    [checked] = [node for node in source.body if isinstance(node, ast.If)]
    imported = {name.name for node in checked.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert imported == set(adreel.__all__)
    assert resources.files("adreel").joinpath("py.typed").is_file()
    with pytest.raises(AttributeError, match="nosuch"):
        adreel.nosuch  # noqa: B018 - this is the test


def test_exports_cover_each_branch_of_the_errors() -> None:
    assert {error.__name__ for error in AdreelError.__subclasses__()} - set(adreel.__all__) <= {"ApiError"}


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import adreel", "prefect pydantic av httpx"),
        ("from adreel import Session, Settings, read_session", "prefect av httpx fsspec"),
        ("from adreel import generate, takes", "prefect av"),
    ],
)
def test_an_import_loads_only_what_it_needs(code: str, heavy: str) -> None:
    code = f"import sys; {code}; sys.exit(', '.join({set(heavy.split())!r} & set(sys.modules)))"
    assert subprocess.run([*PYTHON, "-c", code], check=False, stderr=subprocess.PIPE, text=True).stderr.strip() == ""


def test_every_function_says_what_it_raises() -> None:
    for name in adreel.__all__:
        value: Any = getattr(adreel, name)
        assert inspect.getdoc(value), name
        if inspect.isfunction(value):
            assert "Raises" in (value.__doc__ or ""), name


def test_the_package_runs_as_the_command() -> None:
    ran = subprocess.run([*PYTHON, "-m", "adreel", "version"], check=True, stdout=subprocess.PIPE, text=True)
    assert ran.stdout.strip() == adreel.__version__


@pytest.mark.slow
@pytest.mark.usefixtures("prefect")
def test_the_examples_of_the_guide_run(runware: LocalRunware) -> None:
    Path("lamp.yaml").write_text(make_session(session_id="file").model_dump_json(exclude_none=True))
    known: dict[str, Any] = {}
    exec(compile(examples(), str(GUIDE), "exec"), known)  # noqa: S102 - the project's own document
    assert known["job"].overall_status == State.COMPLETED
    assert known["take"].short_id == known["first"].short_id
    # Four scenes, one of the file, a new take, and another clip with its narration and a still.
    assert Counter(entry.output.kind for entry in runware.ledger.entries) == {"clip": 7, "voice": 1, "still": 1}


@pytest.mark.usefixtures("prefect")
def test_a_stored_session_is_bought_again_only_on_request(runware: LocalRunware) -> None:
    adreel.open_records().save_session(make_session(seconds=1))
    job = adreel.generate("ad", [Scenario.HOOK])
    with pytest.raises(InputError, match=r"has takes of hook already.*again=True"):
        adreel.generate("ad", ["hook"])
    again = adreel.generate("ad", ["hook"], again=True)
    assert [take.job_id for take in adreel.takes("ad", "hook")] == [job.job_id, again.job_id]
    assert adreel.status(job.job_id) == job
    assert adreel.resume("ad") == adreel.Resumed([], [], [])
    assert len(runware.ledger.entries) == 2


@pytest.mark.usefixtures("prefect")
def test_a_failed_scene_is_a_result_and_no_error(runware: LocalRunware) -> None:
    runware.inject("contentPolicy:hook")
    job = adreel.generate(make_session(seconds=1), ["hook"])
    assert job.overall_status == State.FAILED
    assert "invalidProviderContent" in (job.scenes[0].error or "")


@pytest.mark.usefixtures("prefect")
def test_a_limit_is_kept_by_its_job_and_can_be_raised(runware: LocalRunware) -> None:
    runware.inject("providerTimeout:hookx1")
    [scene] = adreel.price(make_session(seconds=1), ["hook"])
    assert scene.usd is not None
    with pytest.raises(OverBudget):
        adreel.generate(make_session(seconds=1), ["hook"], max_cost=scene.usd / 2)
    assert not runware.ledger.entries
    job = adreel.generate(make_session(seconds=1), ["hook"], max_cost=scene.usd)
    assert "--max-cost" in (job.scenes[0].error or "")
    assert len(runware.ledger.entries) == 1
    [resumed] = adreel.resume(job.job_id, max_cost=2 * scene.usd).jobs
    assert (resumed.overall_status, len(runware.ledger.entries)) == (State.COMPLETED, 2)


@pytest.mark.usefixtures("prefect", "runware")
async def test_a_job_runs_in_a_thread_beside_an_event_loop() -> None:
    job = await asyncio.to_thread(adreel.generate, make_session(seconds=1), ["hook"])
    assert job.overall_status == State.COMPLETED


@pytest.mark.usefixtures("runware")
def test_invalid_input_is_refused_before_anything_is_stored() -> None:
    session = adreel.Session(**session_data(brand_tonne="calm"))
    with pytest.raises(InputError, match="brand_tonne"):
        adreel.generate(session)
    with pytest.raises(InputError, match="'outro' is no part of an ad: choose from hook, problem, solution, cta, "):
        adreel.generate(make_session(), ["outro"])
    assert not Path("outputs").exists()
    adreel.open_records().save_session(make_session())
    with pytest.raises(InputError, match="sed"):
        adreel.regenerate("ad", "hook", sed=7)
    with pytest.raises(NotFound, match="nobody"):
        adreel.status("nobody")
