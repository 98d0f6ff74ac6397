"""An operator in Prefect's own UI, in a real browser, with a real server and a real worker behind it.

With SCREENSHOTS set to a folder, what the operator sees is kept there: docs/prefect-ui.md shows it.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from adreel.deployments.auth import keep_auth
from adreel.emulator import LocalRunware
from adreel.models.api import State
from adreel.models.parts import PARTS
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.records.views import job_status, video_url
from adreel.storage import Storage
from tests.factories import scene_data
from tests.workers import deploy, prefect_server, until, worker

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Locator, Page, Route, expect, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH"),
]

PATIENCE = 30_000
"""Milliseconds that the browser waits for a page."""
PRESSES = 3
LOOKS = 8
"""How often a page is loaded anew for what a worker does."""
PAGES = "http://localhost:8000"
SESSION = {
    "session_id": "lamp",
    "product_name": "Lamp",
    "brand_tone": "calm, witty",
    "scene_descriptions": [scene_data("hook", duration=1), scene_data("cta", duration=1)],
}


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Records:
    monkeypatch.setenv("ADREEL_STORAGE", str(tmp_path / "outputs"))
    return Records(Storage(os.environ["ADREEL_STORAGE"]))


@pytest.fixture
def ui(records: Records, runware: LocalRunware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run Prefect's server with its UI, deploy, run a worker, and give the UI's address."""
    # The address of the API, for the pages: the server itself takes its default port for its own.
    monkeypatch.setenv("PREFECT_UI_API_URL", "/api")
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "1")
    monkeypatch.setenv("ADREEL_PUBLIC_URL", PAGES)
    monkeypatch.setenv("ADREEL_SIZE", "640x360")
    with prefect_server(tmp_path / "server") as url:
        monkeypatch.setenv("PREFECT_API_URL", url)
        deploy(url)
        with worker():
            yield url.removesuffix("/api")


@pytest.fixture
def page() -> Iterator[Page]:
    """Open a window that reaches this machine alone: the pages ask elsewhere what an operator has clicked."""
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.route("**/*", _stay_here)
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()


def _stay_here(route: Route) -> None:
    if urlsplit(route.request.url).hostname in {"127.0.0.1", "localhost"}:
        route.continue_()
    else:
        route.abort()


def test_an_operator_starts_watches_retries_and_cancels_in_prefects_own_ui(
    records: Records, runware: LocalRunware, ui: str, page: Page
) -> None:
    runware.inject("insufficientCredits:ctax1")
    run = start_through_the_form(page, ui)
    run_id = run.rpartition("/")[2]
    until(lambda: (started := records.job(run_id)) and started.ended_at, "the end of the job")
    # Whether the hook was sent before the refusal of the other scene is a matter of milliseconds.
    watch_it_end(page, run, job_status(records, run_id).overall_status.capitalize())
    see_its_tasks(page, {"scene-cta": "Failed"})
    assert scenarios_bought(runware) in ([], ["hook"])

    choose(page, run, "Retry", "Retry")
    watch_it_end(page, run, "Completed")
    open_its_artifacts(page, run, records)
    assert scenarios_bought(runware) == ["cta", "hook"]

    runware.inject("neverEnds")
    regeneration = regenerate_hook(page, ui)
    until(lambda: len(runware.ledger.entries) == 3, "a third purchase")
    choose(page, regeneration, "Cancel", "Cancel Flow Run")
    watch_it_end(page, regeneration, "Cancelled")
    job_id = regeneration.rpartition("/")[2]
    assert job_status(records, job_id).overall_status == State.CANCELLED
    job, take = records.job(job_id), records.take("lamp", Scenario.HOOK, job_id)
    assert job is not None
    assert take is not None
    assert take.scene is not None
    assert (take.scene.camera_work, take.is_open, job.ended_at is not None) == ("slow push in", True, True)
    # A switch that was not pressed says nothing.
    assert (take.scene.aspect, take.scene.sound, take.scene.settings) == ("1:1", None, None)


def test_who_signs_in_sees_a_studios_runs_and_nobody_else_does(tmp_path: Path, page: Page) -> None:
    auth = keep_auth(tmp_path, "http://localhost/api")
    with prefect_server(tmp_path / "server", PREFECT_SERVER_API_AUTH_STRING=auth, PREFECT_UI_API_URL="/api") as url:
        page.goto(f"{url.removesuffix('/api')}/v2/deployments")
        for said in ("adreel:guessed", auth):
            expect(page).to_have_url(re.compile("/login"))
            page.locator("input[type=password]").fill(said)
            page.get_by_role("button", name="Login").click()
            expect(page.get_by_text("Invalid credentials").or_(page.get_by_text("Deployments")).first).to_be_visible()
        expect(page).to_have_url(re.compile("/deployments"))
        expect(page.get_by_text("Create a deployment")).to_be_visible()


