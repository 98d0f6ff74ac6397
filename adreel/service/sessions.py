"""The use cases of sessions: create and change them, store their inputs, choose takes, list cuts, look at prices."""

import hashlib
import json
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from adreel.catalog.selection import Needs
from adreel.catalog.stored import load_catalog
from adreel.errors import Conflict, InputError, KeyReused, NotFound, SessionDeleted, SessionExists
from adreel.models.api import FactsPatch, ScenePatch, SessionCreate, SessionDetails, SessionPatch, StoredInput, TakeView
from adreel.models.cuts import CutList
from adreel.models.model_views import ModelList, VoiceList
from adreel.models.parts import VOICES, Part, scenario_of
from adreel.models.scenarios import Scenario
from adreel.models.sessions import (
    INPUT_PATTERN,
    ImageInputs,
    MusicBed,
    ProductFacts,
    RenderOptions,
    SceneDescription,
    Session,
    Voice,
    refuse_files_of_cut,
    replacing,
)
from adreel.models.spend import Price
from adreel.models.takes import PartRequest, Take, TaskRequest
from adreel.purchase.offers import list_models
from adreel.purchase.planning import part_request
from adreel.purchase.prompt import has_facts
from adreel.purchase.request import clip_request
from adreel.purchase.voice_offers import list_voices
from adreel.records import Records, StoredSession
from adreel.records.archiving import archive_session, restore_session
from adreel.records.choosing import choose_take
from adreel.records.deleting import delete_session
from adreel.records.inputs import InputImage, copy_input, display_name, has_input, parse_image, read_input
from adreel.records.views import current_take, cut_views, input_url, session_view, take_view
from adreel.settings import Settings
from adreel.spend.budgets import Budgets, BudgetView
from adreel.spend.prices import of_emulator, price

IDEMPOTENCY_KEY = "Idempotency-Key"
MADE_BY = "made_by_request"
"""Field of a stored session: the fingerprint of the request that created it under an idempotency key."""


