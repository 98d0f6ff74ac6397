"""The words of takes: what a take was made from, and a scene that gets them back."""

from adreel.errors import NotFound
from adreel.models.api import ScenePatch
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneDescription, SceneWords
from adreel.models.takes import Take
from adreel.service import Service
from adreel.web.pages.forms import WORDS, field_text


def other_words(take: Take) -> list[tuple[str, str]]:
    """Return what a take was made from beside what the viewer sees, as labels and texts."""
    texts = [(each.label, field_text(getattr(take.scene, each.name))) for each in WORDS if each.name != "duration"]
    return [(label, text) for label, text in texts if text]


def differing_words(take: Take, scene: SceneDescription) -> ScenePatch:
    """Return the changes that give a scene the words and the length of a take."""
    names = SceneWords.model_fields.keys() - {"scenario"}
    return ScenePatch.model_validate(
        {name: getattr(take.scene, name) for name in names if getattr(take.scene, name) != getattr(scene, name)}
    )


def use_words(service: Service, session_id: str, scenario: Scenario, take_id: str) -> None:
    """Give a scene the words of one of its takes. It buys nothing, and the current take stays."""
    take = next((each for each in service.records.takes(session_id, scenario) if each.short_id == take_id), None)
    if take is None:
        raise NotFound(f"{take_id!r} is not a take of this scene: reload the page")
    service.change_scene(session_id, scenario, differing_words(take, service.session(session_id).scene(scenario)))
