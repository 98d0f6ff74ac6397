"""asyncio.gather over the SDK that adreel submits with (`runware` 0.5), which also waits. httpx downloads."""

import asyncio

import httpx
from runware import IVideoInference, Runware

from benchmarks.peers import clips


async def make_clip(runware: Runware, web: httpx.AsyncClient, number: int) -> None:
    """Buy and download one clip."""
    order = {name: value for name, value in clips.ORDER.items() if name != "taskType"}
    accepted = await runware.videoInference(IVideoInference(**order))
    [video] = await runware.getResponse(taskUUID=accepted.taskUUID)
    response = await web.get(video.videoURL)
    response.raise_for_status()
    clips.clip_path(number).write_bytes(response.content)


async def main() -> None:
    """Make all clips at once."""
    runware = Runware(api_key=clips.KEY, url=clips.RUNWARE)
    await runware.connect()
    async with httpx.AsyncClient(timeout=60) as web:
        clips.tell("submitting")
        await asyncio.gather(*(make_clip(runware, web, number) for number in range(clips.SCENES)))
        clips.tell("stored")
    await runware.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
