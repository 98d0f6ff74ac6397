"""Refreshing the catalogue: it takes over what the pages tell, and an unexpected page changes nothing."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adreel.catalog import Catalog, packaged, stored
from adreel.catalog.facts import VideoModel
from adreel.catalog.refresh import Limits, PageError, Refresh, refresh_catalog
from adreel.catalog.stored import PATH, load_catalog, store_catalog
from adreel.emulator.facts import Facts
from adreel.errors import StorageUnavailable
from adreel.storage import Storage
from tests.catalog_pages import INDEX, LISTING, Answer, Pages, serving_pages

TODAY = datetime.now(UTC).date()
KLING, VEO, SEEDANCE = "klingai:kling-video@3-standard", "google:3@3", "bytedance:2@2"
KLING_SCHEMA = "/docs/models/klingai-video-3-0-standard/schema.json"
KLING_PRICES = f"/models/{KLING}/pricing"
PROVENANCE = {"evidence", "priced_on"}

HTML = Answer(b"<!doctype html><html><title>Runware</title></html>", content_type="text/html")
GARBLED = {
    "a web page": (HTML, "it is HTML"),
    "half a document": (Answer(b'[{"id": "klingai-vid'), "no valid JSON"),
    "nothing": (Answer(b""), "no valid JSON"),
    "no UTF-8": (Answer(b"\xff\xfe\x00"), ""),
    "a word": (Answer(b'"ok"'), ""),
    "null": (Answer(b"null"), ""),
    "a list of words": (Answer(b'["ok"]'), ""),
    "an empty list": (Answer(b"[]"), ""),
    "an empty object": (Answer(b"{}"), ""),
    "nested JSON": (Answer(b"[" * 100_000), "nested too deeply"),
    "a large number": (Answer(b"9" * 5000), ""),
    "not found": (Answer(b'{"error": "Not Found"}', status=404), "HTTP 404"),
    "a broken server": (Answer(b"{}", status=500), "HTTP 500"),
    "a move": (Answer(b"", status=301), "HTTP 301"),
    "an endless body": (Answer(b" " * 65536, chunks=32), "larger than 1 MiB"),
    "a slow body": (Answer(b" ", chunks=20, pause=0.1), "took longer than 0.5 s"),
}
WRONG_SCHEMAS = {
    "another model's": ({"info": {"x-air-id": VEO}}, f"it is the schema of '{VEO}'"),
    "another task's": (
        {"components": {"schemas": {"RequestBody": {"properties": {"taskType": {"const": "upscale"}}}}}},
        "it is the schema of 'upscale'",
    ),
    "without a request": ({"components": {"schemas": {}}}, "no properties"),
    "with a wrong identifier": ({"info": {"x-air-id": 7}}, "x-air-id"),
}
WRONG_PRICES: dict[str, tuple[Any, str]] = {
    "another model's": ({"air": VEO}, f"it has the prices of '{VEO}'"),
    "in words": ({"air": KLING, "pricingRates": [{"amount": "0.1", "unit": "durationSecond"}]}, "amount"),
    "below 0": ({"air": KLING, "pricingRates": [{"amount": -1, "unit": "durationSecond"}]}, "amount"),
    "infinite": ({"air": KLING, "pricingRates": [{"amount": float("inf"), "unit": "durationSecond"}]}, "amount"),
    "without a unit": ({"air": KLING, "pricingRates": [{"amount": 1}]}, "unit"),
}


@pytest.fixture(autouse=True)
def _forget_what_was_read(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("adreel.catalog.refresh.RETRY_PAUSE", 0)
    stored._read.clear()
    stored._warned.clear()
    yield
    stored._read.clear()


@pytest.fixture
def pages(storage: Storage) -> Iterator[Pages]:
    """Serve three models, and store the catalogue that knows them."""
    known = packaged()
    models = {air: known.models[air] for air in (VEO, SEEDANCE, KLING)}
    store_catalog(storage, replace(known, as_of=TODAY, models=models))
    facts = Facts()
    with serving_pages(Facts({"models": {air: facts.models[air] for air in models}, "gone": facts.gone})) as served:
        yield served


def refresh(pages: Pages, storage: Storage, *, keep_going: bool = False, seconds: float = 20) -> Refresh:
    limits = Limits(page_seconds=seconds, page_bytes=2**20)
    return refresh_catalog(storage, pages.url, keep_going=keep_going, limits=limits)


def facts_of(model: VideoModel) -> dict[str, Any]:
    return model.model_dump(exclude=PROVENANCE)


def read_afresh(storage: Storage) -> Catalog:
    stored._read.clear()
    return load_catalog(storage)


def test_a_refresh_of_the_published_facts_loses_none(storage: Storage) -> None:
    with serving_pages() as served:
        refresh(served, storage)
    refreshed = read_afresh(storage)
    assert refreshed.gone == packaged().gone
    assert refreshed.models.keys() == packaged().models.keys()
    for air, model in packaged().models.items():
        found = refreshed.models[air]
        if model.size_with_frames is None and found.size_with_frames:
            # The emulator's schema of such a model declares both, and has no rule against it.
            found = found.model_copy(update={"size_with_frames": None})
        assert facts_of(found) == facts_of(model)
        assert all(found.is_documented(name) for name in ("seed", "duration", "width_height") if model.inputs)


def test_a_refresh_takes_over_prices_status_and_dates(pages: Pages, storage: Storage) -> None:
    prices = [{"amount": 0.2, "per": "second", "label": "720p, no audio"}, {"amount": 1, "per": "output"}]
    pages.facts.change(VEO, prices=prices, seed=False, duration={"whole": True, "values": [4, 8]})
    pages.facts.change(KLING, status="deprecated", replaced_by=SEEDANCE, deactivates_on="2027-01-31")
    done = refresh(pages, storage)
    veo, kling = (read_afresh(storage).models[air] for air in (VEO, KLING))
    assert [(rate.amount, rate.per, rate.label) for rate in veo.prices] == [
        (0.2, "second", "720p, no audio"),
        (1, "output", ""),
    ]
    assert (veo.priced_on, veo.evidence["prices"]) == (TODAY, "content_api")
    assert (veo.seed, str(veo.duration), veo.evidence["seed"]) == (False, "4, 8 seconds", "schema")
    assert (kling.status, kling.replaced_by, str(kling.deactivates_on)) == ("deprecated", SEEDANCE, "2027-01-31")
    assert done.changes.status == {KLING: f"live -> deprecated, ends on 2027-01-31, replaced by {SEEDANCE}"}
    assert done.changes.facts == {VEO: "duration, seed"}
    assert "720p, no audio: unknown -> 0.2 per second" in done.changes.prices[VEO]
    # A status that is lifted again is lifted here as well.
    pages.facts.change(KLING, status="live", replaced_by=None, deactivates_on=None)
    refresh(pages, storage)
    kling = read_afresh(storage).models[KLING]
    assert (kling.status, kling.replaced_by, kling.deactivates_on) == ("live", None, None)


def test_models_come_and_go_with_the_index(pages: Pages, storage: Storage) -> None:
    new = "acme:video@1"
    pages.facts.change(KLING, replaced_by=new)
    pages.facts.retire(KLING)
    pages.facts.change(new, **{**pages.facts.models[VEO], "slug": "acme-video", "name": "Acme", "creator": "Acme"})
    done = refresh(pages, storage)
    refreshed = read_afresh(storage)
    assert refreshed.is_gone(KLING)
    assert (refreshed.gone[KLING].gone_by, refreshed.replacement(KLING)) == (TODAY, new)
    assert facts_of(refreshed.models[new]) | {"air": VEO} == facts_of(refreshed.models[VEO]) | {
        "slug": "acme-video",
        "name": "Acme",
        "creator": "Acme",
        "note": "",
        "modes": (),
        "render_seconds": None,
    }
    assert (done.changes.new, done.changes.gone) == (
        {new: "Acme"},
        {KLING: f"Kling VIDEO 3.0 Standard, replaced by {new}"},
    )
    # A model that comes back is offered again.
    pages.facts.change(KLING, **Facts().models[KLING])
    refresh(pages, storage)
    assert not read_afresh(storage).is_gone(KLING)


def test_a_model_that_the_listing_calls_live_is_not_gone(pages: Pages, storage: Storage) -> None:
    pages.answers[LISTING] = Answer(json.dumps(pages.document(LISTING)).encode())
    pages.facts.retire(KLING)
    assert refresh(pages, storage).changes.gone == {}
    assert facts_of(read_afresh(storage).models[KLING]) == facts_of(packaged().models[KLING])


def test_names_from_pages_have_no_control_characters(pages: Pages, storage: Storage) -> None:
    pages.facts.change(
        VEO, name="Veo\x00\x1b[31m\u202e", prices=[{"amount": 1, "per": "second", "label": "720p\n\x07"}]
    )
    refresh(pages, storage)
    veo = read_afresh(storage).models[VEO]
    assert (veo.name, veo.prices[0].label) == ("Veo  [31m", "720p")


def test_new_models_that_need_a_video_or_a_voice_render_no_scenes(pages: Pages, storage: Storage) -> None:
    for name, needed in (("video", "edit"), ("audio", "talking")):
        pages.facts.change(f"acme:{name}@1", **{**pages.facts.models[VEO], "slug": f"acme-{name}"})
        path = f"/docs/models/acme-{name}/schema.json"
        document = pages.document(path)
        document["components"]["schemas"]["RequestBody"]["items"]["properties"]["inputs"]["required"] = [name]
        pages.answers[path] = Answer(json.dumps(document).encode())
        refresh(pages, storage)
        assert read_afresh(storage).models[f"acme:{name}@1"].kind == needed


@pytest.mark.parametrize("kind", GARBLED)
@pytest.mark.parametrize("page", [INDEX, LISTING, KLING_SCHEMA, KLING_PRICES])
def test_a_garbled_page_changes_nothing_and_is_named(pages: Pages, storage: Storage, page: str, kind: str) -> None:
    before = storage.read(PATH)
    pages.facts.change(VEO, seed=False)
    pages.answers[page], reason = GARBLED[kind]
    with pytest.raises(PageError) as caught:
        refresh(pages, storage, seconds=0.5 if kind == "a slow body" else 20)
    assert page.rpartition("/models/")[2].partition("/")[0].split(":")[0] in str(caught.value)
    assert pages.url in str(caught.value)
    assert reason in str(caught.value)
    assert storage.read(PATH) == before


@pytest.mark.parametrize("kind", WRONG_SCHEMAS)
def test_a_schema_of_something_else_changes_nothing(pages: Pages, storage: Storage, kind: str) -> None:
    before = storage.read(PATH)
    changed, reason = WRONG_SCHEMAS[kind]
    pages.answers[KLING_SCHEMA] = Answer(json.dumps(pages.document(KLING_SCHEMA) | changed).encode())
    with pytest.raises(PageError, match=reason):
        refresh(pages, storage)
    assert storage.read(PATH) == before


@pytest.mark.parametrize("kind", WRONG_PRICES)
def test_prices_of_another_shape_change_nothing(pages: Pages, storage: Storage, kind: str) -> None:
    before = storage.read(PATH)
    document, reason = WRONG_PRICES[kind]
    pages.answers[KLING_PRICES] = Answer(json.dumps(document).encode())
    with pytest.raises(PageError, match=reason):
        refresh(pages, storage)
    assert storage.read(PATH) == before


def test_an_index_without_most_of_the_known_models_changes_nothing(pages: Pages, storage: Storage) -> None:
    for air in (KLING, VEO):
        pages.facts.retire(air)
    with pytest.raises(PageError, match="it lists 1 of the 3 known video models"):
        refresh(pages, storage)
    assert read_afresh(storage).models.keys() == {KLING, VEO, SEEDANCE}


def test_keep_going_keeps_the_old_facts_of_models_that_cannot_be_read(pages: Pages, storage: Storage) -> None:
    pages.facts.change(KLING, status="deprecated")
    pages.facts.change(VEO, status="deprecated")
    pages.answers[KLING_SCHEMA] = HTML
    done = refresh(pages, storage, keep_going=True)
    assert done.unread.keys() == {KLING}
    assert "it is HTML" in done.unread[KLING]
    refreshed = read_afresh(storage)
    assert (refreshed.models[KLING].status, refreshed.models[VEO].status) == ("live", "deprecated")
    pages.answers[INDEX] = HTML
    with pytest.raises(PageError, match=r"index\.json"):
        refresh(pages, storage, keep_going=True)


def test_a_moment_of_trouble_is_tried_again(pages: Pages, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = pages.answers[KLING_PRICES] = Answer(b"", status=503)
    answer = type(pages).answer

    def once(self: Pages, path: str) -> Answer:
        found = answer(self, path)
        if found is busy:
            del self.answers[path]
        return found

    monkeypatch.setattr(type(pages), "answer", once)
    assert refresh(pages, storage).unread == {}


def test_all_pages_have_one_deadline_and_few_are_read_at_once(pages: Pages, storage: Storage) -> None:
    limits = Limits(total_seconds=0.5, at_once=2)
    for path in (KLING_SCHEMA, "/docs/models/google-veo-3-1-fast/schema.json"):
        pages.answers[path] = Answer(b" ", chunks=10, pause=0.1)
    with pytest.raises(PageError, match=r"took longer than 0\.5 s"):
        refresh_catalog(storage, pages.url, limits=limits)
    assert pages.most_at_once <= 2
    assert {agent.partition("/")[0] for _, agent in pages.requested} == {"adreel"}


def test_only_the_pages_of_video_models_are_read(pages: Pages, storage: Storage) -> None:
    refresh(pages, storage)
    assert "/docs/models/bfl-flux-1-dev/schema.json" not in {path for path, _ in pages.requested}
    assert read_afresh(storage).models.keys() == {KLING, VEO, SEEDANCE}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema_version": 1}', b"[" * 100_000, b"\xff"])
def test_an_unreadable_stored_catalogue_is_logged_once(
    storage: Storage, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    storage.write(PATH, content)
    with caplog.at_level(logging.WARNING, "adreel.catalog"):
        assert read_afresh(storage) is packaged()
        assert read_afresh(storage) is packaged()
    assert len(caplog.records) == 1
    assert storage.location(PATH) in caplog.text


def test_a_stored_catalogue_that_cannot_be_opened_is_logged_too(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    Path(storage.location(PATH)).mkdir(parents=True)
    with caplog.at_level(logging.WARNING, "adreel.catalog"):
        assert read_afresh(storage) is packaged()
    assert "is unreadable" in caplog.text


def test_an_outage_of_the_storage_is_no_unreadable_catalogue(storage: Storage) -> None:
    def fail(path: str, most: int | None = None) -> bytes:
        raise StorageUnavailable(f"{path} is out of reach")

    storage.read = fail  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable):
        read_afresh(storage)


def test_a_catalogue_older_than_the_release_is_not_used(storage: Storage) -> None:
    store_catalog(storage, replace(packaged(), as_of=packaged().as_of.replace(year=2020), models={}))
    assert read_afresh(storage) is packaged()
