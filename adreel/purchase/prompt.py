"""Prompt of a scene: its words and the facts of its product, as a video model understands them."""

from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneDescription, Session

SOUND_FIELDS = ("audio_design", "background_music", "sound_effects", "dialog_narration")

_PARTS = (
    ("Camera", "camera_work"),
    ("Lighting", "lighting"),
    ("Sound", "audio_design"),
    ("Music", "background_music"),
    ("Sound effects", "sound_effects"),
    ("Narration", "dialog_narration"),
)
_AVOID = "Avoid: "


def compose_prompt(
    session: Session, scene: SceneDescription, *, is_silent: bool = False, avoid: str = "", limit: int | None = None
) -> str:
    """Return the prompt of a scene: what it shows first, then the facts of the product.

    A silent clip gets no words about sound, and a clip gets none about what is bought apart from it: a narration or
    music. `avoid` is for models without a negative prompt. Beyond `limit` characters, facts of the product are left
    out from the last, so the scene's own words stay whole.
    """
    lines = [_title(session, scene), _sentence(scene.visual_description)]
    left_out = set(SOUND_FIELDS) if is_silent else _bought_apart(session)
    parts = [(label, name) for label, name in _PARTS if name not in left_out]
    lines += [f"{label}: {_sentence(text)}" for label, name in parts if (text := getattr(scene, name))]
    if avoid:
        lines.append(f"{_AVOID}{_sentence(avoid)}")
    facts = _facts(session, scene)
    while facts and limit is not None and len("\n".join(lines + facts)) > limit:
        facts.pop()
    return "\n".join(lines + facts)


def without_bought_sound(prompt: str, session: Session) -> str:
    """Return the prompt of a clip without the words about sound that its session buys apart from its clips now."""
    apart = _bought_apart(session)
    labels = tuple(f"{label}: " for label, name in _PARTS if name in apart)
    return "\n".join(line for line in prompt.split("\n") if not (labels and line.startswith(labels)))


def _bought_apart(session: Session) -> set[str]:
    """Return the fields about sound that are not for the clips."""
    apart = {"dialog_narration"} if session.voice else set[str]()
    return apart | {"background_music"} if session.music else apart


def compose_still_prompt(session: Session, scene: SceneDescription, *, aspect: str = "", avoid: str = "") -> str:
    """Return the prompt of a scene's still: what its clip shows at first, without sound and movement.

    `aspect` is for requests without a size, `avoid` for models without a negative prompt.
    """
    lines = [f"Still picture, the opening frame. {_title(session, scene)}", _sentence(scene.visual_description)]
    if scene.lighting:
        lines.append(f"Lighting: {_sentence(scene.lighting)}")
    if aspect:
        lines.append(f"The picture has the aspect ratio {aspect}.")
    if avoid:
        lines.append(f"{_AVOID}{_sentence(avoid)}")
    return "\n".join(lines + _facts(session, scene))


def music_prompt(session: Session, *, limit: int | None = None) -> str:
    """Return the prompt of an ad's music: its tone, then the music of its scenes as far as `limit` allows."""
    lines = ["Instrumental background music for a video ad, no vocals."]
    if session.brand_tone:
        lines.append(f"Mood: {_sentence(session.brand_tone)}")
    wanted = [scene.background_music for scenario in session.scenarios if (scene := session.scene(scenario))]
    for music in dict.fromkeys(_sentence(text) for text in wanted if text.strip()):
        if limit is None or len("\n".join([*lines, music])) <= limit:
            lines.append(music)
    return "\n".join(lines)


def has_facts(prompt: str, session: Session, scene: SceneDescription) -> bool:
    """Whether a prompt of a scene has all facts of the product as they are now, and no others."""
    title, *lines = prompt.split("\n")
    own = {_sentence(scene.visual_description)}
    own |= {f"{label}: {_sentence(text)}" for label, name in _PARTS if (text := getattr(scene, name))}
    facts = [line for line in lines if line not in own and not line.startswith(_AVOID)]
    return title == _title(session, scene) and facts == _facts(session, scene)


def _title(session: Session, scene: SceneDescription) -> str:
    kind = f", {session.category}" if session.category else ""
    part = scene.scenario.upper() if scene.scenario == Scenario.CTA else scene.scenario.capitalize()
    return f"{part} scene of a video ad for {session.product_name}{kind}."


def _facts(session: Session, scene: SceneDescription) -> list[str]:
    facts = []
    if session.brand_tone:
        facts.append(f"Tone: {_sentence(session.brand_tone)}")
    if session.brand_colors:
        facts.append(f"Colours: {', '.join(session.brand_colors)}.")
    if session.main_benefit:
        facts.append(f"The viewer should feel the benefit: {_sentence(session.main_benefit)}")
    if session.target_audience:
        facts.append(f"Casting and setting suit the audience: {_sentence(session.target_audience)}")
    if session.target_platform:
        facts.append(f"Framed for {_sentence(session.target_platform)}")
    if session.website_url and scene.scenario == Scenario.CTA:
        facts.append(f"The closing picture leaves room for the address {session.website_url}")
    return facts


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text[-1:] in ".!?" else f"{text}."
