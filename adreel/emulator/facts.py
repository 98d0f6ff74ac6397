"""Facts of the video models that the emulator plays, as the plain JSON of the catalogue.

The emulator reads the data, and shares no code with the request builder. Otherwise the builder would be tested against
itself.
"""

import json
import threading
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any


class Facts:
    """The models that the emulator offers, and those that it no longer offers. Any thread may read and change them.

    `models` and `gone` are replaced by changes, never modified: what a reader holds stays consistent.
    """

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        if document is None:
            document = json.loads((files("adreel.catalog") / "models.json").read_text(encoding="utf-8"))
        self.models: dict[str, dict[str, Any]] = document["models"]
        self.gone: dict[str, dict[str, Any]] = document["gone"]
        self._lock = threading.Lock()

    def change(self, air: str, **facts: Any) -> None:
        """Change facts of a model, or add a model. None removes a fact."""
        with self._lock:
            known = {**self.models.get(air, {}), **facts}
            model = {name: value for name, value in known.items() if value is not None}
            self.models = {**self.models, air: model}

    def retire(self, air: str) -> None:
        """Withdraw a model."""
        with self._lock:
            model = self.models[air]
            self.models = {other: facts for other, facts in self.models.items() if other != air}
            gone = {"slug": model["slug"], "gone_by": datetime.now(UTC).date().isoformat()}
            if replacement := model.get("replaced_by"):
                gone["replaced_by"] = replacement
            self.gone = {**self.gone, air: gone}