def start_through_the_form(page: Page, ui: str) -> str:
    """Find the deployment, fill in its form with a new session, and return the address of the run."""
    page.goto(f"{ui}/v2/deployments")
    page.get_by_role("link", name="generate-ad", exact=True).first.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    expect(page.get_by_text("A new session as JSON")).to_be_visible()
    page.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(json.dumps(SESSION, indent=2))
    page.get_by_role("button", name="Select").first.click()
    expect(page.get_by_role("option")).to_have_text(list(PARTS))
    for scenario in (Scenario.HOOK, Scenario.CTA):
        page.get_by_role("option", name=scenario, exact=True).click()
    page.keyboard.press("Escape")
    keep(page, "form")
    return submit(page, ui)


def regenerate_hook(page: Page, ui: str) -> str:
    deployment = httpx.get(f"{ui}/api/deployments/name/regenerate-scene/regenerate-scene").json()["id"]
    page.goto(f"{ui}/v2/deployments/deployment/{deployment}/run")
    page.get_by_label("session_id").fill("lamp")
    page.get_by_role("button", name="Select scenario").click()
    page.get_by_role("option", name="hook", exact=True).click()
    page.get_by_label("Camera Work").fill("slow push in")
    page.get_by_role("button", name="Select aspect").click()
    page.get_by_role("option", name="1:1", exact=True).click()
    return submit(page, ui)


def submit(page: Page, ui: str) -> str:
    """Press the button; when two writes meet in SQLite, Prefect asks by a 503 to press it again."""
    for _ in range(PRESSES):
        with page.expect_response(lambda answer: answer.url.endswith("/create_flow_run")) as created:
            page.get_by_role("button", name="Submit").click()
        if created.value.status != HTTPStatus.SERVICE_UNAVAILABLE:
            break
    answer: dict[str, Any] = created.value.json()
    assert created.value.status == HTTPStatus.CREATED, answer
    return f"{ui}/v2/runs/flow-run/{answer['id']}"


def watch_it_end(page: Page, run: str, state: str) -> None:
    page.goto(run)
    shown(page, page.get_by_text(state, exact=True).first)


def shown(page: Page, what: Locator) -> None:
    """Wait until a page shows something; Prefect's pages do not follow all that happens."""
    for look in range(LOOKS):
        try:
            expect(what).to_be_visible(timeout=PATIENCE / 2)
        except AssertionError:
            if look == LOOKS - 1:
                raise
            page.reload()
        else:
            return


def see_its_tasks(page: Page, states: dict[str, str]) -> None:
    page.get_by_role("tab", name="Task Runs").click()
    for name, state in states.items():
        card = page.locator("[data-slot=card]").filter(has=page.get_by_role("link", name=name, exact=True))
        expect(card).to_contain_text(state)
    keep(page, "run")


def open_its_artifacts(page: Page, run: str, records: Records) -> None:
    take = records.take("lamp", Scenario.HOOK, run.rpartition("/")[2])
    assert take is not None
    clip = f"{PAGES}{video_url(take)}"
    open_artifact(page, "poster-lamp-hook")
    poster = page.locator("img[src^='data:image/jpeg']")
    expect(poster).to_be_visible()
    assert poster.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    expect(page.get_by_role("link", name=take.short_id)).to_have_attribute("href", clip)
    keep(page, "poster")

    page.goto(run)
    open_artifact(page, "job-summary")
    expect(page.get_by_role("row").filter(has_text="hook")).to_contain_text(f"completed1{money(take.cost)}")
    expect(page.get_by_role("row").filter(has_text="cta")).to_contain_text("completed1")
    expect(page.get_by_text(re.compile("completed, USD")).first).to_be_visible()
    expect(page.get_by_role("link", name="hook", exact=True)).to_have_attribute("href", clip)
    keep(page, "summary")


def money(cost: float | None) -> str:
    return f"USD {cost:.2f}"


def open_artifact(page: Page, key: str) -> None:
    """Open the newest artifact of a key by its card on the page of a run."""
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_role("tabpanel").get_by_role("heading", name=key, exact=True).first.click()
    page.locator("a[href*='/artifacts/artifact/']").first.click()


def choose(page: Page, run: str, action: str, confirmation: str) -> None:
    """Choose what a run's menu offers, and confirm it."""
    page.goto(run)
    page.get_by_role("button", name="Open menu").click()
    page.get_by_role("menuitem", name=action, exact=True).click()
    page.get_by_role("alertdialog").or_(page.get_by_role("dialog")).get_by_role(
        "button", name=confirmation, exact=True
    ).click()
    expect(page.get_by_role("alertdialog").or_(page.get_by_role("dialog"))).to_be_hidden()


def scenarios_bought(runware: LocalRunware) -> list[str]:
    return sorted(str(entry.scenario) for entry in runware.ledger.entries)


def keep(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"prefect-{name}.jpg", type="jpeg", quality=70)
