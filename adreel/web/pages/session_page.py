"""The page of a session: its four scenes side by side, and the forms that change them and order takes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import wraps
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import RedirectResponse

from adreel.errors import Conflict, InputError, KeyReused
from adreel.index import SessionIndex
from adreel.models.api import TakeChoice, VideoGenerationRequest, VideoRegenerateRequest, VideoResumeRequest
from adreel.models.cuts import CutView
from adreel.models.parts import Part, kind_of
from adreel.models.scenarios import Scenario
from adreel.models.sessions import ID_PATTERN
from adreel.models.takes import utc_now
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records.views import words_of
from adreel.service import Service
from adreel.web.dependencies import IndexDep, JobId, ServiceDep, SessionId, StatusesDep, scoped_key
from adreel.web.pages.boards import Board, read_board
from adreel.web.pages.cut_section import options_of_form, read_cut_section
from adreel.web.pages.forms import (
    DESCRIPTION,
    FORM_ERRORS,
    NARRATION,
    OPTIONS,
    ORIGINAL,
    WORDS,
    Fields,
    FormState,
    Upload,
    defaults_of,
    initial_fields,
    max_cost_of,
    new_token,
    only_edited,
    options_of,
    order_of,
    patch_of,
    scene_defaults,
    wait_if_in_flight,
    with_errors,
)
from adreel.web.pages.models import ModelChoices
from adreel.web.pages.playlists import make_playlist
from adreel.web.pages.rendering import NAMES, PageRoute, listed, page
from adreel.web.pages.shares_page import SharedState, read_shares_and_reviews
from adreel.web.pages.sound_form import sound_fields, sound_form, sound_inputs, sound_patch
from adreel.web.pages.take_words import differing_words, other_words, use_words
from adreel.web.problems import HTTPProblem
from adreel.web.status_cache import StatusCache

NOTICES = {
    "saved": "Saved. The next take will use this description.",
    "options": "Saved. The next takes of all scenes will use this.",
    "made": "This ad is made already.",
    "chosen": "Take {take} is now used.",
    "started": "The scene starts from still {take}. Generate or regenerate its clip to have it.",
    "sound": "Saved. What is bought from now on is made with this; what was bought stays.",
    "words": "The scene has the description of take {take} again. The current take stays, and nothing was bought.",
    "facts": "Saved. What is bought from now on is made from these facts; the clips stay as they are.",
    "archived": "Archived. It has left the list, and its clips stay.",
    "restored": "Restored. It is in the list again.",
    "cancelled": "Cancelled. Nothing more is bought. Clips that Runware has accepted can still be downloaded.",
}

router = APIRouter(include_in_schema=False, route_class=PageRoute)

Section = Scenario | Literal["ad"]
JobIds = Annotated[list[Annotated[str, Query(pattern=ID_PATTERN)]], Query(default_factory=list, alias="job")]
Sections = Annotated[list[Section], Query(default_factory=list, alias="only")]


@dataclass(frozen=True)
class PageContext:
    """A request for the page of one session; `job_ids` were started from it and may not have a record yet.

    The script of the page asks for the sections that it replaces: the ad's own, and scenes. Without any, all is shown.
    """

    request: Request
    session_id: str
    service: Service
    statuses: StatusCache
    index: SessionIndex
    job_ids: list[str]
    only: list[Section]

    def key(self, fields: dict[str, str]) -> str | None:
        """Return the idempotency key of a form."""
        if not fields.get("token"):
            raise HTTPProblem(422, "noToken", "this form has no token: reload the page")
        return scoped_key(self.request, fields["token"])

    def redirect(self, *, job_id: str = "", notice: str = "", scene: str = "", take: str = "") -> Response:
        """Redirect to the page, which also follows a job that was started; the notice may be about a take."""
        jobs = dict.fromkeys([*self.job_ids, *([job_id] if job_id else [])])
        said = [("said", notice), ("scene", scene), ("take", take)] if notice else []
        query = urlencode([*(("job", each) for each in jobs), *(("only", each) for each in self.only), *said])
        fragment = f"#{scene}" if scene in set(Scenario) else ""
        return RedirectResponse(f"/sessions/{self.session_id}{'?' if query else ''}{query}{fragment}", 303)

    async def show(
        self,
        *,
        notice: str = "",
        error: Exception | None = None,
        submitted: tuple[Scenario, FormState] | None = None,
        options: FormState | None = None,
        sound: FormState | None = None,
        scene: str = "",
        take: str = "",
        limit: str = "",
    ) -> Response:
        """Render the page, with a notice or an error in a scene or at the top, or with a form as it was submitted.

        `submitted` is the form of a scene, `options` that for all scenes, `sound` that of the narrator and the music.
        `take` is the short id of the take that the notice is about, `limit` the text in the field for the limit of an
        order.
        """
        board, (links, reviews) = await asyncio.gather(
            read_board(self.service, self.statuses, self.index, self.session_id, self.job_ids),
            run_in_threadpool(read_shares_and_reviews, self.service.records, self.session_id),
        )
        models = await run_in_threadpool(ModelChoices.of, self.service)
        forms, tokens = self._scene_forms(board, models, submitted)
        common = options or FormState(initial_fields(board.session, OPTIONS))
        answered = (submitted[1] if submitted else options or sound) or (
            with_errors({}, error) if error else FormState({})
        )
        numbers = {each.short_id: of.number_of(each) for of in board.all_parts for each in of.takes}
        offered = await run_in_threadpool(self.service.list_voices)
        spoken = sound or FormState(sound_fields(board.session))
        if "{take}" in notice:
            notice = notice.format(take=numbers[take]) if take in numbers else ""
        query = urlencode([("job", status.job_id) for status in board.followed.running])
        cut = await read_cut_section(self.service, board)
        response = page(
            self.request,
            "session.html",
            answered.status,
            board=board,
            cut=cut,
            shared=SharedState.of(board, links, reviews),
            playlist=make_playlist(board, cut),
            names=NAMES,
            limit=limit,
            session=board.session,
            path=f"/sessions/{self.session_id}",
            now=utc_now(),
            forms=forms,
            problem="" if error is None else next(iter(answered.errors.values())),
            notice="" if board.cancelled and notice == NOTICES["cancelled"] else notice,
            description=DESCRIPTION,
            original=ORIGINAL,
            words=WORDS,
            narration=NARRATION,
            options=OPTIONS,
            sound=sound_form(spoken, offered, self.service.settings),
            sound_inputs=sound_inputs(spoken.fields, offered, self.service.settings),
            words_of=words_of,
            only=self.only,
            scene_acted=scene if scene in forms else "",
            take_acted=take if take in numbers else "",
            other_words=other_words,
            differing_words=differing_words,
            common=self._completed(common, defaults_of(board.session, models.default), models),
            models=models,
            tokens=tokens,
            query=f"?{query}" if query else "",
        )
        response.headers.update(answered.headers)
        return response

    def _scene_forms(
        self, board: Board, models: ModelChoices, submitted: tuple[Scenario, FormState] | None
    ) -> tuple[dict[Scenario, FormState], dict[Scenario, str]]:
        """Return the form of each scene, and its token."""
        forms = {
            scene.scenario: FormState(initial_fields(scene.description), scene.field_errors) for scene in board.scenes
        }
        tokens = {scenario: new_token() for scenario in forms}
        if submitted:
            scenario, form = submitted
            forms[scenario] = form
            # After a 503 the order may have arrived: it keeps its key.
            if form.status == HTTPStatus.SERVICE_UNAVAILABLE and form.fields.get("token"):
                tokens[scenario] = form.fields["token"]
        defaults = scene_defaults(board.session, models.default)
        return {scenario: self._completed(form, defaults, models) for scenario, form in forms.items()}, tokens

    def _completed(self, form: FormState, defaults: dict[str, str], models: ModelChoices) -> FormState:
        notes = {"model": models.note(form.fields.get("model") or defaults["model"])}
        return replace(form, defaults=defaults, notes=notes, session_id=self.session_id)

    async def regenerate(self, part: Part, fields: dict[str, str], changes: dict[str, Any]) -> str:
        """Start a new take of a part and return its job's id."""
        order = VideoRegenerateRequest.model_validate({**changes, "session_id": self.session_id, "scenario": part})
        key = self.key(fields)
        return (await wait_if_in_flight(lambda: self.service.regenerate(order, key=key))).run_id


