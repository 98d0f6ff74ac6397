"""Every page in every state: a storage with an ad in each state, and the pages that show them, one line each."""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from adreel.catalog import packaged
from adreel.catalog.sizes import ratio
from adreel.emulator.card import Card
from adreel.emulator.clips import Clip as DrawnClip
from adreel.emulator.images import InputImages
from adreel.models.api import ClipWarning
from adreel.models.parts import STILLS, VOICES, Addition, Part, kind_of, scenario_of
from adreel.models.scenarios import Scenario
from adreel.models.sessions import MusicBed, SceneChanges, Session, Voice, read_session
from adreel.models.shares import ReviewKind, Right, ShareCreate
from adreel.models.takes import AsideFile, AttemptState, Job, PartRequest, Problem, Take, clip_name
from adreel.purchase.planning import part_request
from adreel.purchase.prompt import compose_prompt
from adreel.records import Records
from adreel.records.archiving import archive_session
from adreel.records.choosing import choose_take
from adreel.records.sharing import add_review, create_share, film_of, find_share, revoke_share
from adreel.settings import Settings
from adreel.spend.budgets import Budgets
from tests.cut.stored_ads import store_cut
from tests.factories import NOW, make_take, save_job
from tests.index.test_campaigns import store_ad
from tests.storyboard.test_campaign_pages import store_spring

if TYPE_CHECKING:
    from playwright.sync_api import Page

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
KEY, VIEW_KEY = "studio-key-0123456789", "client-key-0123456789"
NO_CREDITS = Problem(code="noCredits", message="the account has no credits left: add some, then try again")
REFUSED = Problem(code="sceneRefused", message="Runware refuses the text: it names a person (parameter positivePrompt)")
CANCELLED = Problem(code="cancelled", message="cancelled")
ASIDE = AsideFile(file="camp_problem_0123abcd.aside.webm", sha256="0" * 64, size=900_000, reason="WebM")


@dataclass(frozen=True)
class Shown:
    """A page in a state. `act` leads from its address to the state; `site` is the storage that is served."""

    name: str
    path: str
    act: "Callable[[Page], None]" = lambda page: None
    site: str = "full"
    key: str = KEY
    is_signed_in: bool = True
    is_pictured: bool = True
    names_commands: bool = False


def press(button: str) -> "Callable[[Page], None]":
    """Press a button, whatever the browser thinks of the fields."""

    def press_it(page: "Page") -> None:
        page.evaluate("for (const form of document.forms) form.noValidate = true")
        page.get_by_role("button", name=button).first.click()
        page.wait_for_load_state()
        page.locator("form[aria-busy]").wait_for(state="detached")

    return press_it


def order_for_a_dollar(page: "Page") -> None:
    """Order clips that cost more than the limit of the order."""
    page.get_by_label("Spend at most").fill("1")
    page.locator("#generate").click()
    page.locator("#said .notice").wait_for()


def type_wrong(page: "Page") -> None:
    """Save a scene with a size that can't be."""
    page.locator("#hook-more-2").evaluate("details => { details.open = true }")
    page.locator("#hook-size").fill("big")
    page.locator("#hook-save").click()
    page.locator("#hook-size[aria-invalid]").wait_for()


def type_wrong_speed(page: "Page") -> None:
    """Save a narrator with a speed that can't be."""
    page.locator("#sound > summary").click()
    page.locator("#voice-speed").fill("9")
    page.locator("#sound-save").click()
    page.locator("#voice-speed[aria-invalid]").wait_for()


def sign_in_wrong(page: "Page") -> None:
    """Try a key that is not valid."""
    page.get_by_label("Your key").fill("wrong")
    press("Sign in")(page)


def open_takes(page: "Page") -> None:
    """Show the takes of a scene."""
    page.locator("#hook-takes-list > summary").click()


def open_stage(page: "Page") -> None:
    """Play an ad on its stage. The clips of this storage can't be played, so the stage names them."""
    page.get_by_role("link", name="Play the ad").click()
    page.locator(".player-said", has_text="skipped").wait_for()


def clear_product(page: "Page") -> None:
    """Save the facts of a product without its name."""
    page.get_by_label("Product", exact=True).fill("")
    press("Save")(page)


