"""API keys: which of them open the local Runware."""

from dataclasses import dataclass

from adreel.emulator.replies import Reply, invalid_key


@dataclass(frozen=True)
class Keys:
    """The accepted keys; None accepts any that is not empty."""

    accepted: frozenset[str] | None = None

    def refusal(self, key: object) -> Reply | None:
        """Return why a key is refused, or None for a good one."""
        if not isinstance(key, str) or not key:
            return invalid_key(missing=True)
        return None if self.accepted is None or key in self.accepted else invalid_key(missing=False)
