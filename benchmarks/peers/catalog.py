"""The peers: the program, the environment, the server, and the limits of each."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
OURS = Path(sys.executable).parent
THEIRS = HERE / ".venv" / "bin"


@dataclass(frozen=True)
class Server:
    """The server of a peer, and the settings that give its address to a program. {port} and {state} are filled in."""

    command: tuple[str, ...]
    address: str
    settings: tuple[tuple[str, str], ...] = ()
    health: str = ""
    """A page that answers once the server is ready. Without one, an open port is enough."""
    postgres: bool = False
    """Whether it uses PostgreSQL, which is started with it."""


@dataclass(frozen=True)
class Peer:
    """One program and its limits."""

    name: str
    what: str
    does_not: str
    """Its limits. `--kill` tests those that a kill or a bad download can show."""
    limit: str
    """Whether it can limit the clips in flight over several machines."""
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
        "yes: Prefect's global limit",
        replace(PREFECT, postgres=True),
        OURS,
    ),
    Peer(
        "adreel_sqlite",
        "the same on SQLite",
        "",
        "yes: Prefect's global limit",
        PREFECT,
        OURS,
        "adreel_peer",
    ),
    Peer(
        "gather",
        "asyncio.gather, the newer SDK (`runware-sdk`) waits",
        "It has no memory: after a kill it buys everything again, and the first clips are lost. It keeps no"
        " record of a purchase, and accepts any bytes as a clip.",
        "no",
    ),
    Peer(
        "gather_old_sdk",
        "asyncio.gather, the SDK that adreel submits with (`runware` 0.5) waits",
        "As `gather`. It also has at most 15 calls in flight, including waits.",
        "no",
        home=OURS,
    ),
    Peer(
        "journal",
        "asyncio.gather with a journal on disk, Runware's REST",
        "It resumes only on the same machine, and two processes on one journal conflict. It accepts any bytes as"
        " a clip.",
        "no",
    ),
    Peer(
        "prefect_threads",
        "a Prefect task, mapped by the thread-pool runner; the newer SDK waits",
        "A killed run stays `Running`, and a new run buys everything again. Prefect records states, not"
        " purchases. It accepts any bytes as a clip.",
        "not as written; Prefect has global limits",
        PREFECT,
    ),
    Peer(
        "dbos_peer",
        "DBOS workflows on a queue, SQLite",
        "It accepts any bytes as a clip. Its records contain completed steps, not payments. On SQLite it works on"
        " one machine only.",
        "with PostgreSQL: a queue's global concurrency",
    ),
    Peer(
        "temporal_peer",
        "Temporal workflows and activities, Temporal's development server",
        "It accepts any bytes as a clip. Its histories contain completed activities, not payments, and are"
        " deleted after a retention time.",
        "no: a limit for each worker, and a rate for a queue",
        TEMPORAL,
    ),
    Peer(
        "dagster_peer",
        "a Dagster op mapped over the scenes, a process each (16 at once)",
        "A killed run stays `STARTED` until somebody marks it as failed and re-executes it. Re-execution from"
        " failure omits mapped steps that had not begun, and succeeds. It accepts any bytes as a clip.",
        "not as written; Dagster has concurrency pools",
    ),
    Peer(
        "celery_peer",
        "Celery tasks on Redis, a worker of threads",
        "Tasks of a killed worker come back only after the visibility timeout (60 s here, an hour by default),"
        " and a longer render is executed twice. It accepts any bytes as a clip. Results expire after a day.",
        "no: a limit for each worker",
        REDIS,
    ),
)


def named(names: list[str]) -> list[Peer]:
    """Return the peers of these names, or all."""
    known = {peer.name: peer for peer in PEERS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no such peer: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(PEERS)