async def get_page(
    request: Request,
    session_id: SessionId,
    service: ServiceDep,
    statuses: StatusesDep,
    index: IndexDep,
    *,
    job_ids: JobIds,
    only: Sections,
) -> PageContext:
    """Collect what every request of the page has."""
    return PageContext(request, session_id, service, statuses, index, job_ids, only)


def scene_of_part(part: str) -> str:
    """Return the scene where a page shows a part; empty for what it shows for the whole ad."""
    scenario = part.rpartition("-")[2]
    return scenario if scenario in set(Scenario) else ""


Page = Annotated[PageContext, Depends(get_page)]
Handler = Callable[..., Awaitable[Response]]


def shows_errors(handle: Handler) -> Handler:
    """Make a handler of a form show the page with an error in its scene, or at the top."""

    @wraps(handle)
    async def handle_or_show(page: PageContext, **arguments: Any) -> Response:
        try:
            return await handle(page, **arguments)
        except FORM_ERRORS as error:
            fields = arguments.get("fields", {})
            named = arguments.get("part") or arguments.get("scenario") or fields.get("scenario", "")
            return await page.show(error=error, scene=scene_of_part(named), limit=fields.get("max_cost", ""))

    return handle_or_show


@router.get("/sessions/{session_id}")
async def show_session(page: Page, said: str = "", scene: str = "", take: str = "") -> Response:
    """Show a session."""
    return await page.show(notice=NOTICES.get(said, ""), scene=scene, take=take)


