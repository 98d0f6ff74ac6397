"""Facts of the models that the emulator plays, as the plain JSON of the catalogue.

The emulator reads the data, and shares no code with the request builder. Otherwise the builder would be tested against
itself.
"""

import json
import threading
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

Models = dict[str, dict[str, Any]]
TYPES = {"models": "videoInference", "audio": "audioInference", "images": "imageInference"}
"""The maps of the catalogue, and the task type of their models."""


class Facts:
    """The models that the emulator offers, and those that it no longer offers. Any thread may read and change them.

    `models`, `audio`, `images` and `gone` are replaced by changes, never modified: what a reader holds stays
    consistent.
    """

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        if document is None:
            document = json.loads((files("adreel.catalog") / "models.json").read_text(encoding="utf-8"))
        self.models: Models = document["models"]
        self.audio: Models = document.get("audio", {})
        self.images: Models = document.get("images", {})
        self.gone: Models = document["gone"]
        self._lock = threading.Lock()

    def find(self, air: str) -> dict[str, Any] | None:
        """Return the facts of a model of any type; None if they are not known."""
        return self.models.get(air) or self.audio.get(air) or self.images.get(air)

    def type_of(self, air: str) -> str | None:
        """Return the task type of a model; None if it is not known."""
        return next((kind for name, kind in TYPES.items() if air in getattr(self, name)), None)

    def change(self, air: str, **facts: Any) -> None:
        """Change facts of a model of any type, or add a video model. None removes a fact."""
        with self._lock:
            name = self._map_of(air)
            known = {**getattr(self, name).get(air, {}), **facts}
            model = {fact: value for fact, value in known.items() if value is not None}
            setattr(self, name, {**getattr(self, name), air: model})

    def retire(self, air: str) -> None:
        """Withdraw a model."""
        with self._lock:
            name = self._map_of(air)
            models: Models = getattr(self, name)
            model = models[air]
            setattr(self, name, {other: facts for other, facts in models.items() if other != air})
            gone = {"slug": model["slug"], "gone_by": datetime.now(UTC).date().isoformat()}
            if replacement := model.get("replaced_by"):
                gone["replaced_by"] = replacement
            self.gone = {**self.gone, air: gone}

    def _map_of(self, air: str) -> str:
        return next((name for name in TYPES if air in getattr(self, name)), "models")
