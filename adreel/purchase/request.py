"""Request of a scene: its prompt, model and size."""

from adreel.catalog import check_model_limits
from adreel.errors import InputError
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneDescription, Session, is_local_file
from adreel.models.takes import ClipRequest
from adreel.records.inputs import check_image
from adreel.settings import Settings

_PARTS = (
    ("Camera", "camera_work"),
    ("Lighting", "lighting"),
    ("Sound", "audio_design"),
    ("Music", "background_music"),
    ("Sound effects", "sound_effects"),
    ("Narration", "dialog_narration"),
)


def compose_prompt(session: Session, scene: SceneDescription) -> str:
    """Return the prompt of a scene: the visual description first, the brand last."""
    kind = f", {session.category}" if session.category else ""
    part = scene.scenario.upper() if scene.scenario == Scenario.CTA else scene.scenario.capitalize()
    lines = [f"{part} scene of a video ad for {session.product_name}{kind}."]
    lines.append(_sentence(scene.visual_description))
    lines += [f"{label}: {_sentence(text)}" for label, name in _PARTS if (text := getattr(scene, name))]
    if session.brand_tone:
        lines.append(f"Tone: {_sentence(session.brand_tone)}")
    if session.brand_colors:
        lines.append(f"Colours: {', '.join(session.brand_colors)}.")
    return "\n".join(lines)


def clip_request(session: Session, scene: SceneDescription, settings: Settings) -> ClipRequest:
    """Resolve a scene into the request to send; InputError names the wrong field."""
    model, size = scene.model or settings.model, scene.size or settings.size
    check_model_limits(model, scene.duration, size, scene.scenario)
    width, height = (int(part) for part in size.split("x"))
    if scene.first_frame and is_local_file(scene.first_frame):
        try:
            check_image(scene.first_frame)
        except InputError as error:
            raise InputError(f"scene {scene.scenario}: {error}") from None
    return ClipRequest(
        model=model,
        prompt=compose_prompt(session, scene),
        duration=scene.duration,
        width=width,
        height=height,
        seed=scene.seed,
        first_frame=scene.first_frame,
    )


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text[-1:] in ".!?" else f"{text}."