def check_campaign(page: "Page") -> None:
    """Have a campaign checked and its price shown."""
    file = (EXAMPLES / "campaigns" / "spring.yaml").read_text()
    page.get_by_label("Or write it here").fill(file[file.index("products:") :])  # Its comment names a command.
    page.get_by_label("Name of the campaign").fill("winter")
    press("Check")(page)


PAGES = (
    Shown("list", "/"),
    Shown("list-filtered", "/?q=glowcap&sort=-cost"),
    Shown("list-nothing-found", "/?q=nothing"),
    Shown("list-archived", "/?state=archived"),
    Shown("list-after-archive", "/?said=archived&ad=old"),
    Shown("list-empty", "/", site="empty"),
    Shown("new", "/new"),
    Shown("new-from-template", "/new?template=skincare", press("Write the scenes")),
    Shown("new-wrong", "/new", press("Create the ad")),
    Shown("edit", "/sessions/fresh/edit"),
    Shown("ad-new", "/sessions/fresh"),
    Shown("ad-draft", "/sessions/draft"),
    Shown("ad-generating", "/sessions/travel"),
    Shown("ad-completed", "/sessions/fernway"),
    Shown("ad-finished-and-outdated", "/sessions/glowcap"),
    Shown("ad-spoken", "/sessions/spoken"),
    Shown("ad-speaking", "/sessions/speaking"),
    Shown("ad-to-be-spoken", "/sessions/unspoken"),
    Shown("ad-sound-wrong", "/sessions/spoken", type_wrong_speed),
    Shown("ad-takes", "/sessions/glowcap", open_takes),
    Shown("ad-stage", "/sessions/glowcap", open_stage, is_pictured=False),
    Shown("play", "/sessions/fernway/play"),
    Shown("play-missing-clips", "/sessions/camp/play"),
    Shown("ad-failed", "/sessions/kids"),
    Shown("ad-partial", "/sessions/camp"),
    Shown("ad-cancelled", "/sessions/desk"),
    Shown("ad-archived", "/sessions/old"),
    Shown("delete", "/sessions/fresh/delete"),
    Shown("delete-refused", "/sessions/old/delete", press("Delete the ad")),
    Shown("ad-over-budget", "/sessions/dear"),
    Shown("ad-over-limit", "/sessions/fresh", order_for_a_dollar),
    Shown("spend", "/spend"),
    Shown("spend-by-day", "/spend?by=day"),
    Shown("spend-wrong", "/spend?since=2026-11-02&until=2026-11-01"),
    Shown("spend-empty", "/spend", site="empty"),
    Shown("ad-wrong-field", "/sessions/glowcap", type_wrong),
    Shown("ad-read-only", "/sessions/glowcap", key=VIEW_KEY),
    Shown("compare-read-only", "/sessions/glowcap/scenes/hook/compare", key=VIEW_KEY),
    Shown("form-read-only", "/new", key=VIEW_KEY),
    Shown("compare", "/sessions/glowcap/scenes/hook/compare"),
    Shown("compare-upright", "/sessions/fernway/scenes/hook/compare"),
    Shown("compare-unknown", "/sessions/glowcap/scenes/hook/compare?a=unknown"),
    Shown("compare-one-take", "/sessions/glowcap/scenes/cta/compare"),
    Shown("facts", "/sessions/glowcap/facts"),
    Shown("facts-wrong", "/sessions/glowcap/facts", clear_product),
    Shown("campaigns", "/campaigns"),
    Shown("campaigns-empty", "/campaigns", site="empty"),
    Shown("campaign", "/campaigns/spring"),
    Shown("campaign-list", "/campaigns/winter"),
    Shown("campaign-failed", "/campaigns/spring?state=failed"),
    Shown("campaign-rest", "/campaigns/spring/resume"),
    Shown("campaign-unknown", "/campaigns/nothing"),
    Shown("new-campaign", "/new-campaign"),
    Shown("new-campaign-checked", "/new-campaign", check_campaign),
    Shown("new-campaign-wrong", "/new-campaign", press("Check")),
    Shown("share", "/sessions/fernway/share"),
    Shown("share-link", "/sessions/glowcap/share", press("Make the link")),
    Shown("guest", "{guest}", is_signed_in=False),
    Shown("guest-clips", "{clips}", is_signed_in=False),
    Shown("guest-wrong", "{guest}", press("Send the comment"), is_signed_in=False),
    Shown("guest-ended", "{ended}", is_signed_in=False),
    Shown("api", "/docs", names_commands=True),
    Shown("sign-in", "/sign-in", is_signed_in=False),
    Shown("sign-in-wrong", "/sign-in", sign_in_wrong, is_signed_in=False),
    Shown("not-found", "/sessions/nothing"),
    Shown("wrong-address", "/sessions/no.id"),
)


