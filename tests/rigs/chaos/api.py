"""A client of Prefect's API over HTTP that tolerates an unavailable server."""

import time
from typing import Any

import httpx

PAGE = 200
PAUSE_SECONDS = 0.5


class ServerAway(Exception):
    """The server is down, starting or too busy. The call can be repeated."""


class Api:
    """A client with the calls of the rig."""

    def __init__(self, url: str) -> None:
        # A killed server leaves dead connections behind, so each call opens its own.
        self._client = httpx.Client(base_url=url, timeout=10, limits=httpx.Limits(max_keepalive_connections=0))
        self._deployments: dict[str, str] = {}
        self.patience = 0.0
        """Seconds for which a call is repeated while the server is unavailable."""

    def call(self, method: str, path: str, json: Any = None) -> Any:
        """Call the server and return its response. Raises ServerAway if it is unavailable."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return self._call_once(method, path, json)
            except ServerAway:
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_SECONDS)

    def _call_once(self, method: str, path: str, json: Any) -> Any:
        try:
            response = self._client.request(method, path, json=json)
        except httpx.HTTPError as error:
            raise ServerAway(str(error)) from error
        if response.status_code >= 500 or response.status_code == 429:
            raise ServerAway(f"HTTP {response.status_code}")
        response.raise_for_status()
        return response.json() if response.content else None

    def is_up(self) -> bool:
        """Whether the server answers."""
        try:
            return bool(self.call("GET", "/health"))
        except ServerAway:
            return False

    def start(self, deployment: str, key: str, parameters: dict[str, Any]) -> str:
        """Start a run and return its id. The same key never starts a second run."""
        if deployment not in self._deployments:
            self._deployments[deployment] = self.call("GET", f"/deployments/name/{deployment}/{deployment}")["id"]
        order = {"parameters": parameters, "idempotency_key": key, "state": {"type": "SCHEDULED"}}
        run = self.call("POST", f"/deployments/{self._deployments[deployment]}/create_flow_run", order)
        return str(run["id"])

    def retry(self, run_id: str) -> None:
        """Retry a run, as the button on its page does."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "retried by hand"}
        self.call("POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": True})

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a run."""
        return dict(self.call("GET", f"/flow_runs/{run_id}"))

    def unfinished(self) -> list[dict[str, Any]]:
        """Return the runs that have not ended by themselves, including crashed ones."""
        types = ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING", "CRASHED"]
        return self._all({"state": {"type": {"any_": types}}})

    def starts(self) -> dict[str, int]:
        """Return the number of starts of each run."""
        return {run["id"]: run["run_count"] for run in self._all({})}

    def states(self, run_id: str) -> list[dict[str, Any]]:
        """Return the state history of a run, the oldest first."""
        found = self.call("GET", f"/flow_run_states/?flow_run_id={run_id}")
        return sorted(found, key=lambda state: str(state["timestamp"]))

    def held_slots(self, limit: str) -> int:
        """Return the number of occupied slots of a limit."""
        return int(self.call("GET", f"/v2/concurrency_limits/{limit}")["active_slots"])

    def _all(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            query = {"flow_runs": wanted, "limit": PAGE, "offset": len(found), "sort": "ID_DESC"}
            page = self.call("POST", "/flow_runs/filter", query)
            found += page
            if len(page) < PAGE:
                return found
