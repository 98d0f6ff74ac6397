"""The page that composes an ad: a new one, a copy for another product, or a draft whose clips nobody has ordered."""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from adreel.catalog.sizes import ASPECTS, aspect_of_platform
from adreel.errors import InputError, SessionExists
from adreel.models.ad_templates import PLATFORMS, SECONDS, ad_templates, find_template, for_other_product
from adreel.models.api import ClipWarning, SessionCreate
from adreel.models.documents import read_document
from adreel.models.scenarios import Scenario
from adreel.models.sessions import ID_PATTERN, Session
from adreel.models.spend import Price
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records.inputs import InputImage
from adreel.records.suggestions import without_commands
from adreel.service import Service
from adreel.service.sessions import version_of
from adreel.web.dependencies import ServiceDep, SessionId, scoped_key
from adreel.web.pages.compose_form import (
    PHOTO_USES,
    described_scenes,
    empty_form,
    form_of,
    label_of,
    session_of,
    write_scenes,
)
from adreel.web.pages.forms import (
    DESCRIPTION,
    FORM_ERRORS,
    NARRATION,
    OPTIONS,
    PHOTO,
    PRODUCT,
    WORDS,
    FormState,
    Upload,
    defaults_of,
    new_token,
    wait_if_in_flight,
    with_errors,
)
from adreel.web.pages.images import UploadForm
from adreel.web.pages.models import ModelChoices
from adreel.web.pages.pictures import Shape, swatches
from adreel.web.pages.rendering import PageRoute, listed, page

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@dataclass(frozen=True)
class SceneLook:
    """The order of a scene as it would be sent, or the reason why it can't be."""

    prompt: str = ""
    warnings: tuple[ClipWarning, ...] = ()
    obstacle: str = ""
    price: Price | None = None


@dataclass(frozen=True)
class ComposePage:
    """A request for the form of an ad; `session` is the draft that it edits."""

    request: Request
    service: Service
    session: Session | None = None

    @property
    def action(self) -> str:
        """The address that the form is sent to."""
        return f"/sessions/{self.session.session_id}/edit" if self.session else "/new"

    @property
    def draft(self) -> str:
        """The name under which the script keeps what is typed: a copy of an ad is not the new one that was begun."""
        earlier = self.request.query_params.get("from", "")
        return f"{self.session.session_id}/edit" if self.session else f"new/{earlier}"

    async def show(self, form: FormState, *, notice: str = "", shown: SessionCreate | None = None) -> Response:
        """Render the form; `shown` is the ad as it would be ordered."""
        models = await run_in_threadpool(ModelChoices.of, self.service)
        looks = await run_in_threadpool(look_at, self.service, shown)
        defaults = defaults_of(self.session, models.default)
        if not self.session and (aspect := aspect_of_platform(form.fields.get("target_platform", ""))):
            defaults["aspect"] = aspect
        given = {each.name: form.fields.get(each.name, "") for each in OPTIONS}
        for scenario in Scenario:
            defaults |= {f"{scenario}.{name}": given.get(name) or defaults[name] for name in defaults_of(None, "")}
        session_id = self.session.session_id if self.session else ""
        return page(
            self.request,
            "compose.html",
            form.status,
            form=replace(form, defaults=defaults, session_id=session_id),
            session=self.session,
            version=version_of(self.session) if self.session else "",
            action=self.action,
            draft=self.draft,
            is_unsaved=self.request.method == "POST",
            notice=notice,
            looks=looks,
            prices=[look.price for look in looks.values() if look.price],
            product=PRODUCT,
            photo=PHOTO,
            photo_uses=PHOTO_USES,
            description=DESCRIPTION,
            narration=NARRATION,
            words=[each for each in WORDS if each.name not in {NARRATION.name, "duration"}],
            options=OPTIONS,
            models=models,
            model=models.chosen(form.fields),
            shapes=[Shape.of(aspect) for aspect in ASPECTS],
            platforms=PLATFORMS,
            ad_templates=ad_templates().values(),
            swatches=swatches(form.fields.get("brand_colors", "")),
            seconds={each: models.seconds(form.fields, each) for each in Scenario},
            scenarios=list(Scenario),
            token=new_token(),
            label_of=label_of,
        )

    async def submit(self, upload: UploadForm) -> Response:
        """Write the scenes, show the prompts, or save the ad, as the pressed button says."""
        images: list[InputImage] = []
        again: dict[str, str] = {}
        if self.session:
            form = await upload.stored(self.service, self.session.session_id)
            kept = form.fields
        else:
            form, images = await upload.decoded()
            kept = upload.fields
            # Browsers do not keep chosen files, but the script does. There is no ad yet to store them in.
            if not kept.get("keeps_files"):
                again = {each.name: f"Please choose the file {each.filename} again." for each in upload.files}
        # Browsers send no field for a choice that nobody made.
        kept = empty_form() | kept
        if form.errors:
            return await self.show(FormState(kept, again | form.errors, 422))
        action, scenarios = form.fields.get("action", ""), list(Scenario)
        if action in {"draft", "look"}:
            scenarios = described_scenes(form.fields)
        try:
            if action == "write":
                return await self._write(kept, again)
            ad = session_of(form.fields, scenarios)
            if action == "look":
                return await self.show(FormState(kept, again), shown=ad)
            saved_id = await self._save(ad, form.fields, images)
        except FORM_ERRORS as error:
            found = with_errors(kept, error, scenarios)
            return await self.show(replace(found, errors=again | found.errors))
        return RedirectResponse(f"/sessions/{saved_id}", 303)

    async def _write(self, fields: dict[str, str], again: dict[str, str]) -> Response:
        name = fields.get("template", "")
        if not name:
            reason = "Choose a kind of product first."
            raise InputError(reason, {"template": reason})
        template = find_template(name)
        models = await run_in_threadpool(ModelChoices.of, self.service)
        model = models.chosen(fields)
        if not fields.get("sound") and not fields.get("voice.on") and (model is None or model.sound is not False):
            # Without a narrator, the narrations are heard in clips with sound alone.
            fields = fields | {"sound": "true"}
        seconds = {
            each: min(models.seconds(fields, each), key=lambda length: abs(length - SECONDS)) for each in Scenario
        }
        written, own = write_scenes(fields, template, seconds.__getitem__)
        notice = f"The scenes are written for {template.title.lower()}. Edit them as you like."
        if own:
            notice += f" Your own words for {listed(own)} were kept."
        try:
            shown = session_of(written, list(Scenario))
        except FORM_ERRORS:
            shown = None
        return await self.show(FormState(written, again), notice=notice, shown=shown)

    async def _save(self, ad: SessionCreate, fields: dict[str, str], images: list[InputImage]) -> str:
        if self.session:
            session_id, version = self.session.session_id, fields.get("version", "")
            await run_in_threadpool(self.service.change_draft, session_id, ad, version=version)
            return session_id
        key = scoped_key(self.request, fields.get("token") or None)
        create = partial(self.service.create_session, ad, key=key, images=images)
        return (await wait_if_in_flight(lambda: run_in_threadpool(create))).session_id