class Shelf:
    """Stores ads in every state; their posters are drawn as the emulator draws them."""

    def __init__(self, records: Records, folder: Path) -> None:
        self.records = records
        self._folder = folder
        self._images = InputImages(folder)
        self._seeds = 0

    def fill(self) -> dict[str, str]:
        """Store the ads, and return the addresses of guests."""
        for name, cap in (("session:dear", 10_000), ("month", 50_000_000), ("campaign:autumn", 30_000_000)):
            Budgets(self.records).set(name, cap)
        for session_id, name in (("dear", "GlowCap, the long one"), ("fresh", "GlowCap for the office")):
            self._session(session_id, name)
        self._session("draft", "Fernway for balconies", example="fernway-vertical", scenes=2)
        self._unfinished()
        fernway = self._session("fernway", "Fernway", example="fernway-vertical")
        self._stored(fernway)
        self._stored(fernway, "again", minute=6, scenarios=[Scenario.HOOK])
        prompt = compose_prompt(fernway, fernway.scene(Scenario.HOOK))
        for minute, shape in enumerate(("16:9", "9:16"), start=8):
            cut = store_cut(self.records, self._folder, shape, session_id="fernway", minute=minute)  # type: ignore[arg-type]
            for file in cut.files:
                self._write(file.poster or "", self._draw(prompt, (file.width, file.height)))
        self._with_takes()
        self._with_sound()
        self._stored(self._session("old", "GlowCap of last year"))
        archive_session(self.records, "old")
        self._campaign()
        return self._shares()

    def _unfinished(self) -> None:
        travel = self._session("travel", "GlowCap for travellers")
        steps = (AttemptState.STORED, AttemptState.ACCEPTED, AttemptState.RENDERED, AttemptState.PLANNED)
        self._takes(travel, dict(zip(Scenario, steps, strict=True)), is_running=True)
        kids = self._session("kids", "GlowCap for children")
        self._takes(kids, dict.fromkeys(Scenario, AttemptState.FAILED), problem=NO_CREDITS)
        camp = self._session("camp", "GlowCap for the tent")
        self._stored(camp, scenarios=[Scenario.HOOK, Scenario.CTA])
        self._takes(camp, {Scenario.SOLUTION: AttemptState.FAILED}, "refused", problem=REFUSED)
        self._takes(camp, {Scenario.PROBLEM: AttemptState.FAILED}, "aside", problem=NO_CREDITS, aside=ASIDE)
        desk = self._session("desk", "GlowCap for the desk")
        self._takes(desk, dict.fromkeys(Scenario, AttemptState.ACCEPTED), problem=CANCELLED)

    def _with_takes(self) -> None:
        glowcap = self._session("glowcap", "GlowCap")
        self._stored(glowcap)
        store_cut(self.records, self._folder, session_id="glowcap", minute=1)
        moth = "A moth circles the lamp, then lands on the open pages of a novel; everything around it stays blue"
        for minute, words in enumerate((moth, "A cat's eyes shine in the dark bedroom"), start=2):
            self._stored(glowcap, f"again-{minute}", minute=minute, scenarios=[Scenario.HOOK], words=words)

    def _with_sound(self) -> None:
        """Store ads with a narrator, music and stills: bought, while they are being made, and before."""
        blocks = {"voice": Voice(), "music": MusicBed(prompt="Calm piano, 70 bpm")}
        silent = self._session("unspoken", "GlowCap for the blind")
        too_long = silent.scene(Scenario.CTA).model_copy(update={"dialog_narration": "Read on and on. " * 10})
        scenes = [*silent.scene_descriptions[:3], too_long]
        self.records.save_session(silent.model_copy(update={**blocks, "scene_descriptions": scenes}))
        for name, is_running in (("spoken", False), ("speaking", True)):
            session = self._session(name, "GlowCap, spoken")
            scenes = [
                scene.model_copy(update={"dialog_narration": scene.dialog_narration or "Awake again, at midnight."})
                for scene in session.scene_descriptions
            ]
            session = session.model_copy(update={**blocks, "scene_descriptions": scenes})
            self.records.save_session(session)
            parts = [*VOICES.values(), Addition.MUSIC, STILLS[Scenario.HOOK]]
            states: dict[Part, AttemptState] = dict.fromkeys([*Scenario, *parts], AttemptState.STORED)
            open_states: dict[Part, AttemptState] = {
                VOICES[Scenario.HOOK]: AttemptState.ACCEPTED,
                Addition.MUSIC: AttemptState.RENDERED,
            }
            states |= open_states if is_running else {}
            self._takes(session, states, is_running=is_running)
            if is_running:
                self._takes(session, {STILLS[Scenario.CTA]: AttemptState.ACCEPTED}, "still", is_running=True)
                continue
            self._takes(session, {VOICES[Scenario.CTA]: AttemptState.FAILED}, "failed", minute=1, problem=NO_CREDITS)
            again: dict[Part, AttemptState] = dict.fromkeys(
                [VOICES[Scenario.HOOK], Addition.MUSIC, STILLS[Scenario.HOOK]], AttemptState.STORED
            )
            self._takes(session, again, "again", minute=2, words="A cat's eyes shine in the dark")
            choose_take(self.records, name, STILLS[Scenario.HOOK], f"{name}-first")

    def _campaign(self) -> None:
        store_spring(self.records)
        for name in ("lamp", "mug"):
            store_ad(self.records, name, AttemptState.STORED, AttemptState.STORED, campaign="winter", minute=-60)
        names = {"fan": "Hushfan", "lamp": "GlowCap", "mug": "Warm mug"}
        for session_id in ("fan-day", "fan-night", "lamp-day", "lamp-night", "mug-day", "lamp", "mug"):
            name = names[session_id.partition("-")[0]]
            self.records.update_session(
                session_id,
                lambda session, name=name: session.model_copy(update={"product_name": name}),  # type: ignore[misc]
            )
            for take in self.records.takes(session_id, Scenario.HOOK):
                if take.scene and take.clip and take.clip.poster:
                    prompt = compose_prompt(self.records.session(session_id), take.scene)
                    self._write(take.clip.poster, self._draw(prompt, (1280, 720)))

    def _shares(self) -> dict[str, str]:
        links = {}
        for name, session_id in (("guest", "fernway"), ("clips", "camp"), ("ended", "fernway")):
            new = ShareCreate(rights=list(Right), label="Anna at the client")
            links[name] = create_share(self.records, session_id, new, str).url
        shares = {name: find_share(self.records, link.rpartition("/")[2]) for name, link in links.items()}
        guest, ended = shares["guest"], shares["ended"]
        assert guest
        assert ended
        film = film_of(self.records, "fernway")
        comment = {"author": "Anna", "text": "The fern is too dark here.", "moment": 1.5}
        add_review(self.records, guest, film, ReviewKind.COMMENT, key="1", **comment)  # type: ignore[arg-type]
        add_review(self.records, guest, film, ReviewKind.APPROVAL, author="Anna", key="2")
        revoke_share(self.records, "fernway", ended.share_id)
        return links

    def _session(self, session_id: str, name: str, *, example: str = "glowcap", scenes: int = 4) -> Session:
        described = read_session(EXAMPLES / f"{example}.yaml")
        changes = {"session_id": session_id, "product_name": name}
        session = described.model_copy(update={**changes, "scene_descriptions": described.scene_descriptions[:scenes]})
        self.records.save_session(session)
        return session

    def _stored(
        self,
        session: Session,
        job: str = "first",
        *,
        minute: int = 0,
        scenarios: list[Scenario] | None = None,
        words: str = "",
    ) -> None:
        states: dict[Part, AttemptState] = dict.fromkeys(scenarios or Scenario, AttemptState.STORED)
        self._takes(session, states, job, minute=minute, words=words)

    def _takes(
        self,
        session: Session,
        states: Mapping[Part, AttemptState],
        job: str = "first",
        *,
        minute: int = 0,
        words: str = "",
        problem: Problem | None = None,
        aside: AsideFile | None = None,
        is_running: bool = False,
    ) -> None:
        job_id = f"{session.session_id}-{job}"
        at = NOW + timedelta(minutes=minute)
        ended = None if is_running else at + timedelta(minutes=1)
        cancelled = ended if problem is CANCELLED else None
        save_job(
            self.records,
            Job(
                job_id=job_id,
                session_id=session.session_id,
                scenarios=list(states),
                created_at=at,
                ended_at=ended,
                cancelled_at=cancelled,
            ),
        )
        for scenario, state in states.items():
            take = make_take(state, scenario=scenario, job_id=job_id, session_id=session.session_id, minute=minute)
            changes = {"visual_description": words, "dialog_narration": words} if words else {}
            if of := scenario_of(scenario):
                take.scene = session.scene(of).model_copy(update=changes)
            take.request = self._request(session, scenario, take, words)
            take.problem = problem
            attempt = take.attempts[-1]
            attempt.seed, attempt.cost = (1000 + self._seeds, 0.33) if state == AttemptState.STORED else (None, None)
            attempt.aside = aside
            if state == AttemptState.FAILED:
                attempt.problem = problem
            self._store(session, take)

    def _request(self, session: Session, part: Part, take: Take, words: str) -> PartRequest:
        if isinstance(part, Scenario):
            assert take.scene
            return take.request.model_copy(update={"prompt": compose_prompt(session, take.scene)})
        field = {"voice": "dialog_narration", "music": "background_music"}.get(kind_of(part), "visual_description")
        changes = SceneChanges.model_validate({field: words} if words else {})
        return part_request(session, part, Settings(), packaged(), changes)

    def _store(self, session: Session, take: Take) -> None:
        if take.clip and take.request.kind in {"voice", "music"}:
            update = {"file": clip_name(take), "duration": 3.2, "width": 0, "height": 0, "poster": None}
            take.clip = take.clip.model_copy(update=update)
            self._write(take.clip.file, b"some sound")
        elif take.clip and take.request.kind == "still":
            size = (take.request.width or 1280, take.request.height or 720)
            update = {"file": clip_name(take), "duration": 0, "width": size[0], "height": size[1], "poster": None}
            take.clip = take.clip.model_copy(update=update)
            self._write(take.clip.file, self._draw(take.request.prompt, size))
        elif take.clip:
            shape = ratio(session.aspect or "16:9")
            size = (1280, 720) if shape > 1 else (720, 1280)
            warning = ClipWarning(code="shorterThanAsked", message="it lasts 4.40 s instead of 5 s")
            update = {"width": size[0], "height": size[1], "warnings": [warning] * (take.scenario == Scenario.SOLUTION)}
            take.clip = take.clip.model_copy(update=update)
            content = f"the clip of {take.job_id}".encode()
            take.clip.sha256, take.clip.size = hashlib.sha256(content).hexdigest(), len(content)
            self._write(take.clip.file, content)
            self._write(take.clip.poster or "", self._draw(take.request.prompt, size))
        self.records.save_take(take)

    def _draw(self, prompt: str, size: tuple[int, int]) -> bytes:
        self._seeds += 1
        prompt = " ".join(prompt.split("\n")[:2])
        half = size[0] // 2, size[1] // 2
        clip = DrawnClip(prompt, "klingai:kling-video@3-pro", self._seeds, *half, 24, 120, sound=True)
        drawn = io.BytesIO()
        picture: Image.Image = Card(clip, self._images).frame(40).to_image()  # type: ignore[no-untyped-call]
        picture.save(drawn, "JPEG", quality=80)
        return drawn.getvalue()

    def _write(self, path: str, content: bytes) -> None:
        self.records.storage.remove(path)
        self.records.storage.write(path, content)
