"""`adreel local-runware`: the local Runware in the foreground, until Ctrl-C."""

import asyncio
from pathlib import Path

from adreel.cli.display import print_line
from adreel.emulator import LocalRunware
from adreel.errors import InputError


def serve(
    *,
    port: int,
    render_seconds: float,
    price: float,
    one_film: bool,
    faults: list[str],
    fault_seed: int,
    ledger: Path | None,
) -> None:
    """Serve until interrupted."""
    try:
        server = LocalRunware(
            port=port,
            render_seconds=render_seconds,
            price=price,
            one_film=one_film,
            faults=faults,
            fault_seed=fault_seed,
            ledger_file=ledger,
        )
        asyncio.run(_serve(server))
    except (ValueError, OSError) as error:
        raise InputError(f"can't start the local Runware: {error}") from None
    except KeyboardInterrupt:
        print_line("stopped")


async def _serve(server: LocalRunware) -> None:
    async with server:
        print_line(f"RUNWARE_URL={server.url}")
        print_line(
            f"REST at {server.rest_url}, the ledger at {server.rest_url.removesuffix('/v1')}/ledger; Ctrl-C ends it"
        )
        await asyncio.Event().wait()