@dataclass(frozen=True)
class SessionService:
    """The use cases that need no Prefect server. Its methods block on the storage."""

    records: Records
    settings: Settings

    def create_session(
        self, new: SessionCreate, *, key: str | None = None, images: Sequence[InputImage] = ()
    ) -> SessionDetails:
        """Store a new session and the images that it names; its id is generated if none is given.

        Raises SessionExists or KeyReused.
        """
        values = new.model_dump()
        made_by = None
        if key is not None:
            has_id = "session_id" in new.model_fields_set
            made_by = fingerprint_of(new.model_dump(mode="json", exclude=None if has_id else {"session_id"}))
            if not has_id:
                values["session_id"] = f"ad-{key.removeprefix('api-')[:16]}"
            values[MADE_BY] = made_by
        session = Session.model_validate(values)
        new_inputs = {image.reference for image in images}
        self._check_inputs(session.session_id, session, known=new_inputs)
        if session.cut:
            refuse_files_of_cut(session.cut, "the session")
        for scene in session.scene_descriptions:
            place = f"scene_descriptions.{scene.scenario}."
            self._check_inputs(session.session_id, scene, place, known=new_inputs)
        self._check_session(session)
        # They are copied before the session names them. A session that exists already keeps its inputs.
        try:
            if images:
                self.records.session(session.session_id)
        except NotFound:
            for image in images:
                copy_input(self.records.storage, session.session_id, image)
        stored, is_new = self.records.create_session(session)
        earlier = (stored.model_extra or {}).get(MADE_BY)
        if not is_new and (made_by is None or earlier is None):
            detail = f"session {session.session_id!r} exists already: choose another id, or change its scenes by PATCH"
            raise SessionExists(detail, {"session_id": detail})
        if not is_new and earlier != made_by:
            raise key_reused()
        return self.session_details(session.session_id)

    def session(self, session_id: str) -> StoredSession:
        """Return a stored session, or raise NotFound."""
        with errors_of_field("session_id"):
            try:
                return self.records.session(session_id)
            except SessionDeleted:
                raise
            except NotFound:
                raise NotFound(f"no session {session_id!r}: POST /api/sessions creates one") from None

    def session_details(self, session_id: str) -> SessionDetails:
        """Return a session with its current clips, states and cost."""
        session = self.session(session_id)
        summary = session_view(self.records, session_id)
        return SessionDetails.model_validate({**session.model_dump(), **summary.model_dump()})

    def draft(self, session_id: str) -> StoredSession:
        """Return a session of which nothing was ordered, or raise Conflict."""
        session = self.session(session_id)
        if any(self.records.take_ids(session_id).values()):
            raise Conflict(f"clips of {session.product_name} are ordered already: change its scenes one by one")
        return session

    def change_draft(self, session_id: str, draft: SessionCreate, *, version: str) -> SessionDetails:
        """Replace the facts and scenes of a session without a job; fields that the draft does not set stay.

        Raises Conflict if a clip was ordered, or if the session is no longer of that version.
        """

        def change(session: Session) -> Session:
            if version_of(session) != version:
                raise Conflict(f"session {session_id!r} was changed meanwhile: reload the page before you save")
            earlier = {scene.scenario: scene.model_dump() for scene in session.scene_descriptions}
            scenes = [
                {**earlier.get(scene.scenario, {}), **scene.model_dump(exclude_unset=True)}
                for scene in draft.scene_descriptions
            ]
            given = draft.model_dump(exclude_unset=True, exclude={"session_id"})
            changed = Session.model_validate({**session.model_dump(), **given, "scene_descriptions": scenes})
            self._check_session(changed)
            return changed

        self.draft(session_id)
        self._check_inputs(session_id, draft)
        for scene in draft.scene_descriptions:
            self._check_inputs(session_id, scene, f"scene_descriptions.{scene.scenario}.")
        self.records.update_session(session_id, change)
        return self.session_details(session_id)

    def change_session(self, session_id: str, patch: SessionPatch, *, version: str | None = None) -> SessionDetails:
        """Change the product's facts, or what the scenes of a session have in common, for later jobs.

        Null removes a field. Raises Conflict if the session is no longer of the given version.
        """

        def change(session: Session) -> Session:
            if version is not None and version_of(session) != version:
                raise Conflict(f"session {session_id!r} was changed meanwhile: nothing is saved yet")
            given = patch.model_dump(exclude_unset=True)
            if patch.music and session.cut and session.cut.music:
                reason = "the session has music from a file already"
                raise InputError(reason, {"music": reason})
            blocks: dict[str, BaseModel | None] = {
                name: None if given[name] is None else kind.model_validate(given[name])
                for name, kind in (("voice", Voice), ("music", MusicBed))
                if name in given
            }
            removed = {name for name in FactsPatch.model_fields if name in given and given[name] is None}
            defaults = {
                name: ProductFacts.model_fields[name].get_default(call_default_factory=True) for name in removed
            }
            changed = session.model_copy(update=replacing(given) | defaults | blocks)
            self._check_session(changed)
            return changed

        self.session(session_id)
        self._check_inputs(session_id, patch)
        self.records.update_session(session_id, change)
        return self.session_details(session_id)

    def delete(self, session_id: str) -> None:
        """Delete a session. Raises Conflict if a clip of it was ordered, or if a job of it runs."""
        self.session(session_id)
        delete_session(self.records, session_id)

    def has_present_facts(self, session: Session, take: Take) -> bool:
        """Whether a take was ordered with the product's facts as they are now."""
        if take.scene is None or has_facts(take.request.prompt, session, take.scene):
            return True
        try:
            # A model with a short limit leaves facts out.
            catalog = load_catalog(self.records.storage)
            request = clip_request(session, take.scene, self.settings, catalog, checks_files=False)
        except InputError:
            return False
        return request.prompt == take.request.prompt

    def change_scene(self, session_id: str, scenario: Scenario, patch: ScenePatch) -> SessionDetails:
        """Change a scene's description for later jobs. Null removes an optional field."""

        def change(session: Session) -> Session:
            before = scene_of(session, scenario)
            changes = replacing(patch.model_dump(exclude_unset=True))
            try:
                scene = SceneDescription.model_validate({**before.model_dump(), **changes})
            except ValidationError as error:
                fields = {".".join(map(str, item["loc"])): item["msg"] for item in error.errors()}
                raise InputError("; ".join(f"{name}: {why}" for name, why in fields.items()), fields) from None
            with errors_of_field(str(scenario)):
                self._check_scene(session, scene)
            scenes = [scene if each.scenario == scenario else each for each in session.scene_descriptions]
            return session.model_copy(update={"scene_descriptions": scenes})

        self.session(session_id)
        self._check_inputs(session_id, patch)
        self.records.update_session(session_id, change)
        return self.session_details(session_id)

    def archive(self, session_id: str) -> SessionDetails:
        """Take a session out of the lists; nothing is bought for it then. Raises Conflict while a job of it runs."""
        self.session(session_id)
        archive_session(self.records, session_id)
        return self.session_details(session_id)

    def restore(self, session_id: str) -> SessionDetails:
        """Bring an archived session back into the lists."""
        self.session(session_id)
        restore_session(self.records, session_id)
        return self.session_details(session_id)

    # Models

    def list_models(self, needs: Needs) -> ModelList:
        """Return the models of the catalogue that offer what is needed, the cheapest first."""
        return list_models(load_catalog(self.records.storage), needs)

    def list_voices(self, *, language: str | None = None, model: str | None = None) -> VoiceList:
        """Return the models of narrations and music of the catalogue, the cheapest first."""
        return list_voices(load_catalog(self.records.storage), language=language, model=model)

    # Inputs

    def add_input(self, session_id: str, content: bytes, name: str) -> StoredInput:
        """Store an image as an input of a session. The same image is stored once."""
        self.session(session_id)
        with errors_of_field("file"):
            image = parse_image(content, name, f"the file {name!r}", scales=False)
        reference = copy_input(self.records.storage, session_id, image)
        width, height = image.size
        return StoredInput(input=reference, url=input_url(session_id, reference), width=width, height=height)

    def read_input(self, session_id: str, file: str) -> bytes:
        """Return the bytes of an input of a session, or raise NotFound."""
        try:
            return read_input(self.records.storage, session_id, f"inputs/{file}")
        except InputError:
            raise NotFound(f"session {session_id!r} has no such input", {"file": "no such input"}) from None

    # Takes

    def list_takes(self, session_id: str, part: Part) -> list[TakeView]:
        """Return every take of a part, the oldest first."""
        self._check_part(session_id, part)
        takes = self.records.takes(session_id, part)
        current = current_take(takes, self.records.choices(session_id))
        return [take_view(take, is_current=take == current) for take in takes]

    def choose_take(self, session_id: str, part: Part, name: str) -> TakeView:
        """Make a stored take the current one of its part. A still becomes the first frame of its scene too."""
        self._check_part(session_id, part)
        with errors_of_field("take"):
            return take_view(choose_take(self.records, session_id, part, name), is_current=True)

    def _check_part(self, session_id: str, part: Part) -> None:
        """Raise NotFound if the session does not describe the scene of a part."""
        session, scenario = self.session(session_id), scenario_of(part)
        if scenario is not None:
            scene_of(session, scenario)

    # Cuts

    def cuts(self, session_id: str) -> CutList:
        """Return the cuts of a session, the newest first, and whether each is stale."""
        return CutList(cuts=cut_views(self.records, self.session(session_id)))

    # Prices

    def preview(self, session: Session, part: Part) -> PartRequest:
        """Return the request that a part would be bought with, or raise InputError."""
        return part_request(session, part, self.settings, load_catalog(self.records.storage), checks_files=False)

    def price(self, request: TaskRequest) -> Price:
        """Return what a clip is expected to cost."""
        found = price(request, self.records.storage)
        return of_emulator(found) if self.settings.is_local else found

    def budgets_of(self, session: StoredSession) -> list[BudgetView]:
        """Return the budgets that count what is bought for a session."""
        return Budgets(self.records).views_of(session.session_id, session.campaign)

    def _check_session(self, session: Session) -> None:
        """Raise InputError with the place of each field for which a scene can't be bought."""
        reasons, fields = dict[str, str](), dict[str, str]()
        catalog = load_catalog(self.records.storage)
        for part in session.parts:
            try:
                part_request(session, part, self.settings, catalog, checks_files=False)
            except InputError as error:
                # A reason that applies to each scene is named once.
                reasons.setdefault("; ".join(error.fields.values()) or str(error), str(error))
                for name, reason in (error.fields or {"": str(error)}).items():
                    fields[_place(session, part, name)] = reason
        if reasons:
            raise InputError("; ".join(reasons.values()), fields)

    def _check_scene(self, session: Session, scene: SceneDescription) -> None:
        """Raise InputError if a scene can't be bought as described.

        Local images are not opened: they may be files that only the machine of the worker can read.
        """
        scenes = [scene if each.scenario == scene.scenario else each for each in session.scene_descriptions]
        changed = session.model_copy(update={"scene_descriptions": scenes})
        catalog = load_catalog(self.records.storage)
        parts: list[Part] = [scene.scenario, VOICES[scene.scenario]]
        for part in filter(changed.parts.__contains__, parts):
            part_request(changed, part, self.settings, catalog, checks_files=False)

    def _check_inputs(
        self, session_id: str, images: ImageInputs, place: str = "", *, known: Container[str] = ()
    ) -> None:
        """Raise InputError if a request names an input that the session does not have."""
        for name, image in images.named_images():
            if image in known:
                continue
            if INPUT_PATTERN.fullmatch(image) and not has_input(self.records.storage, session_id, image):
                reason = f"the image {display_name(image)!r} is not among the inputs of this session: upload it first"
                raise InputError(f"{place}{name}: {reason}", {f"{place}{name}": reason})


