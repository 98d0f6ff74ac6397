"""README.md and docs/: the site builds, and the examples are true."""

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
import typer
import yaml

from adreel.cli.app import app
from adreel.models.sessions import Session
from tests.api.serving import served
from tests.documentation import PAGES, ROOT, Example, examples, inline_commands

BIN = Path(sys.executable).parent
EXAMPLES = [example for page in PAGES for example in examples(page)]
PYTHON = [example for example in EXAMPLES if example.language == "python"]
# The examples of docs/python.md follow on each other: tests/test_python_api.py runs them as one program.
STANDALONE = [example for example in PYTHON if example.page.name != "python.md"]
LANGUAGES = {"", "json", "python", "sh", "yaml"}
COMMANDS = typer.main.get_command(app)
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [f"{BIN}/mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    page = (tmp_path / "python" / "index.html").read_text()
    assert 'id="adreel.client.Client.generate"' in page
    # A reader's browser asks no other host.
    assert not re.search(r"<(?:script|img|link)[^>]+(?:src|href)=\"?https?://", page)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"^- \[\d{4}\]\((.+?)\)", (folder / "README.md").read_text(), re.MULTILINE)
    assert listed == sorted(path.name for path in folder.glob("0*.md"))


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_documented_commands_are_accepted(example: Example) -> None:
    for program, *words in example.commands():
        if program == "adreel":
            context = COMMANDS.make_context("adreel", list(words), resilient_parsing=True)
            name, command, rest = COMMANDS.resolve_command(context, words)  # type: ignore[attr-defined]
            with suppress(typer.Exit):
                command.make_context(name, rest, parent=context)
        elif program == "make":
            assert {word for word in words if "=" not in word} <= TARGETS
        else:
            assert find_spec(words[1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mentioned_commands_exist(page: Path) -> None:
    for span in inline_commands(page):
        program, *words = span.split()
        if program == "adreel" and words[0].islower() and not words[0].startswith("-"):
            command = COMMANDS.commands[words[0]]  # type: ignore[attr-defined]
            if len(words) > 1 and hasattr(command, "commands") and not words[1].startswith("-"):
                command = command.commands[words[1]]
            options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            assert {word for word in words if word.startswith("-")} <= options, span
        elif program == "make":
            assert words[0] in TARGETS, span
        elif program == "python":
            assert find_spec(words[1]), span


@pytest.mark.parametrize("example", [example for example in EXAMPLES if example.language], ids=str)
def test_examples_are_well_formed(example: Example) -> None:
    assert example.language in LANGUAGES
    if example.language == "json":
        json.loads(example.text)
    elif example.language == "sh":
        subprocess.run(["bash", "-n"], input=example.text, text=True, check=True)
    elif example.language == "yaml" and "scene_descriptions" in (data := yaml.safe_load(example.text)):
        Session.model_validate(data, extra="forbid")


def test_every_call_of_the_http_api_is_documented() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    mentioned = set(re.findall(r"(?:GET|POST|PUT|PATCH|DELETE) (/[\w/{}.-]+)", page))
    with served() as client:
        described = httpx.get(client.base_url.join("/openapi.json")).json()["paths"]

    def shape(path: str) -> str:
        return re.sub(r"{\w+}", "{}", path)

    # Calls of the table that have no method in it, such as /metrics.
    mentioned |= set(re.findall(r"`(/\w+)`", page))
    assert {shape(path) for path in mentioned} == {shape(path) for path in described}


@pytest.mark.parametrize("example", PYTHON, ids=str)
def test_programs_import_what_exists(example: Example) -> None:
    for node in ast.walk(ast.parse(example.text)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


# Those that call the server are run by tests/api/test_whole_system.py.
@pytest.mark.slow
@pytest.mark.parametrize("example", [example for example in STANDALONE if not example.calls_the_server], ids=str)
def test_programs_run(example: Example, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    unset = ("PREFECT_", "ADREEL_", "RUNWARE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "ADREEL_LOCAL_RENDER_SECONDS": "1", "DO_NOT_TRACK": "1"}
    environment |= {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }
    command = [sys.executable, "-c", example.text]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
