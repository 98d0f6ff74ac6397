"""Models that people copy from examples and documents, and those that the tests order from, can be ordered."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from adreel.catalog import least_price, packaged
from adreel.settings import Settings

ROOT = Path(__file__).parents[1]
ADDITIONS = {**packaged().audio, **packaged().images}
CREATORS = sorted({air.partition(":")[0] for air in [*packaged().models, *packaged().gone, *ADDITIONS]})
AIR = re.compile(rf"(?<![\w/.:-])(?:{'|'.join(CREATORS)}):[\w.-]+@[\w.-]*\w")
SETTING = re.compile(r"""ADREEL_MODEL["']?\s*[:=,]\s*["']?([\w.-]+:[\w.-]+@[\w.-]+)""")
HISTORY = {ROOT / "docs" / "changelog.md", *(ROOT / "docs" / "decisions").iterdir()}
# Values of settings in tests that say nothing about the model.
QUOTED = {ROOT / "tests" / "test_settings.py"}


def texts(*patterns: str) -> Iterator[tuple[Path, str]]:
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and path not in HISTORY | QUOTED:
                yield path, path.read_text(encoding="utf-8")


def not_offered(airs: Iterable[str]) -> set[str]:
    others = {air for air, model in ADDITIONS.items() if model.status != "deprecated"}
    return set(airs) - {model.air for model in packaged().usable()} - others


def test_examples_and_documents_name_models_that_can_be_ordered() -> None:
    found = {path: AIR.findall(text) for path, text in texts("examples/**/*.yaml", "README.md", "docs/**/*.md")}
    assert found[ROOT / "docs" / "settings.md"]
    assert {str(path): gone for path, airs in found.items() if (gone := not_offered(airs))} == {}


def test_the_tests_order_from_models_that_can_be_ordered() -> None:
    found = {path: SETTING.findall(text) for path, text in texts("tests/**/*.py", "benchmarks/**/*.py")}
    found = {path: airs for path, airs in found.items() if airs}
    assert len(found) > 10
    assert {str(path): gone for path, airs in found.items() if (gone := not_offered(airs))} == {}
    shared = [path for path in (ROOT / "tests").rglob("*.py") if not path.name.startswith("test_")]
    named = {str(path): not_offered(AIR.findall(path.read_text(encoding="utf-8"))) for path in shared}
    assert {path: gone for path, gone in named.items() if gone} == {}


def test_the_default_model_is_live_and_does_what_an_ad_needs() -> None:
    model = packaged().models[Settings.model_fields["model"].default]
    assert model.status == "live"
    assert (model.has_sound, model.has_frame("first")) == (True, True)
    assert {"1280x720", "720x1280"} <= set(model.sizes or ())


@pytest.mark.parametrize(
    ("text", "airs"),
    [
        ("`klingai:kling-video@3-standard`.", ["klingai:kling-video@3-standard"]),
        ("model: google:3@3, then", ["google:3@3"]),
        ("postgresql+asyncpg://prefect:secret@postgres:5432", []),
    ],
)
def test_a_model_is_found_in_a_text(text: str, airs: list[str]) -> None:
    assert AIR.findall(text) == airs


def test_the_readme_has_the_price_of_the_default_model() -> None:
    model = packaged().models[Settings.model_fields["model"].default]
    price, silent = (least_price(model, seconds=5, resolution="720p", sound=sound) for sound in (True, False))
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert price is not None
    assert f"(`{model.air}`) was listed at {price:g} USD per second with sound on {model.priced_on}" in readme
    assert f"about {5 * price:.2f} USD for a clip of 5 seconds. Without sound it was {silent:g} USD." in readme
    assert f"completed, cost ${20 * price:.2f}" in readme
    assert f"hook {model.air} 5 {5 * price:.2f} listed {model.priced_on}" in readme
    assert f"total of 4 scenes: USD {20 * price:.2f}," in readme
