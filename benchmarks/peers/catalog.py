"""The peers: which program, in which environment, beside which server, and what each does not do."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
OURS = Path(sys.executable).parent
THEIRS = HERE / ".venv" / "bin"


@dataclass(frozen=True)
class Server:
    """A server of a peer's own, and how a program is told where it is; {port} and {state} are filled in."""

    command: tuple[str, ...]
    address: str
    settings: tuple[tuple[str, str], ...] = ()
    health: str = ""
    """A page that answers once it is ready; without one, an open port is enough."""
    postgres: bool = False
    """Whether its database is a PostgreSQL, which is started for it."""


@dataclass(frozen=True)
class Peer:
    """One program, and what it leaves to its user."""

    name: str
    what: str
    does_not: str
    """What it does not do. What a kill or a bad download can show is asked by `--kill`."""
    limit: str
    """Whether it can hold a limit of clips in flight over several machines."""
    server: Server | None = None
    home: Path = THEIRS
    module: str = ""

    @property
    def command(self) -> list[str]:
        """Return the command that starts it."""
        return [str(self.home / "python"), "-m", f"benchmarks.peers.{self.module or self.name}"]


PREFECT = Server(
    command=("prefect", "server", "start", "--port", "{port}"),
    address="http://127.0.0.1:{port}/api",
    settings=(
        ("PREFECT_API_URL", "http://127.0.0.1:{port}/api"),
        ("PREFECT_HOME", "{state}"),
        ("PREFECT_LOGGING_LEVEL", "WARNING"),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "false"),
        ("DO_NOT_TRACK", "1"),
    ),
    health="http://127.0.0.1:{port}/api/health",
)
TEMPORAL = Server(
    command=(
        *("temporal", "server", "start-dev", "--headless", "--log-level", "error"),
        *("--port", "{port}", "--db-filename", "{state}/temporal.sqlite"),
    ),
    address="127.0.0.1:{port}",
)
REDIS = Server(
    command=("redis-server", "--port", "{port}", "--dir", "{state}", "--appendonly", "yes"),
    address="redis://127.0.0.1:{port}/0",
)

PEERS = (
    Peer(
        "adreel_peer",
        "adreel: a campaign, on a Prefect server with PostgreSQL",
        "",
        "yes: a global limit of Prefect's",
        replace(PREFECT, postgres=True),
        OURS,
    ),
    Peer(
        "adreel_sqlite",
        "the same on SQLite",
        "",
        "yes: a global limit of Prefect's",
        PREFECT,
        OURS,
        "adreel_peer",
    ),
    Peer(
        "gather",
        "asyncio.gather, the newer SDK (`runware-sdk`) waits",
        "It remembers nothing: killed, it buys everything again, and what was bought is lost. It keeps no record of a"
        " purchase, and takes any bytes for a clip.",
        "no",
    ),
    Peer(
        "gather_old_sdk",
        "asyncio.gather, the SDK that adreel submits with (`runware` 0.5) waits",
        "As `gather`; and it has no more than 15 calls in flight, waits included.",
        "no",
        home=OURS,
    ),
    Peer(
        "journal",
        "asyncio.gather with a journal on disk, Runware's REST",
        "It resumes on the same machine alone, and two of it at once on one journal are not kept apart. It takes any"
        " bytes for a clip.",
        "no",
    ),
    Peer(
        "prefect_threads",
        "a Prefect task, mapped by the thread-pool runner; the newer SDK waits",
        "A run that is killed stays `Running`, and a new run buys everything again. Prefect records states, not"
        " purchases. It takes any bytes for a clip.",
        "not as written; Prefect has global limits",
        PREFECT,
    ),
    Peer(
        "dbos_peer",
        "DBOS workflows on a queue, SQLite",
        "It takes any bytes for a clip. Its records say which steps are done, not what was paid. On SQLite one machine"
        " alone works.",
        "with PostgreSQL: a queue's global concurrency",
    ),
    Peer(
        "temporal_peer",
        "Temporal workflows and activities, Temporal's development server",
        "It takes any bytes for a clip. Its histories say which activities are done, not what was paid, and are deleted"
        " after a retention time.",
        "no: a limit for each worker, and a rate for a queue",
        TEMPORAL,
    ),
    Peer(
        "dagster_peer",
        "a Dagster op mapped over the scenes, a process each (16 at once)",
        "A run that is killed stays `STARTED` until somebody marks it as failed and re-executes it. Re-execution from"
        " failure leaves out mapped steps that had not begun, and ends well. It takes any bytes for a clip.",
        "not as written; Dagster has concurrency pools",
    ),
    Peer(
        "celery_peer",
        "Celery tasks on Redis, a worker of threads",
        "Tasks of a killed worker come back after the visibility timeout only (60 s here, an hour unless told"
        " otherwise), and a render that takes longer is worked on twice. It takes any bytes for a clip. Results expire"
        " after a day.",
        "no: a limit for each worker",
        REDIS,
    ),
)


def named(names: list[str]) -> list[Peer]:
    """Return these peers, or all."""
    known = {peer.name: peer for peer in PEERS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no such peer: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(PEERS)
