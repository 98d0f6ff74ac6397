"""Measures the concurrent record writes to a slow store with the earlier and the present number of threads.

python -m benchmarks.slow_store [SCENES]     60 scenes with 5 writes of 100 ms each; prints the ratio
"""

import asyncio
import sys
import time

from adreel.records.threads import THREADS, DaemonThreadPool

SECONDS = 0.1
WRITES = 5
BEFORE = 6
"""The earlier number of threads, which depended on the cores, on two cores."""


async def _scene() -> None:
    for _ in range(WRITES):
        await asyncio.to_thread(time.sleep, SECONDS)


async def _measure(scenes: int, threads: int) -> float:
    asyncio.get_running_loop().set_default_executor(DaemonThreadPool(1, threads))
    begun = time.perf_counter()
    await asyncio.gather(*(_scene() for _ in range(scenes)))
    return time.perf_counter() - begun


def main() -> None:
    """Measure both and print them."""
    scenes = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    now = asyncio.run(_measure(scenes, THREADS))
    before = asyncio.run(_measure(scenes, BEFORE))
    least = WRITES * SECONDS
    print(f"{scenes} scenes, {WRITES} writes of {SECONDS * 1000:g} ms each: at best {least:.2f} s")
    print(f"{BEFORE} threads: {before:.2f} s; now: {now:.2f} s; ratio {before / now:.1f}")


if __name__ == "__main__":
    main()
