"""A person with a real browser, from signing in to choosing an older take, with all that stands behind the pages.

With SCREENSHOTS set to a folder, the pictures of docs/storyboard.md are taken anew and kept there.
"""

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from adreel.client import Client
from adreel.emulator import LocalRunware
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session, read_session
from adreel.records import Records
from adreel.records.views import words_of
from adreel.storage import Storage
from tests.api.stack import ROOT, free_port, process, until_answered
from tests.factories import write_image
from tests.storyboard.conftest import Visitor
from tests.workers import deploy, until, worker

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import ConsoleMessage, Locator, Page, expect, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH")

KEY = "studio-key-0123456789"
PATIENCE = 60_000
"""Milliseconds that the browser waits for what a worker does."""
SETTLING = 2_000
"""Milliseconds until the browser has faded out its loading indicator."""
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Records:
    monkeypatch.setenv("ADREEL_STORAGE", str(tmp_path / "outputs"))
    return Records(Storage(os.environ["ADREEL_STORAGE"]))


@pytest.fixture
def address(prefect: str, runware: LocalRunware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a worker and `adreel serve` with a key, and give the pages' address."""
    monkeypatch.setenv("ADREEL_API_KEYS", f"studio:{KEY}")
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "1")
    deploy(prefect)
    port, log = free_port(), tmp_path / "serve.log"
    with worker(), process("adreel", "serve", "--port", str(port), log=log, env=dict(os.environ)):
        until_answered(f"http://127.0.0.1:{port}/readyz", log)
        yield f"http://localhost:{port}"


@pytest.fixture
def page() -> Iterator[Page]:
    """Open a window; what its console complains of fails the test."""
    complaints: list[str] = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda said: complaints.append(f"{said.text} {said.location}") if is_trouble(said) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()
    assert complaints == []


def is_trouble(said: ConsoleMessage) -> bool:
    # A page without an icon has the browser ask for /favicon.ico, which needs a key. A form with a wrong field is 422,
    # an order over a limit 402.
    is_expected = said.location["url"].endswith("/favicon.ico") or any(
        f"status of {status}" in said.text for status in (402, 422)
    )
    return said.type == "error" and not is_expected


@pytest.mark.slow
def test_an_ad_is_made_watched_played_and_changed_in_a_browser(
    records: Records, runware: LocalRunware, address: str, page: Page
) -> None:
    sign_in(page, address)
    make_session(page)
    watch_it_generate(page)
    play(page, page.locator("#hook-stage video"))
    first = page.locator("#hook-stage video").get_attribute("src")

    regenerate_hook(page, "A moth circles the lamp")
    assert page.locator("#hook-stage video").get_attribute("src") != first
    choose_first_take(page)
    assert page.locator("#hook-stage video").get_attribute("src") == first

    assert [words_of(take) for take in records.takes("lamp", Scenario.HOOK)] == [
        "a lamp in the hook",
        "A moth circles the lamp",
    ]
    bought = sorted(str(entry.scenario) for entry in runware.ledger.entries)
    assert bought == sorted([*Scenario, Scenario.HOOK])
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("key")).to_be_visible()


@pytest.mark.slow
def test_an_empty_server_leads_by_a_template_to_a_generated_ad(
    records: Records, runware: LocalRunware, address: str, page: Page, tmp_path: Path
) -> None:
    sign_in(page, address)
    page.get_by_role("main").get_by_role("link", name="New ad").click()
    page.get_by_label("Product", exact=True).fill("Dewdrop")
    page.get_by_label("Platform", exact=True).fill("TikTok")
    page.get_by_label("Upload product photo").set_input_files(write_image(tmp_path / "dew.png"))
    page.get_by_text("Serums, creams and cosmetics").click()
    page.get_by_role("button", name="Write the scenes").click()
    expect(page.get_by_text("The scenes are written for skincare.")).to_be_visible()
    # The file is still chosen, and the shapes and lengths are those of the new model.
    photo = page.get_by_label("Upload product photo").element_handle()
    page.wait_for_function("input => input.files.length === 1", arg=photo)
    page.locator("#model").select_option("klingai:kling-video@3-pro")
    expect(page.locator("[data-aspect='4:5']")).to_be_hidden()
    expect(page.locator("#hook-duration option").first).to_have_text("3 s")
    page.locator("#model").select_option("")
    for scenario in Scenario:
        page.locator(f"#{scenario}-duration").select_option("1")
    expect(page.locator("#problem-words")).to_have_text("11 words: about 2 fit into 1 s")
    page.locator("#hook-visual_description").fill("A drop falls")
    page.get_by_role("button", name="Look at the prompts").click()
    expect(page.locator("#hook-look .prompt")).to_contain_text("A drop falls.")
    page.get_by_role("button", name="Create the ad").click()
    expect(page.get_by_role("heading", name="Dewdrop", level=1)).to_be_visible()

    watch_it_generate(page)
    [session_id] = records.session_ids()
    session = records.session(session_id)
    assert session.scene(Scenario.HOOK).visual_description == "A drop falls"
    assert (session.product_photo or "").endswith("#dew.png")
    assert sorted(str(entry.scenario) for entry in runware.ledger.entries) == sorted(Scenario)


