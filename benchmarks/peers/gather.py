"""asyncio.gather over Runware's newer SDK (`runware-sdk`), which submits and waits. httpx downloads."""

import asyncio

import httpx
from runware import Runware

from benchmarks.peers import clips, newer_sdk


async def make_clip(runware: Runware, web: httpx.AsyncClient, number: int) -> None:
    """Buy and download one clip."""
    [result] = await runware.run({**clips.ORDER, "deliveryMethod": "async"})
    response = await web.get(result["videoURL"])
    response.raise_for_status()
    clips.clip_path(number).write_bytes(response.content)


async def main() -> None:
    """Make all clips at once."""
    async with newer_sdk.client() as runware, httpx.AsyncClient(timeout=60) as web:
        clips.tell("submitting")
        await asyncio.gather(*(make_clip(runware, web, number) for number in range(clips.SCENES)))
        clips.tell("stored")


if __name__ == "__main__":
    asyncio.run(main())
