"""Dagster: an op mapped over the scenes, each in its own process. Interrupted runs are re-executed.

The steps are forked from a server that has imported them, as Dagster's documentation recommends to reduce start-up.
"""

import os
import time
from collections.abc import Iterator

import dagster as dg
import httpx

from benchmarks.peers import clips

MODULE = "benchmarks.peers.dagster_peer"
# A process for each clip in flight. The default is the number of cores. 40 on two cores were slower than 16.
AT_ONCE = 16


@dg.op(out=dg.DynamicOut(int))
def scenes() -> Iterator[dg.DynamicOutput[int]]:
    """List the scenes."""
    for number in range(clips.SCENES):
        yield dg.DynamicOutput(number, mapping_key=str(number))


@dg.op
def make_clip(context: dg.OpExecutionContext, number: int) -> None:
    """Buy and download one clip."""
    run = context.run
    uuid = clips.uuid_for(run.root_run_id or run.run_id, number)
    with httpx.Client(headers=clips.HEADERS, timeout=60) as web:
        clips.check_submitted(web.post(clips.REST, json=clips.submission(uuid)))
        url = None
        while url is None:
            time.sleep(clips.POLL_SECONDS)
            url = clips.url_in(web.post(clips.REST, json=clips.question(uuid)))
        response = web.get(url)
    response.raise_for_status()
    clips.clip_path(number).write_bytes(response.content)


@dg.job(
    executor_def=dg.multiprocess_executor.configured(
        {
            "max_concurrent": min(clips.SCENES, AT_ONCE),
            "start_method": {"forkserver": {"preload_modules": [MODULE]}},
        }
    )
)
def make_clips() -> None:
    """Make all clips."""
    scenes().map(make_clip)


def main() -> None:
    """Run the job, or the rest of an interrupted run."""
    os.environ["DAGSTER_HOME"] = str(clips.STATE)
    from benchmarks.peers import dagster_peer  # noqa: PLC0415 - steps import the job by this name

    with dg.DagsterInstance.get() as instance:
        clips.tell("submitting")
        runs = instance.get_runs(limit=1)
        again = None
        if runs:
            # Nothing detects that a killed run has ended. Its user marks it as failed, as the UI's button does.
            instance.report_run_failed(runs[0])
            again = dg.ReexecutionOptions.from_failure(runs[0].run_id, instance)
        result = dg.execute_job(
            dg.reconstructable(dagster_peer.make_clips), instance, raise_on_error=True, reexecution_options=again
        )
        clips.tell("stored" if result.success else "failed")


if __name__ == "__main__":
    main()
