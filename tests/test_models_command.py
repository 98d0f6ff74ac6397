"""The commands about models, as processes: what fits, what is known, and what Runware sells today."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from adreel.catalog import packaged
from adreel.catalog.stored import load_catalog
from adreel.emulator import LocalRunware, in_thread
from adreel.records import Records
from adreel.records.verification import verify
from adreel.storage import Storage
from tests.catalog_pages import Answer, serving_pages
from tests.factories import session_data
from tests.test_cli import adreel, answer

KLING, VEO, SEEDANCE = "klingai:kling-video@3-standard", "google:3@3", "bytedance:2@2"


@pytest.fixture(name="emulator")
def _emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRunware]:
    with in_thread() as server:
        monkeypatch.setenv("RUNWARE_URL", server.url)
        monkeypatch.setenv("ADREEL_CATALOG_URL", f"http://127.0.0.1:{server.port}")
        yield server


def test_models_that_fit_are_listed_from_the_cheapest_on() -> None:
    shown = adreel("models", "--sound", "--first-frame", "--aspect", "9:16", "--max-price", "0.15").stdout
    assert re.search(r"^klingai:kling-video@3-standard +Kling VIDEO 3.0 Standard +0.1260 ", shown, re.MULTILINE)
    assert "klingai:6@1" not in shown
    assert "more may fit, which is not known: --all lists them too." in shown
    assert "from public pages, not from invoices." in shown
    found = answer("models", "--sound", "--first-frame", "--aspect", "9:16", "--max-price", "0.15")
    prices = [model["price_per_second"] for model in found["models"]]
    assert prices == sorted(prices)
    assert max(prices) <= 0.15
    assert (found["as_of"], {model["fits"] for model in found["models"]}) == (str(packaged().as_of), {True})


def test_a_model_is_shown_with_its_prices_and_their_source() -> None:
    shown = adreel("models", "show", KLING).stdout
    assert "Kling VIDEO 3.0 Standard (klingai:kling-video@3-standard) by Kling AI" in shown
    assert "0.126  second  720p, audio" in shown
    assert "sizes                Runware's documentation                    1280x720, 960x960, 720x1280" in shown
    assert "Prices of 2026-09-27, from a scan of Runware's schemas of 2026-09-27, not from an invoice." in shown
    assert answer("models", "show", KLING)["sizes"] == ["1280x720", "960x960", "720x1280"]


@pytest.mark.slow
def test_a_model_that_is_gone_or_unknown_is_shown_with_others() -> None:
    assert "Use its replacement: Seedance 2.5" in adreel("models", "show", "bytedance:seedance@1.5-pro").stdout
    assert "Similar models: google:3@" in adreel("models", "show", "google:2@0").stdout
    ran = adreel("models", "show", "klingai:kling-video@3-standrd")
    assert ran.returncode == 2
    assert f"did you mean {KLING}" in ran.stderr
    assert adreel("models", "--aspect", "17:3").returncode == 2


def test_after_a_refresh_the_next_generate_obeys(emulator: LocalRunware, tmp_path: Path) -> None:
    file = tmp_path / "ad.yaml"
    file.write_text(yaml.safe_dump(session_data(model=VEO, seconds=8)))
    emulator.change_model(VEO, prices=[{"amount": 0.5, "per": "second"}], duration={"whole": True, "values": [4, 6]})
    emulator.change_model(KLING, status="deprecated", replaced_by=SEEDANCE)
    ran = adreel("models", "refresh")
    assert ran.returncode == 0, ran.stderr
    assert f"status: {KLING}: live -> deprecated, replaced by {SEEDANCE}" in ran.stdout
    assert "any: unknown -> 0.5 per second" in ran.stdout
    catalog = load_catalog(Storage("outputs"))
    assert [rate.amount for rate in catalog.models[VEO].prices] == [0.5]
    assert KLING not in {model.air for model in catalog.usable()}
    ran = adreel("generate", file)
    assert (ran.returncode, "it offers 4, 6 seconds" in ran.stderr) == (2, True), ran.stderr
    old = tmp_path / "old.yaml"
    old.write_text(yaml.safe_dump(session_data(model=KLING)))
    assert f"({KLING}) is deprecated: use Seedance 1.0 Pro Fast ({SEEDANCE})" in adreel("prompt", old).stdout

    emulator.change_model(VEO, replaced_by="google:3@2")
    emulator.retire_model(VEO)
    assert f"gone: {VEO}: Veo 3.1 Fast, replaced by google:3@2" in adreel("models", "refresh").stdout
    ran = adreel("generate", file)
    assert ran.returncode == 2
    assert "is no longer offered by Runware since" in ran.stderr
    assert "use Veo 3.1 (google:3@2)" in ran.stderr
    assert emulator.ledger.report()["tasks"] == []
    assert verify(Records(Storage("outputs"))) == []


@pytest.mark.slow
def test_a_garbled_page_ends_a_refresh_with_1_and_changes_nothing(tmp_path: Path) -> None:
    with serving_pages() as pages:
        pages.facts.change(VEO, seed=False)
        assert adreel("models", "refresh", ADREEL_CATALOG_URL=pages.url).returncode == 0
        stored = tmp_path / "outputs" / "catalog" / "models.json"
        before = stored.read_bytes()
        pages.facts.change(VEO, seed=True)
        path = "/docs/models/google-veo-3-1-fast/schema.json"
        pages.answers[path] = Answer(b"<html>", content_type="text/html")
        ran = adreel("models", "refresh", ADREEL_CATALOG_URL=pages.url)
        assert ran.returncode == 1
        assert ran.stderr.startswith(f"adreel: can't use {pages.url}{path}: it is HTML")
        assert stored.read_bytes() == before
        ran = adreel("models", "refresh", "--keep-going", "--json", ADREEL_CATALOG_URL=pages.url)
        assert ran.returncode == 0
        assert json.loads(ran.stdout)["unread"].keys() == {VEO}