def sign_in(page: Page, address: str) -> None:
    sign_in_with_key(page, address)
    expect(page.get_by_role("heading", name="Your first ad starts with four scenes")).to_be_visible()


def sign_in_with_key(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()


def make_session(page: Page) -> None:
    page.get_by_role("main").get_by_role("link", name="New ad").click()
    page.get_by_label("Product", exact=True).fill("Lamp")
    page.get_by_text("Tone, website, id").click()
    page.get_by_label("Id", exact=True).fill("lamp")
    for scenario in Scenario:
        page.locator(f"#{scenario}-visual_description").fill(f"a lamp in the {scenario}")
        page.locator(f"#{scenario}-duration").evaluate("field => field.value = '1'")
    page.get_by_role("button", name="Create the ad").click()
    expect(page.get_by_role("heading", name="Lamp", level=1)).to_be_visible()


def watch_it_generate(page: Page) -> None:
    """Press Generate and touch nothing more: what changes, the page's script has brought."""
    page.get_by_role("button", name="Generate the 4 clips").dblclick()
    expect(page.get_by_role("progressbar")).to_have_count(4)
    page.evaluate("window.isTheSamePage = true")
    expect(page.locator("#ad-state")).to_contain_text("Completed")
    expect(page.locator(".stage video")).to_have_count(4)
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.locator("#ad-state")).to_contain_text("Cost $")
    assert page.evaluate("window.isTheSamePage")


def play(page: Page, video: Locator) -> None:
    """Play a clip, from bytes that are asked for by range once it is played."""
    source = video.get_attribute("src") or ""
    page.reload()
    with page.expect_response(lambda answer: answer.url.endswith(source)) as fetched:
        video.evaluate("video => { video.muted = true; return video.play() }")
    assert (fetched.value.status, "content-range" in fetched.value.headers) == (206, True)
    page.wait_for_function("video => video.currentTime > 0.2", arg=video.element_handle())
    assert video.evaluate("video => [video.videoWidth, video.videoHeight]") == [128, 72]


def regenerate_hook(page: Page, words: str) -> None:
    page.locator("#hook-visual_description").fill(words)
    page.locator("#hook").get_by_role("button", name="Regenerate").dblclick()
    expect(page.locator("#hook-state")).to_contain_text("Take 1 stays the current one until the new take is stored")
    expect(page.locator("#hook-state")).to_contain_text("Take 2")
    expect(page.locator("#hook-state")).to_contain_text("Completed")
    expect(page.locator("#hook-visual_description")).to_have_value(words)


def choose_first_take(page: Page) -> None:
    page.get_by_text("2 takes").click()
    page.get_by_role("button", name="Use take 1").click()
    expect(page.get_by_text("Take 1 is now used.")).to_be_visible()
    expect(page.get_by_role("button", name="Use take 2")).to_be_visible()


def test_a_person_chooses_a_model_and_uploads_images_with_a_preview(
    visitor: Visitor, records: Records, page: Page, tmp_path: Path
) -> None:
    photos = [write_image(tmp_path / f"{name}.png", shade=shade) for name, shade in (("lamp", 1), ("tent", 2))]
    page.goto(str(visitor.client.base_url.join("/sessions/ad")))
    page.get_by_text("For all scenes: model, shape").click()
    common = page.locator("#options")
    common.get_by_label("Model", exact=True).fill("alibaba:wan@3.0")
    common.get_by_label("Shape").select_option("9:16")
    common.get_by_label("Off").check()
    common.get_by_label("Upload references").set_input_files(photos)
    expect(common.get_by_role("img")).to_have_count(2)
    assert all(is_shown(image) for image in common.get_by_role("img").all())
    # The wrong size is told by the server: nothing that was typed or chosen is lost.
    common.get_by_label("Exact size").fill("big")
    common.get_by_role("button", name="Save for all scenes").click()
    expect(common.get_by_label("Exact size")).to_be_focused()
    expect(common.get_by_label("References", exact=True)).to_have_value("lamp.png\ntent.png")
    common.get_by_label("Exact size").fill("")
    common.get_by_role("button", name="Save for all scenes").press("Enter")
    expect(page.get_by_text("The next takes of all scenes will use this.")).to_be_visible()

    session = records.session("ad")
    assert (session.model, session.aspect, session.sound) == ("alibaba:wan@3.0", "9:16", False)
    assert [each.partition("#")[2] for each in session.references or []] == ["lamp.png", "tent.png"]
    hook = page.locator("#hook")
    hook.get_by_text("Model, shape, images").click()
    expect(hook.get_by_label("Model", exact=True)).to_have_attribute("placeholder", "alibaba:wan@3.0")
    large = tmp_path / "large.png"
    large.write_bytes(bytes(10_000_001))
    hook.get_by_label("Upload references").set_input_files(large)
    assert not hook.get_by_label("Upload references").evaluate("input => input.checkValidity()")
    hook.get_by_label("Upload references").set_input_files(photos[1])
    hook.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The next take will use this description.")).to_be_visible()
    # What was opened stays open.
    assert is_shown(page.locator("#hook").get_by_role("img", name="tent.png"))
    assert records.session("ad").scene(Scenario.HOOK).references == [(session.references or [])[1]]


