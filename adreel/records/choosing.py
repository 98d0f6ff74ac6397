"""The choice of a take: the current one of its part, or a still as the first frame of its scene."""

from collections.abc import Sequence

from adreel.errors import NotFound
from adreel.models.parts import Part, kind_of, scenario_of, shown_name
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.models.takes import Choices, Take
from adreel.records import Records
from adreel.records.inputs import copy_input, display_name, parse_image


def choose_take(records: Records, session_id: str, part: Part, name: str) -> Take:
    """Make a stored take the current one; `name` is its job's id, the start of it, or its file's eight characters.

    A still becomes the first frame of its scene too, for clips that are bought later.
    """
    stored = [take for take in records.takes(session_id, part) if take.is_stored]
    matching = [take for take in stored if name in {take.job_id, take.short_id}] or [
        take for take in stored if name and take.job_id.startswith(name)
    ]
    if len(matching) != 1:
        offered = ", ".join(take.short_id for take in stored) or "none is stored yet"
        why = "matches several takes" if matching else "is not a stored take"
        raise NotFound(f"{name!r} {why} of {session_id} {shown_name(part)}: choose one of {offered}")
    [take] = matching
    if kind_of(part) == "still":
        _start_from(records, take)
    records.update_choices(session_id, lambda choices: choices.with_take(take))
    return take


def starts_from(session: Session, part: Part, stills: Sequence[Take], choices: Choices) -> Take | None:
    """Return the still that a scene starts from; None if it starts from another image, or from none."""
    scenario = scenario_of(part)
    frame = session.scene(scenario).first_frame if scenario else None
    if scenario is None or not frame or display_name(frame) != _name_of_frame(scenario):
        return None
    return next((take for take in stills if take.job_id == choices.takes.get(part)), None)


def _name_of_frame(scenario: Scenario) -> str:
    return f"{scenario}-still.jpg"


def _start_from(records: Records, still: Take) -> None:
    """Make a still the first frame of its scene, as an input image of the session."""
    assert still.clip is not None  # noqa: S101 - it is stored
    assert still.scene is not None  # noqa: S101 - it is of a scene
    scenario, name = still.scene.scenario, still.clip.file
    image = parse_image(records.storage.read(name), _name_of_frame(scenario), f"the still {name}")
    reference = copy_input(records.storage, still.session_id, image)

    def change(session: Session) -> Session:
        scenes = [
            scene.model_copy(update={"first_frame": reference}) if scene.scenario == scenario else scene
            for scene in session.scene_descriptions
        ]
        return session.model_copy(update={"scene_descriptions": scenes})

    records.update_session(still.session_id, change)
