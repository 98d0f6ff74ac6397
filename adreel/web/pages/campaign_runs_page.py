"""The pages that start, continue and stop a campaign: each shows what it would buy before its button."""

import hashlib
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import RedirectResponse

from adreel.errors import InputError, NotFound
from adreel.index import SessionIndex, read_campaign
from adreel.models.api import State
from adreel.models.campaigns import CampaignCreate
from adreel.models.documents import find_line, read_document
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records.suggestions import without_commands
from adreel.service import CampaignService
from adreel.service.campaigns import CampaignPlan
from adreel.web.bodies import FormData, read_form_with_files
from adreel.web.dependencies import CampaignName, CampaignsDep, IndexDep, scoped_key
from adreel.web.pages.forms import FORM_ERRORS, Fields, FormState, new_token, wait_if_in_flight, with_errors
from adreel.web.pages.rendering import PageRoute, page
from adreel.web.problems import HTTPProblem

FIELDS = ("name", "text", "clip_price")
EXAMPLE = """\
products:
  - session_id: glowcap
    product_name: GlowCap
    main_benefit: light on the page and nowhere else

variants:
  - variant: bedtime
    scene_descriptions:
      - {scenario: hook, visual_description: "A dark bedroom at midnight"}
      - {scenario: problem, visual_description: "A bright lamp wakes the sleeper"}
      - {scenario: solution, visual_description: "{product_name}: {main_benefit}"}
      - {scenario: cta, visual_description: "{product_name} on a white pillow"}
"""
UNFINISHED = (State.FAILED, State.PARTIAL, State.CANCELLED, State.GENERATING)
MAX_SHOWN = 20

router = APIRouter(include_in_schema=False, route_class=PageRoute)


