"""DBOS: a durable workflow for each clip, on a queue. After a restart, DBOS continues interrupted workflows."""

import asyncio

import httpx
from dbos import DBOS, DBOSConfig, SetWorkflowID

from benchmarks.peers import clips

QUEUE = "clips"


@DBOS.step(retries_allowed=True)
async def submit(uuid: str) -> None:
    """Order one clip."""
    async with httpx.AsyncClient(headers=clips.HEADERS, timeout=60) as web:
        clips.check_submitted(await web.post(clips.REST, json=clips.submission(uuid)))


@DBOS.step(retries_allowed=True)
async def rendered(uuid: str) -> str:
    """Wait for one clip and return its URL."""
    async with httpx.AsyncClient(headers=clips.HEADERS, timeout=60) as web:
        while True:
            await asyncio.sleep(clips.POLL_SECONDS)
            if url := clips.url_in(await web.post(clips.REST, json=clips.question(uuid))):
                return url


@DBOS.step(retries_allowed=True)
async def download(url: str, number: int) -> None:
    """Download one clip."""
    async with httpx.AsyncClient(timeout=60) as web:
        response = await web.get(url)
    response.raise_for_status()
    clips.clip_path(number).write_bytes(response.content)


@DBOS.workflow()
async def make_clip(number: int) -> None:
    """Buy and download one clip."""
    uuid = clips.uuid_for(DBOS.workflow_id)
    await submit(uuid)
    await download(await rendered(uuid), number)


async def main() -> None:
    """Make all clips at once."""
    config: DBOSConfig = {
        "name": "peer",
        "system_database_url": clips.SERVER or f"sqlite:///{clips.STATE}/dbos.sqlite",
        "log_level": "WARNING",
    }
    DBOS(config=config)
    DBOS.launch()
    await DBOS.register_queue_async(QUEUE, global_concurrency=clips.SCENES)
    clips.tell("submitting")
    handles = []
    for number in range(clips.SCENES):
        with SetWorkflowID(f"{clips.STATE}/clip-{number}"):
            handles.append(await DBOS.enqueue_workflow_async(QUEUE, make_clip, number))
    await asyncio.gather(*(handle.get_result() for handle in handles))
    clips.tell("stored")
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
