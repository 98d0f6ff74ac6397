"""A plain Prefect flow: a task mapped by the thread-pool runner, Prefect's default. Runware's newer SDK waits."""

import httpx
from prefect import flow, task
from prefect.futures import wait

from benchmarks.peers import clips, newer_sdk


@task
async def make_clip(number: int) -> None:
    """Buy and download one clip."""
    async with newer_sdk.client() as runware:
        [result] = await runware.run({**clips.ORDER, "deliveryMethod": "async"})
    async with httpx.AsyncClient(timeout=60) as web:
        response = await web.get(result["videoURL"])
    response.raise_for_status()
    clips.clip_path(number).write_bytes(response.content)


@flow(name="peer", log_prints=False)
def make_clips() -> None:
    """Make all clips at once."""
    futures = make_clip.map(range(clips.SCENES))
    wait(futures)
    for future in futures:
        future.result()


if __name__ == "__main__":
    clips.tell("submitting")
    make_clips()
    clips.tell("stored")