class WrongFile(InputError):
    """The file of a campaign is wrong in these lines."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines), {"text": "\n".join(lines)})


async def get_form(request: Request) -> FormData:
    """Read the form; an uploaded file takes the place of the text."""
    form = await read_form_with_files(request)
    fields = {name: value.replace("\r\n", "\n") for name, value in form.fields.items()}
    for file in form.files:
        if file.name == "file":
            fields["text"] = file.content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
            fields["name"] = fields.get("name", "").strip() or PurePosixPath(file.filename).stem
    return FormData(fields)


Form = Annotated[FormData, Depends(get_form)]


@router.get("/new-campaign")
async def show_form(request: Request, campaigns: CampaignsDep) -> Response:
    """Show the empty form of a campaign."""
    return _show(request, campaigns, FormState(dict.fromkeys(FIELDS, "")))


@router.post("/new-campaign")
async def check_or_start(request: Request, campaigns: CampaignsDep, form: Form) -> Response:
    """Check a campaign and show what it costs; start it if that was shown."""
    fields = {name: form.fields.get(name, "") for name in FIELDS} | {"token": form.fields.get("token", "")}
    plan = None
    try:
        new = await run_in_threadpool(campaign_of, campaigns, fields)
        plan = await run_in_threadpool(campaigns.plan, new)
        if form.fields.get("action") != "start":
            return _show(request, campaigns, FormState(fields), plan)
        if form.fields.get("checked") != _digest(new, plan):
            return _show(
                request, campaigns, FormState(fields), plan, notice="The file or a price has changed: look at it again."
            )
        if not fields["token"]:
            raise HTTPProblem(422, "noToken", "this form has no token: reload the page")
        key, caller = scoped_key(request, fields["token"]), request.state.caller.name
        await wait_if_in_flight(lambda: campaigns.start(new, created_by=caller, key=key))
    except FORM_ERRORS as error:
        return _show(request, campaigns, with_errors(fields, error), plan)
    return RedirectResponse(f"/campaigns/{new.name}", 303)


@router.get("/campaigns/{name}/resume")
async def show_rest(name: CampaignName, request: Request, campaigns: CampaignsDep, index: IndexDep) -> Response:
    """Show what a campaign that has stopped would still buy."""
    return await _show_rest(request, campaigns, index, name, FormState({}))


@router.post("/campaigns/{name}/resume")
async def resume(
    name: CampaignName, request: Request, campaigns: CampaignsDep, index: IndexDep, fields: Fields
) -> Response:
    """Continue a campaign."""
    if not fields.get("token"):
        raise HTTPProblem(422, "noToken", "this form has no token: reload the page")
    try:
        key = scoped_key(request, fields["token"])
        await wait_if_in_flight(lambda: campaigns.resume(name, key=key))
    except FORM_ERRORS as error:
        return await _show_rest(request, campaigns, index, name, with_errors(fields, error))
    return RedirectResponse(f"/campaigns/{name}", 303)


@router.post("/campaigns/{name}/cancel")
async def cancel(name: CampaignName, campaigns: CampaignsDep) -> Response:
    """Stop the run of a campaign. Nothing more is bought."""
    if run := await campaigns.run_of(name):
        await campaigns.service.cancel(run.run_id)
    return RedirectResponse(f"/campaigns/{name}", 303)


def campaign_of(campaigns: CampaignService, fields: dict[str, str]) -> CampaignCreate:
    """Read the form of a campaign; WrongFile names the lines of the file that are wrong."""
    name, text = fields["name"].strip(), fields["text"]
    if not text.strip():
        raise WrongFile(["Choose a file, or write products and variants here."])
    try:
        data = read_document(text, "The file")
        wrong = campaigns.wrong_fields(data, "The file")
    except InputError as error:
        raise WrongFile([str(error)]) from None
    lines = []
    for each in wrong[:MAX_SHOWN]:
        line = find_line(text, each.steps)
        lines.append(f"{f'Line {line}, ' if line else ''}{each.place}: {each.reason}")
    if wrong:
        raise WrongFile([*lines, *([f"and {len(wrong) - MAX_SHOWN} more"] if len(wrong) > MAX_SHOWN else [])])
    price = fields["clip_price"].strip().removeprefix("$")
    values: dict[str, Any] = {"name": name, "products": data["products"], "variants": data["variants"]}
    return CampaignCreate.model_validate({**values, **({"clip_price": price} if price else {})})


def _digest(new: CampaignCreate, plan: CampaignPlan) -> str:
    """Return what a person has seen before pressing the button: the campaign and its price."""
    known = [amount for amount in plan.amounts if amount is not None]
    return hashlib.sha256(f"{new.model_dump_json()} {len(plan.amounts)} {len(known)} {sum(known)}".encode()).hexdigest()


def _show(
    request: Request,
    campaigns: CampaignService,
    form: FormState,
    plan: CampaignPlan | None = None,
    *,
    notice: str = "",
) -> Response:
    # After a 503 the campaign may have been started: its order keeps its key.
    is_in_doubt = form.status == HTTPStatus.SERVICE_UNAVAILABLE
    if form.errors and not is_in_doubt:
        plan = None
    response = page(
        request,
        "campaign_form.html",
        form.status,
        form=form,
        plan=plan,
        notice=notice,
        example=EXAMPLE,
        checked=_digest(campaign_of(campaigns, form.fields), plan) if plan else "",
        token=(form.fields.get("token", "") if is_in_doubt else "") or new_token(),
        is_simulated=campaigns.service.settings.is_local,
    )
    response.headers.update(form.headers)
    return response


async def _show_rest(
    request: Request, campaigns: CampaignService, index: SessionIndex, name: str, form: FormState
) -> Response:
    try:
        campaign = await run_in_threadpool(campaigns.campaign, name)
        plan = await run_in_threadpool(lambda: campaigns.plan_rest(name, _unfinished(index, name)))
    except NotFound as error:
        raise HTTPProblem(404, "noCampaign", without_commands(str(error))) from None
    response = page(
        request,
        "campaign_rest.html",
        form.status,
        name=name,
        plan=plan,
        problem=next(iter(form.errors.values()), ""),
        is_simulated=campaigns.service.settings.is_local,
        token=hashlib.sha256(f"{name} {campaign.run_id}".encode()).hexdigest(),
    )
    response.headers.update(form.headers)
    return response


def _unfinished(index: SessionIndex, name: str) -> list[str]:
    """Return the ids of the started ads that may lack clips."""
    try:
        pages = [read_campaign(index, name, state=state, limit=0) for state in UNFINISHED]
    except NotFound:
        return []
    return [ad.session_id for found in pages for ad in found.ads]
