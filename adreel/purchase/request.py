"""Request of a scene: what a session says, turned into what its model accepts.

The catalogue decides. A wish that the model is documented not to offer is an InputError before anything is written.
Where the catalogue is unsure, the wish is sent with a warning. A wish that is harmless to drop, such as a seed, is
dropped with a warning.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from adreel.catalog import Catalog, named
from adreel.catalog.facts import Duration, Position, Sound, VideoModel
from adreel.catalog.sizes import (
    ASPECTS,
    DEFAULT_ASPECT,
    DEFAULT_RESOLUTION,
    aspect_of_platform,
    distance,
    has_aspect,
    nearest_aspect,
    nearest_resolution,
    resolution_of,
    resolutions_of,
    standard_size,
)
from adreel.errors import InputError
from adreel.models.api import ClipWarning
from adreel.models.sessions import RenderOptions, SceneDescription, Session, is_local_file
from adreel.models.takes import ClipRequest
from adreel.purchase.prompt import SOUND_FIELDS, compose_prompt
from adreel.records.inputs import check_image
from adreel.settings import Settings

OWN_PARAMETERS = frozenset(
    {
        "taskType",
        "taskUUID",
        "model",
        "positivePrompt",
        "negativePrompt",
        "duration",
        "width",
        "height",
        "resolution",
        "seed",
        "inputs",
        "frameImages",
        "referenceImages",
        "referenceVideos",
        "inputAudios",
        "deliveryMethod",
        "includeCost",
        "numberResults",
        "outputType",
        "outputFormat",
        "webhookURL",
        "uploadEndpoint",
    }
)
"""Parameters that adreel sets itself, so `settings` can't."""
MODEL_PARAMETERS = frozenset({"fps", "steps", "CFGScale", "lora", "acceleration", "speech"})
"""Parameters that only some models have."""
COMMON_PARAMETERS = frozenset({"outputQuality", "safety", "routing", "ttl"})
CONTAINERS = frozenset({"settings", "providerSettings"})
LONG_PROMPT = 2500
"""Characters that each model takes whose limit is known."""

Offers = Callable[[VideoModel], bool]


def clip_request(
    session: Session, scene: SceneDescription, settings: Settings, catalog: Catalog, *, checks_files: bool = True
) -> ClipRequest:
    """Resolve a scene into the request to send; InputError names each wrong field and what the model offers.

    Without `checks_files`, local images are not opened: only the machine of the worker may have them.
    """
    return _Builder(session, scene, session.render_options(scene), settings, catalog, checks_files).build()


