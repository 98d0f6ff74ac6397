"""Request of a still: the first picture of a scene, in the shape of the clip that can start from it."""

import math

from adreel.catalog.additions import ImageModel
from adreel.catalog.sizes import (
    ASPECTS,
    DEFAULT_ASPECT,
    DEFAULT_RESOLUTION,
    aspect_of_platform,
    has_aspect,
    nearest_aspect,
    standard_size,
)
from adreel.errors import InputError
from adreel.models.sessions import SceneDescription, Session, is_local_file
from adreel.models.takes import StillRequest
from adreel.purchase.prompt import compose_still_prompt
from adreel.purchase.request import clip_request
from adreel.purchase.wishes import AdditionOrder, Purpose, Wishes, find_model
from adreel.records.inputs import check_image

USUAL_RESOLUTION = "1K"
USUAL_STEP = 64
"""Sides in multiples of this are accepted by most models whose sizes are not known."""
NOT_OF_STILLS = dict.fromkeys(("first_frame", "last_frame", "references", "sound", "settings"))
"""Options of clips that must not decide the shape of a still."""


def still_request(order: AdditionOrder, scene: SceneDescription, *, checks_files: bool = True) -> StillRequest:
    """Resolve a still of a scene; InputError names each wrong field.

    Without `checks_files`, local images are not opened: only the machine of the worker may have them.
    """
    session, air = order.session, order.changes.model or order.settings.still_model
    unknown = ImageModel(
        air=air,
        slug="",
        name=air,
        prompt="required",
        inputs="optional",
        width_height="optional",
        negative_prompt=False,
        seed=True,
    )
    purpose = Purpose[ImageModel]("stills", lambda model: model.is_painter, order.settings.still_model)
    wishes = find_model(order, air, order.catalog.images, unknown, purpose)
    model, options = wishes.model, session.render_options(scene)
    references = _references(wishes, session, options.references or [], checks_files=checks_files)
    shape = _shape(order, scene)
    width, height, resolution = _size(wishes, shape, has_references=bool(references))
    seed = options.seed
    if seed is not None and not model.seed:
        wishes.warn("noSeed", f"{model.title} has no seed: it is left out")
        seed = None
    negative = options.negative_prompt or None
    request = StillRequest(
        model=model.air,
        prompt=compose_still_prompt(
            session,
            scene,
            aspect="" if width else nearest_aspect(shape),
            avoid="" if model.negative_prompt else negative or "",
        ),
        negative_prompt=negative if model.negative_prompt else None,
        width=width,
        height=height,
        resolution=resolution,
        seed=seed,
        references=references or None,
        warnings=tuple(wishes.warnings),
    )
    wishes.check()
    return request


def _references(wishes: Wishes[ImageModel], session: Session, wanted: list[str], *, checks_files: bool) -> list[str]:
    """Return the scene's references and the product's photo, as far as the model takes them."""
    model, photo = wishes.model, session.product_photo
    images = list(dict.fromkeys([*wanted, *([photo] if photo else [])]))
    if not images:
        return []
    if model.inputs == "absent":
        wishes.warn("noReferences", f"{model.title} takes no images: the references are left out")
        return []
    if model.references is None:
        if wanted:
            wishes.warn("notKnown", f"it is not known whether {model.title} takes reference images")
        return wanted
    if len(wanted) > model.references:
        reason = f"{len(wanted)} references are too many for {model.title}: it takes {model.references or 'none'}"
        wishes.refuse("references", reason, fact="references")
        return wanted
    sent = images[: model.references]
    for image in sent if checks_files else ():
        if is_local_file(image):
            try:
                if smaller := check_image(image, "references"):
                    wishes.warn("smallerImage", smaller)
            except InputError as error:
                wishes.problems["references"] = str(error)
    return sent


def _shape(order: AdditionOrder, scene: SceneDescription) -> str:
    """Return the size of the clip that the scene would be ordered with from words alone."""
    session, bare = order.session, order.session.model_copy(update=NOT_OF_STILLS)
    try:
        clip = clip_request(bare, scene.model_copy(update=NOT_OF_STILLS), order.settings, order.catalog)
        if clip.width and clip.height:
            return f"{clip.width}x{clip.height}"
    except InputError:
        # The order of the clip tells its errors.
        pass
    options = session.render_options(scene)
    aspect = options.aspect or aspect_of_platform(session.target_platform) or DEFAULT_ASPECT
    return options.size or standard_size(aspect, options.resolution or DEFAULT_RESOLUTION)


def _size(wishes: Wishes[ImageModel], shape: str, *, has_references: bool) -> tuple[int | None, int | None, str | None]:
    """Return width, height and resolution: a size in the shape of the clip, or a resolution, or neither."""
    model, aspect = wishes.model, nearest_aspect(shape)
    # A model may refuse a size next to references, so none is sent unless that is known to be allowed.
    references_decide = has_references and model.size_with_references != "allowed" and model.width_height != "required"
    if model.width_height == "absent" or references_decide:
        reason = "next to references " if references_decide else ""
        wishes.warn("modelDecides", f"{reason}{model.title} takes no size: the prompt asks for {aspect}")
        offered = model.resolutions or ()
        return None, None, USUAL_RESOLUTION if USUAL_RESOLUTION in offered else next(iter(offered), None)
    width, height = map(int, shape.split("x"))
    if model.sizes:
        fitting = [size for size in model.sizes if has_aspect(size, aspect)]
        if not fitting:
            shapes = [each for each in ASPECTS if any(has_aspect(size, each) for size in model.sizes)]
            nearest = nearest_aspect(shape, shapes)
            wishes.warn("otherAspect", f"{model.title} has no {aspect}: {nearest} is used")
            fitting = [size for size in model.sizes if has_aspect(size, nearest)]
        nearest_size = min(fitting, key=lambda size: abs(math.log(_pixels(size) / (width * height))))
        return *map(int, nearest_size.split("x")), None  # type: ignore[return-value]
    limits = model.size_limits
    step = limits.step if limits else USUAL_STEP
    shrink = min(1.0, limits.max / max(width, height)) if limits else 1.0
    if limits is None:
        wishes.warn("notKnown", f"the sizes of {model.title} are not known: the usual size for {aspect} is sent")
    return int(width * shrink) // step * step, int(height * shrink) // step * step, None


def _pixels(size: str) -> int:
    width, height = map(int, size.split("x"))
    return width * height