@router.post("/sessions/{session_id}/generate")
@shows_errors
async def generate(page: Page, fields: Fields) -> Response:
    """Order parts: the first takes, or what has changed."""
    await run_in_threadpool(refuse_incomplete, page.service, page.session_id)
    scenarios = fields.get("scenarios", "").split()
    order = VideoGenerationRequest.model_validate(
        {
            "session_id": page.session_id,
            "scenarios": scenarios,
            "only_changed": bool(fields.get("only_changed")),
            "max_cost": max_cost_of(fields),
        }
    )
    key = page.key(fields)
    try:
        run = await wait_if_in_flight(lambda: page.service.generate(order, key=key))
    except KeyReused:
        raise Conflict("These clips are ordered already, with another limit. Reload the page to see them.") from None
    return page.redirect(job_id=run.run_id)


def refuse_incomplete(service: Service, session_id: str) -> None:
    """Raise InputError if a draft lacks scenes."""
    missing = [scenario for scenario in Scenario if scenario not in service.session(session_id).scenarios]
    if missing and not any(service.records.take_ids(session_id).values()):
        raise InputError(f"This ad is a draft without the {listed(missing)}: complete it before you generate it.")


@router.post("/sessions/{session_id}/cut")
@shows_errors
async def make_cut(page: Page, fields: Fields) -> Response:
    """Make the finished ad: again as an earlier one, or in the chosen formats."""
    options = await run_in_threadpool(options_of_form, page.service.records, page.session_id, fields)
    # The same form with other formats must not count as a second click.
    chosen = "-".join(options.formats).replace(":", "x")
    key = page.key(fields | {"token": f"{fields['token']}-{chosen}"} if fields.get("token") else fields)
    made = await wait_if_in_flight(lambda: page.service.cut(page.session_id, options, key=key))
    return page.redirect(notice="made") if isinstance(made, CutView) else page.redirect(job_id=made.run_id)