@dataclass
class _Builder:
    """The request of one scene while it is made."""

    session: Session
    scene: SceneDescription
    options: RenderOptions
    settings: Settings
    catalog: Catalog
    checks_files: bool
    problems: dict[str, str] = field(default_factory=dict)
    warnings: list[ClipWarning] = field(default_factory=list)

    def build(self) -> ClipRequest:
        self.model = self._find_model()
        if self.checks_files:
            self._check_files()
        self._check_media()
        duration = self._duration()
        width, height, resolution = self._size(duration)
        parameters = self._parameters()
        self._switch_sound(parameters)
        request = ClipRequest(
            model=self.model.air,
            prompt=self._prompt(),
            negative_prompt=self._negative_prompt(),
            duration=duration,
            width=width,
            height=height,
            resolution=resolution,
            seed=self._seed(),
            first_frame=self.options.first_frame,
            last_frame=self.options.last_frame,
            references=self.options.references or None,
            sound=self.options.sound,
            parameters=parameters,
            warnings=tuple(self.warnings),
        )
        if self.problems:
            reasons = "; ".join(self.problems.values())
            raise InputError(f"scene {self.scene.scenario}: {reasons}", self.problems)
        return request

    @property
    def _is_unchecked(self) -> bool:
        return self.settings.catalog == "unchecked"

    @property
    def _title(self) -> str:
        return f"{self.model.name} ({self.model.air})" if self.model.name != self.model.air else self.model.air

    def _warn(self, code: str, message: str) -> None:
        self.warnings.append(ClipWarning(code=code, message=message))

    def _refuse(self, name: str, reason: str, *, fact: str, offers: Offers | None = None) -> None:
        """Note that the model does not offer a field's value; only a warning if `fact` is not documented."""
        if self._is_unchecked or not self.model.is_documented(fact):
            self._warn("notOffered", f"{reason}; it is sent as asked")
            return
        if offers:
            others = [each for each in self.catalog.alternatives(offers, 3) if each != self.model][:2]
            reason += f"; try {named(others)}" if others else "; no other model is known to offer it"
        self.problems.setdefault(name, reason)

    def _find_model(self) -> VideoModel:
        air = self.options.model or self.settings.model
        known = self.catalog.models.get(air)
        found = known or VideoModel(air=air, slug="", name=air, creator="", kind="generate", text_to_video=True)
        title = f"{found.name} ({air})" if known else f"the model {air!r}"
        problem = ""
        if self.catalog.is_gone(air):
            since = known.deactivates_on if known else self.catalog.gone[air].gone_by
            problem = f"{title} is no longer offered by Runware since {since}: use {self._instead_of(air)}"
        elif known is None:
            similar = named(self.catalog.models[name] for name in self.catalog.similar(air))
            advice = f": did you mean {similar}?" if similar else ":"
            problem = (
                f"{title} is not in the catalogue of {self.catalog.as_of}{advice} `adreel models refresh` reads what"
                " Runware sells today, and --unchecked sends it anyway"
            )
        elif known.kind != "generate":
            kind = {"edit": "edits videos", "talking": "animates faces", "agent": "makes whole videos"}[known.kind]
            problem = f"{title} {kind}, and renders no scenes from words: use {self._instead_of(air)}"
        elif known.status == "deprecated":
            when = f" and ends on {known.deactivates_on}" if known.deactivates_on else ""
            self._warn("deprecatedModel", f"{title} is deprecated{when}: use {self._instead_of(air)}")
        if problem and self._is_unchecked:
            self._warn("uncheckedModel", problem)
        elif problem:
            raise InputError(f"scene {self.scene.scenario}: {problem}", {"model": problem})
        return found

    def _instead_of(self, air: str) -> str:
        """Return the replacement of a model, else similar ones, else the cheapest ones, as text."""
        replacement = self.catalog.replacement(air)
        names = [replacement] if replacement in self.catalog.models else self.catalog.similar(air)
        models = [self.catalog.models[name] for name in names if name]
        return named(models or self.catalog.alternatives(lambda other: other.text_to_video))

    def _check_files(self) -> None:
        for name, image in self.options.named_images():
            if is_local_file(image):
                try:
                    if smaller := check_image(image, name):
                        self._warn("smallerImage", smaller)
                except InputError as error:
                    self.problems[name] = str(error)

    def _check_media(self) -> None:
        options, model = self.options, self.model
        positions: tuple[Position, ...] = ("first", "last")
        for position in positions:
            if not getattr(options, f"{position}_frame"):
                continue
            offered = model.has_frame(position)
            if offered is False:
                reason = f"{self._title} has no {position} frame"
                self._refuse(f"{position}_frame", reason, fact="frames", offers=_offers_frame(position))
            elif offered is None:
                self._warn("notKnown", f"it is not known whether {self._title} takes a {position} frame")
        if options.references:
            count, most = len(options.references), model.references
            if most is not None and count > most:
                reason = f"{count} references are too many for {self._title}: it takes {most or 'none'}"
                self._refuse(
                    "references", reason, fact="references", offers=lambda other: (other.references or 0) >= count
                )
            elif not model.takes_references:
                self._warn("notKnown", f"it is not known whether {self._title} takes reference images")
            if (options.first_frame or options.last_frame) and model.frames_with_references is False:
                reason = f"{self._title} takes a first or last frame or references, not both"
                self._refuse("references", reason, fact="frames_with_references", offers=_takes_frames_with_references)
        if not options.named_images() and (model.inputs == "required" or not model.text_to_video):
            reason = f"{self._title} needs an image to start from: give a first_frame"
            self._refuse("first_frame", reason, fact="inputs", offers=lambda other: other.text_to_video)

    def _duration(self) -> float | None:
        seconds, offered = self.scene.duration, self.model.duration
        if offered == "absent":
            if not self._is_unchecked:
                self._warn("noDuration", f"{self._title} decides the length of its clips by itself")
                return None
            return seconds
        if isinstance(offered, Duration) and not offered.offers(seconds):
            reason = f"duration {seconds:g} is not offered by {self._title}: it offers {offered}"
            self._refuse("duration", reason, fact="duration", offers=_offers_duration(seconds))
        few = self.model.frame_durations
        if few and (self.options.first_frame or self.options.last_frame) and seconds not in few:
            reason = f"duration {seconds:g} is not offered by {self._title} next to a frame: it offers {_seconds(few)}"
            self._refuse("duration", reason, fact="frame_durations", offers=_offers_duration(seconds))
        return seconds

    def _size(self, duration: float | None) -> tuple[int | None, int | None, str | None]:
        """Return width, height and resolution: a size, or a resolution, or neither."""
        options, model = self.options, self.model
        has_frame = bool(options.first_frame or options.last_frame)
        excluded = has_frame and model.size_with_frames == "excluded"
        if options.size and (options.aspect or options.resolution):
            self.problems["size"] = "size says the same as aspect and resolution: give one of them"
        # Most models refuse a size next to a frame, so none is sent unless it is known to be allowed or asked for.
        image_decides = excluded or (has_frame and model.size_with_frames is None and model.width_height != "required")
        exact = options.size
        if exact is None and not (options.aspect or options.resolution or image_decides):
            exact = self.settings.size
        if exact:
            self._check_exact_size(exact, duration, excluded=excluded)
            return *map(int, exact.split("x")), None  # type: ignore[return-value]
        if image_decides or model.width_height == "absent":
            return None, None, self._resolution_alone(has_frame=has_frame)
        aspect = options.aspect or aspect_of_platform(self.session.target_platform)
        if model.sizes is None and model.resolutions and not aspect:
            # A size that is not documented may be refused. The resolution alone is not.
            return None, None, self._resolution_alone(has_frame=has_frame)
        size = self._choose_size(aspect or DEFAULT_ASPECT, duration)
        return *map(int, size.split("x")), None  # type: ignore[return-value]

    def _check_exact_size(self, size: str, duration: float | None, *, excluded: bool) -> None:
        model = self.model

        def offers(other: VideoModel) -> bool:
            return size in (other.sizes or ())

        if model.width_height == "absent":
            self._refuse("size", f"{self._title} takes no size: leave it out", fact="width_height", offers=offers)
        elif excluded:
            reason = f"{self._title} takes no size next to a first or last frame: leave it out, the image decides"
            self._refuse(
                "size", reason, fact="size_with_frames", offers=lambda other: other.size_with_frames == "allowed"
            )
        elif model.sizes and size not in model.sizes:
            reason = f"size {size} is not offered by {self._title}: it offers {', '.join(model.sizes)}"
            self._refuse("size", reason, fact="sizes", offers=offers)
        else:
            self._check_duration_at(size, duration)

    def _check_duration_at(self, size: str, duration: float | None) -> None:
        few = self.model.size_durations.get(size)
        if few and duration is not None and duration not in few:
            reason = f"duration {duration:g} is not offered by {self._title} at {size}: it offers {_seconds(few)}"
            self._refuse("duration", reason, fact="size_durations", offers=_offers_duration(duration, size))

    def _resolution_alone(self, *, has_frame: bool) -> str | None:
        """Return the `resolution` to send without a size; the shape is the image's or the model's own."""
        options, model = self.options, self.model
        if options.aspect and not has_frame and options.aspect != DEFAULT_ASPECT:
            reason = f"aspect {options.aspect} can't be asked of {self._title}: it takes no size"
            self._refuse("aspect", reason, fact="width_height", offers=_offers_aspect(options.aspect))
        elif options.aspect and has_frame:
            self._warn(
                "imageDecides", f"aspect {options.aspect} is left out: next to a frame, {self._title} follows the image"
            )
        offered = model.resolutions or tuple(resolutions_of(model.sizes or ()))
        if options.resolution and not offered:
            reason = f"resolution {options.resolution} can't be asked of {self._title}: it has no such parameter"
            self._refuse("resolution", reason, fact="resolutions", offers=_offers_resolution(options.resolution))
        elif options.resolution and options.resolution not in [each.lower() for each in offered]:
            self._refuse_resolution(options.resolution, offered)
            return options.resolution if model.resolutions else None
        if not model.resolutions:
            return None
        return nearest_resolution(options.resolution or DEFAULT_RESOLUTION, model.resolutions)

    def _choose_size(self, aspect: str, duration: float | None) -> str:
        """Return the model's own size for an aspect and the wanted resolution, else the usual one."""
        options, model = self.options, self.model
        wanted = options.resolution
        sizes = model.sizes or ()
        offered = model.resolutions or tuple(resolutions_of(sizes))
        if wanted and offered and wanted not in [each.lower() for each in offered]:
            self._refuse_resolution(wanted, offered)
            return standard_size(aspect, wanted)
        if sizes and not any(has_aspect(size, aspect) for size in sizes):
            shapes = [each for each in ASPECTS if any(has_aspect(size, each) for size in sizes)]
            if options.aspect:
                reason = f"aspect {aspect} is not offered by {self._title}: it offers {', '.join(shapes)}"
                self._refuse("aspect", reason, fact="sizes", offers=_offers_aspect(aspect))
                return standard_size(aspect, wanted or DEFAULT_RESOLUTION)
            nearest = nearest_aspect(standard_size(aspect, DEFAULT_RESOLUTION), shapes)
            self._warn(
                "otherAspect", f"{self._title} has no {aspect} for {self.session.target_platform}: {nearest} is used"
            )
            aspect = nearest
        fitting = [size for size in sizes if has_aspect(size, aspect)]
        if not wanted:
            fits = [size for size in fitting if duration in model.size_durations.get(size, (duration,))]
            fitting = fits or fitting
            offered = tuple({resolution_of(size, offered) for size in fitting}) or offered
        target = nearest_resolution(wanted or DEFAULT_RESOLUTION, offered) if offered else wanted or DEFAULT_RESOLUTION
        if not fitting:
            self._warn("notKnown", f"the sizes of {self._title} are not known: the usual size for {aspect} is sent")
            return standard_size(aspect, target)
        size = min(fitting, key=lambda each: distance(each, target))
        self._check_duration_at(size, duration)
        return size

    def _refuse_resolution(self, wanted: str, offered: tuple[str, ...]) -> None:
        reason = f"resolution {wanted} is not offered by {self._title}: it offers {', '.join(offered)}"
        fact = "resolutions" if self.model.resolutions else "sizes"
        self._refuse("resolution", reason, fact=fact, offers=_offers_resolution(wanted))

    def _seed(self) -> int | None:
        if self.options.seed is not None and not self.model.seed and not self._is_unchecked:
            reason = "has no seed" if self.model.seed is False else "is not known to have a seed"
            self._warn("noSeed", f"{self._title} {reason}: it is left out")
            return None
        return self.options.seed

    def _negative_prompt(self) -> str | None:
        return self.options.negative_prompt or None if self._takes_negative_prompt else None

    @property
    def _takes_negative_prompt(self) -> bool:
        return bool(self.model.negative_prompt) or self._is_unchecked

    def _prompt(self) -> str:
        avoid = "" if self._takes_negative_prompt else self.options.negative_prompt or ""
        most = self.model.prompt_length[1] if self.model.prompt_length else None
        prompt = compose_prompt(self.session, self.scene, is_silent=self._is_silent(), avoid=avoid, limit=most)
        if most is not None and len(prompt) > most:
            reason = (
                f"the description makes a prompt of {len(prompt)} characters, {self._title} takes {most}: shorten it"
            )
            self._refuse(
                "visual_description",
                reason,
                fact="prompt_length",
                offers=lambda other: len(prompt) <= (other.prompt_length or (0, 0))[1],
            )
        elif most is None and len(prompt) > LONG_PROMPT:
            self._warn("notKnown", f"it is not known whether {self._title} takes a prompt of {len(prompt)} characters")
        return prompt

    def _is_silent(self) -> bool:
        """Whether the clip is known to have no sound, so that words about it are left out."""
        wanted, sound = self.options.sound, self.model.sound
        default = sound.default if isinstance(sound, Sound) else None
        is_silent = wanted is False or sound == "absent" or (wanted is None and default is False)
        if not any(getattr(self.scene, name) for name in SOUND_FIELDS):
            return is_silent
        if is_silent:
            reason = "sound is switched off"
            if wanted is not False:
                reason = f"{self._title} makes no sound{' by itself' if default is False else ''}"
            self._warn("silent", f"{reason}: the words about sound, music and narration are left out of the prompt")
        elif wanted is None and isinstance(sound, Sound) and default is None:
            self._warn("notKnown", f"it is not known whether {self._title} makes sound by itself: say `sound: true`")
        return is_silent

    def _parameters(self) -> dict[str, Any]:
        """Return the scene's `settings` as parameters of the request."""
        model, found = self.model, dict[str, Any]()
        for name, value in (self.options.settings or {}).items():
            if name in OWN_PARAMETERS:
                self.problems["settings"] = f"settings.{name} would replace a parameter of adreel's own: leave it out"
            elif name in CONTAINERS:
                if model.settings != name:
                    place = f"its own settings go into {model.settings}" if model.settings else "it has no own settings"
                    self._refuse("settings", f"{self._title} takes no {name}: {place}", fact="settings")
                if not isinstance(value, dict):
                    self.problems["settings"] = f"settings.{name} is not an object"
                    continue
                found[name] = _merged(found.get(name, {}), value)
            elif name in MODEL_PARAMETERS | COMMON_PARAMETERS:
                if name in MODEL_PARAMETERS and name not in model.parameters:
                    reason = f"{self._title} has no parameter {name}"
                    self._refuse("settings", reason, fact="parameters", offers=_has_parameter(name))
                found[name] = value
            else:
                if model.settings is None:
                    self._refuse("settings", f"{self._title} has no settings of its own: {name}", fact="settings")
                own = {name: value}
                nested = {model.provider: own} if model.settings == "providerSettings" else own
                container = model.settings or "settings"
                found[container] = _merged(found.get(container, {}), nested)
        return found

    def _switch_sound(self, parameters: dict[str, Any]) -> None:
        wanted, sound = self.options.sound, self.model.sound
        if wanted is None:
            return
        if sound == "absent":
            if wanted:
                reason = f"{self._title} makes no sound: leave `sound` out"
                self._refuse(
                    "sound",
                    reason,
                    fact="sound",
                    offers=lambda other: other.switches_sound,
                )
            return
        if not isinstance(sound, Sound) or sound.parameter is None:
            self._warn("notKnown", f"it is not known how {self._title} switches its sound: nothing is sent about it")
            return
        *path, name = sound.parameter.split(".")
        place = parameters
        for step in path:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                self.problems["settings"] = f"settings.{step} is not an object"
                return
        if name in place and place[name] is not wanted:
            self.problems["settings"] = f"settings contradict sound: leave {name} out"
        place[name] = wanted


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    for name, value in second.items():
        earlier = merged.get(name)
        if isinstance(value, dict):
            # A copy, because all scenes share the settings of their session.
            merged[name] = _merged(earlier if isinstance(earlier, dict) else {}, value)
        else:
            merged[name] = value
    return merged


def _seconds(durations: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, durations))} seconds"


def _offers_frame(position: Position) -> Offers:
    return lambda model: model.has_frame(position) is True


def _has_parameter(name: str) -> Offers:
    return lambda model: name in model.parameters


def _takes_frames_with_references(model: VideoModel) -> bool:
    return bool(model.has_frame("first") and model.takes_references) and model.frames_with_references is not False


def _offers_duration(seconds: float, size: str | None = None) -> Offers:
    def offers(model: VideoModel) -> bool:
        duration = model.duration
        if not isinstance(duration, Duration) or not duration.offers(seconds):
            return False
        # Of some models, only the kind of number is known.
        is_known = duration.values is not None or duration.max is not None or not float(seconds).is_integer()
        has_size = size is None or size in (model.sizes or ())
        return is_known and has_size and seconds in model.size_durations.get(size or "", (seconds,))

    return offers


def _offers_aspect(aspect: str) -> Offers:
    return lambda model: any(has_aspect(size, aspect) for size in model.sizes or ())


def _offers_resolution(resolution: str) -> Offers:
    return lambda model: resolution in [each.lower() for each in model.resolutions or resolutions_of(model.sizes or ())]
