"""Lengths and sizes of known video models, so a wrong one is reported before anything is sent.

Requests for other models are not checked. Source: Runware's registry, October 2026.
"""

from dataclasses import dataclass

from adreel.errors import InputError

LANDSCAPE_720, PORTRAIT_720, SQUARE_720 = "1280x720", "720x1280", "720x720"


@dataclass(frozen=True)
class VideoModel:
    """Name of a model, and the lengths and sizes that it accepts; an empty `sizes` accepts any."""

    name: str
    seconds: tuple[int, ...]
    sizes: tuple[str, ...] = ()
    legacy_frames: bool = False
    """Whether the first frame is sent as `frameImages: [{inputImage}]`, not `inputs.frameImages: [{image, frame}]`."""


MODELS = {
    "klingai:6@1": VideoModel("Kling 2.5 Turbo Pro", (5, 10), (LANDSCAPE_720, SQUARE_720, PORTRAIT_720), True),
    "google:3@3": VideoModel("Veo 3.1 Fast", (4, 6, 7, 8)),
    "bytedance:seedance@1.5-pro": VideoModel("Seedance 1.5 Pro", tuple(range(4, 13))),
    "bytedance:2@1": VideoModel("Seedance 1.0 Pro", (5, 10), (), True),
    "minimax:3@1": VideoModel("Hailuo 02", (6, 10), ("1366x768", "1920x1080"), True),
    "alibaba:wan@2.6": VideoModel("Wan 2.6", (5, 10, 15)),
}


def check_model_limits(model: str, duration: float, size: str, scene: str) -> None:
    """Raise InputError if a known model does not offer a duration or size; names those that it offers."""
    known = MODELS.get(model)
    if known is None:
        return
    if duration not in known.seconds:
        offered = ", ".join(str(seconds) for seconds in known.seconds)
        raise InputError(
            f"scene {scene}: duration {duration:g} is not offered by {known.name} ({model}): choose {offered} seconds"
        )
    if known.sizes and size not in known.sizes:
        raise InputError(
            f"scene {scene}: size {size} is not offered by {known.name} ({model}): choose {', '.join(known.sizes)}"
        )


def uses_legacy_frames(model: str) -> bool:
    """Whether a model takes its first frame in the older form of the request."""
    return model in MODELS and MODELS[model].legacy_frames