@contextmanager
def errors_of_field(name: str) -> Iterator[None]:
    """Name a field of the request in the InputErrors of the block that name none."""
    try:
        yield
    except InputError as error:
        error.fields = error.fields or {name: str(error)}
        raise


def _place(session: Session, part: Part, name: str) -> str:
    """Return the place of a part's field in its session; the session's own field if the value is its default."""
    scenario = scenario_of(part)
    if scenario is None:
        return f"music.{name}".removesuffix(".")
    if not isinstance(part, Scenario) and name != "dialog_narration":
        return f"voice.{name}".removesuffix(".")
    scene, option = session.scene(scenario), name.partition(".")[0]
    if option in RenderOptions.model_fields and getattr(scene, option) is None and getattr(session, option) is not None:
        return name
    return f"scene_descriptions.{scene.scenario}.{name}".removesuffix(".")


def scene_of(session: Session, scenario: Scenario) -> SceneDescription:
    """Return a scene of a session, or raise NotFound."""
    try:
        return session.scene(scenario)
    except InputError as error:
        raise NotFound(str(error), {"scenario": str(error)}) from None


def key_reused() -> KeyReused:
    """Return the error of an idempotency key that comes with another request."""
    detail = "this key was used before with another body: use a new key for a new request"
    return KeyReused(detail, {IDEMPOTENCY_KEY: detail})


def version_of(session: Session) -> str:
    """Return a digest of a session that changes with it."""
    return fingerprint_of(session.model_dump(mode="json"))


def fingerprint_of(body: Any) -> str:
    """Return a digest that is equal for equal requests."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