@router.post("/sessions/{session_id}/jobs/{job_id}/resume")
@shows_errors
async def resume_job(page: Page, job_id: JobId, fields: Fields) -> Response:
    """Resume a job."""
    key = page.key(fields)
    limits = VideoResumeRequest(max_cost=max_cost_of(fields))
    run = await wait_if_in_flight(lambda: page.service.resume(job_id, limits, key=key))
    return page.redirect(job_id=run.run_id, scene=fields.get("scenario", ""))


@router.post("/sessions/{session_id}/jobs/{job_id}/cancel")
@shows_errors
async def cancel_job(page: Page, job_id: JobId) -> Response:
    """Cancel a job."""
    await page.service.cancel(job_id)
    return page.redirect(notice="cancelled")


@router.post("/sessions/{session_id}/options")
async def change_options(page: Page, upload: Upload) -> Response:
    """Save what the scenes have in common."""
    form = await upload.stored(page.service, page.session_id)
    if form.errors:
        return await page.show(options=FormState(form.fields, form.errors, 422))
    try:
        await run_in_threadpool(page.service.change_session, page.session_id, options_of(form.fields))
    except FORM_ERRORS as error:
        return await page.show(options=with_errors(form.fields, error))
    return page.redirect(notice="options")


@router.post("/sessions/{session_id}/scenes/{scenario}")
async def change_scene(page: Page, scenario: Scenario, upload: Upload) -> Response:
    """Save a scene's description, and order a take of it if `action` is `regenerate`."""
    form = await upload.stored(page.service, page.session_id)
    fields = form.fields
    if form.errors:
        return await page.show(submitted=(scenario, FormState(fields, form.errors, 422)))
    try:
        patch = patch_of(fields)
        edited = only_edited(patch, fields)
        await run_in_threadpool(page.service.change_scene, page.session_id, scenario, edited)
        if fields.get("action") != "regenerate":
            return page.redirect(notice="saved", scene=scenario)
        # The order includes the description: the same form with other words must not count as a second click.
        job_id = await page.regenerate(scenario, fields, order_of(patch, edited))
    except FORM_ERRORS as error:
        return await page.show(submitted=(scenario, with_errors(fields, error)))
    return page.redirect(job_id=job_id, scene=scenario)


@router.post("/sessions/{session_id}/sound")
async def change_sound(page: Page, fields: Fields) -> Response:
    """Save the narrator and the music."""
    try:
        session = await run_in_threadpool(page.service.session, page.session_id)
        await run_in_threadpool(page.service.change_session, page.session_id, sound_patch(fields, session))
    except FORM_ERRORS as error:
        return await page.show(sound=with_errors(fields, error))
    return page.redirect(notice="sound")


@router.post("/sessions/{session_id}/scenes/{part}/retry")
@shows_errors
async def retry(page: Page, part: Part, fields: Fields) -> Response:
    """Order a take of a part as it is described."""
    return page.redirect(job_id=await page.regenerate(part, fields, {}), scene=scene_of_part(part))


@router.post("/sessions/{session_id}/scenes/{part}/current")
@shows_errors
async def choose_take(page: Page, part: Part, fields: Fields) -> Response:
    """Make an older take the current one, or start a clip from a still."""
    take = TakeChoice.model_validate({"take": fields.get("take", "")}).take
    chosen = await run_in_threadpool(page.service.choose_take, page.session_id, part, take)
    notice = "started" if kind_of(part) == "still" else "chosen"
    return page.redirect(notice=notice, scene=scene_of_part(part), take=chosen.take)


@router.post("/sessions/{session_id}/scenes/{scenario}/words")
@shows_errors
async def use_description(page: Page, scenario: Scenario, fields: Fields) -> Response:
    """Give a scene the description of one of its takes."""
    take = TakeChoice.model_validate({"take": fields.get("take", "")}).take
    await run_in_threadpool(use_words, page.service, page.session_id, scenario, take)
    return page.redirect(notice="words", scene=scenario, take=take)