def is_shown(image: Locator) -> bool:
    image.scroll_into_view_if_needed()
    return bool(image.evaluate("image => image.decode().then(() => image.naturalWidth)"))


@pytest.fixture
def examples(runware: LocalRunware, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generate the examples with the default model and size."""
    monkeypatch.delenv("ADREEL_MODEL")
    monkeypatch.delenv("ADREEL_SIZE")


@pytest.mark.skipif(not SCREENSHOTS, reason="SCREENSHOTS names no folder for the pictures of docs/storyboard.md")
@pytest.mark.usefixtures("examples")
def test_pictures_of_the_pages_are_kept(runware: LocalRunware, address: str, page: Page) -> None:
    glowcap, fernway = (read_session(ROOT / "examples" / f"{name}.yaml") for name in ("glowcap", "fernway-vertical"))
    travel = glowcap.model_copy(update={"session_id": "glowcap-travel", "product_name": "GlowCap for travellers"})
    sign_in(page, address)
    with Client(address, key=KEY, timeout=60) as client:
        generate(client, fernway)
        generate(client, glowcap)
        open_page(page, f"{address}/sessions/glowcap", height=1400)
        keep(page, "session")

        for words in ("A moth circles the lamp, then lands on the page", "A cat's eyes shine in the dark bedroom"):
            client.wait(client.regenerate("glowcap", Scenario.HOOK, visual_description=words).job_id)
        client.choose_take("glowcap", Scenario.HOOK, client.takes("glowcap", Scenario.HOOK).takes[1].take)
        open_page(page, f"{address}/sessions/glowcap", height=1340)
        page.get_by_text("3 takes").click()
        page.locator("#hook-compare").scroll_into_view_if_needed()
        wait_for_clips(page)
        keep(page, "takes")
        page.get_by_role("link", name="Play the ad").click()
        page.wait_for_timeout(SETTLING)
        page.keyboard.press("ArrowUp")
        page.wait_for_timeout(SETTLING)
        keep(page, "stage")

        for formats in (["9:16"], ["16:9"]):
            client.wait(client.cut("glowcap", formats).job_id or "", every=1)
        open_page(page, f"{address}/sessions/glowcap", height=1000)
        keep(page, "ad")

        for fault in ("neverEnds:problem", "contentPolicy:solution", "neverEnds:cta"):
            runware.inject(fault)
        client.create_session(travel)
        job_id = client.generate("glowcap-travel").job_id
        until(lambda: client.status(job_id).scenes[0].status == "completed", "the hook")
        until(lambda: client.status(job_id).scenes[2].status == "failed", "the end of the solution")
        open_page(page, f"{address}/sessions/glowcap-travel")
        page.evaluate("scrollTo(0, 0)")
        keep(page, "generating")
        open_page(page, address)
        keep(page, "sessions")
        light = phone(page, f"{address}/sessions/glowcap-travel#solution", "light")
        dark = phone(page, f"{address}/sessions/glowcap", "dark")
        keep_side_by_side(light, dark, "phone")
        client.cancel(job_id)


def generate(client: Client, session: Session) -> None:
    client.create_session(session)
    status = client.wait(client.generate(session.session_id).job_id, every=1)
    assert status.overall_status == "completed", status


def open_page(page: Page, url: str, *, height: int = 900) -> None:
    page.set_viewport_size({"width": 1360, "height": height})
    page.goto(url)
    wait_for_clips(page)


def wait_for_clips(page: Page) -> None:
    """Wait until no image and no clip shows that it is loading. An image out of sight may never load."""
    page.wait_for_function(
        """() => [...document.images].every(image => image.complete || image.loading === "lazy") &&
        [...document.querySelectorAll("video")].every(video => video.networkState != video.NETWORK_LOADING)"""
    )
    page.wait_for_timeout(SETTLING)


def phone(page: Page, url: str, colours: Literal["light", "dark"]) -> Image.Image:
    """Return what a phone shows of a page."""
    assert page.context.browser is not None
    context = page.context.browser.new_context(
        viewport={"width": 400, "height": 860},
        device_scale_factor=2,
        is_mobile=True,
        color_scheme=colours,
        storage_state=page.context.storage_state(),
    )
    shown = context.new_page()
    shown.goto(url)
    wait_for_clips(shown)
    picture = Image.open(io.BytesIO(shown.screenshot()))
    context.close()
    return picture


def keep_side_by_side(left: Image.Image, right: Image.Image, name: str) -> None:
    gap = 40
    both = Image.new("RGB", (left.width + right.width + 3 * gap, left.height + 2 * gap), "#cacac4")
    both.paste(left, (gap, gap))
    both.paste(right, (left.width + 2 * gap, gap))
    both.save(Path(SCREENSHOTS) / f"storyboard-{name}.jpg", quality=70, optimize=True)


def keep(page: Page, name: str) -> None:
    page.screenshot(path=Path(SCREENSHOTS) / f"storyboard-{name}.jpg", type="jpeg", quality=75)