def look_at(service: Service, ad: SessionCreate | None) -> dict[Scenario, SceneLook]:
    """Return what would be ordered for each scene of an ad, by the function that orders it."""
    if ad is None:
        return {}
    session, looks = Session.model_validate(ad.model_dump()), {}
    for scenario in session.scenarios:
        try:
            request = service.preview(session, scenario)
            looks[scenario] = SceneLook(request.prompt, tuple(request.warnings), price=service.price(request))
        except InputError as error:
            looks[scenario] = SceneLook(obstacle=without_commands(str(error)))
    return looks


@router.get("/new")
async def new(
    request: Request,
    service: ServiceDep,
    earlier: Annotated[str | None, Query(alias="from", pattern=ID_PATTERN)] = None,
    template: str = "",
) -> Response:
    """Show the form of a new ad, empty or as a copy for another product."""
    fields, notice = empty_form() | {"template": template if template in ad_templates() else ""}, ""
    if earlier:
        source = await run_in_threadpool(service.session, earlier)
        data, left_out = for_other_product(source, {})
        fields = form_of(Session.model_validate(data)) | {"product_name": "", "session_id": "", "website_url": ""}
        notice = f"A copy of {source.product_name}: name the other product, and change its name in the scenes."
        if left_out:
            notice += f" Please choose these files again: {', '.join(left_out)}."
    return await ComposePage(request, service).show(FormState(fields), notice=notice)


@router.post("/new")
async def create(request: Request, service: ServiceDep, upload: Upload) -> Response:
    """Store a new ad and redirect to it, or show the form again."""
    return await ComposePage(request, service).submit(upload)


@router.get("/sessions/{session_id}/edit")
async def edit(request: Request, service: ServiceDep, session_id: SessionId) -> Response:
    """Show the form of a draft."""
    session = await run_in_threadpool(service.draft, session_id)
    fields = form_of(session)
    try:
        shown = session_of(fields, described_scenes(fields))
    except FORM_ERRORS:
        shown = None
    return await ComposePage(request, service, session).show(FormState(fields), shown=shown)


@router.post("/sessions/{session_id}/edit")
async def save(request: Request, service: ServiceDep, session_id: SessionId, upload: Upload) -> Response:
    """Save a draft and redirect to it, or show the form again."""
    session = await run_in_threadpool(service.draft, session_id)
    return await ComposePage(request, service, session).submit(upload)


@router.post("/example")
async def create_example(service: ServiceDep) -> Response:
    """Store the example ad, unless it is there, and redirect to it."""
    with suppress(SessionExists):
        await run_in_threadpool(service.create_session, example())
    return RedirectResponse(f"/sessions/{example().session_id}", 303)


@cache
def example() -> SessionCreate:
    """Return the example ad, which is examples/glowcap.yaml as well."""
    content = (files("adreel.models") / "example.yaml").read_text(encoding="utf-8")
    return SessionCreate.model_validate(read_document(content, "the example"))
