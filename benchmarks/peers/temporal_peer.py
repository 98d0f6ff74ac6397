"""Temporal: a workflow for each clip, with activities that submit, wait and download; the server remembers them."""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    import httpx

    from benchmarks.peers import clips

QUEUE = "clips"
CALL = timedelta(seconds=20)
"""How long one call may take; what a dead worker had begun comes back after it."""
SILENCE = timedelta(seconds=5)


@activity.defn
async def submit(uuid: str) -> None:
    """Order one clip."""
    async with httpx.AsyncClient(headers=clips.HEADERS, timeout=15) as web:
        clips.check_submitted(await web.post(clips.REST, json=clips.submission(uuid)))


@activity.defn
async def rendered(uuid: str) -> str:
    """Wait for one clip; returns its address."""
    async with httpx.AsyncClient(headers=clips.HEADERS, timeout=15) as web:
        while True:
            activity.heartbeat()
            await asyncio.sleep(clips.POLL_SECONDS)
            if url := clips.url_in(await web.post(clips.REST, json=clips.question(uuid))):
                return url


@activity.defn
async def download(url: str, number: int) -> None:
    """Bring one clip home."""
    async with httpx.AsyncClient(timeout=15) as web:
        response = await web.get(url)
    response.raise_for_status()
    clips.clip_path(number).write_bytes(response.content)


@workflow.defn
class MakeClip:
    """Buys one clip and brings it home."""

    @workflow.run
    async def run(self, number: int) -> None:
        """Go through the steps; Temporal repeats the one that was cut off."""
        uuid = str(workflow.uuid4())
        await workflow.execute_activity(submit, uuid, start_to_close_timeout=CALL)
        url = await workflow.execute_activity(
            rendered, uuid, start_to_close_timeout=timedelta(seconds=clips.RENDER_LIMIT), heartbeat_timeout=SILENCE
        )
        await workflow.execute_activity(download, args=[url, number], start_to_close_timeout=CALL)


async def main() -> None:
    """Work on all clips at once; workflows that run already are joined."""
    client = await Client.connect(clips.SERVER)
    worker = Worker(
        client,
        task_queue=QUEUE,
        workflows=[MakeClip],
        activities=[submit, rendered, download],
        max_concurrent_activities=clips.SCENES,
    )
    async with worker:
        clips.tell("submitting")
        await asyncio.gather(*(_make(client, number) for number in range(clips.SCENES)))
        clips.tell("home")


async def _make(client: Client, number: int) -> None:
    handle = await client.start_workflow(
        MakeClip.run,
        number,
        id=f"clip-{number}",
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    await handle.result()


if __name__ == "__main__":
    asyncio.run(main())
