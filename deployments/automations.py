"""The automations of a server: what other systems start by an event, and who is told that a run has ended badly.

The triggers stand in prefect.yaml, beside the deployments that they start. Both work by Prefect's events, which are
notices: docs/decisions/0011-events-start-and-tell.md says what that means for money.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.events.schemas.deployment_triggers import DeploymentEventTrigger
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

NOTICES = "adreel-notices"
BAD_ENDS = {"prefect.flow-run.Partial", "prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
AS_IT_WAS = "as it was"
# Whether an automation is switched on is an operator's own choice.
COMPARED = ("description", "trigger", "actions")
# `text` is what Slack, Mattermost and their like show; the rest is for programs. A server that was not told the address
# of its own UI (PREFECT_UI_URL) is taken to have it where its API is.
NOTICE = """\
{%- set state = event.resource["prefect.state-name"] -%}
{%- set message = event.resource["prefect.state-message"] or "" -%}
{%- set url = flow_run | ui_url or "SERVER/runs/flow-run/" ~ flow_run.id -%}
{
  "text": {{ (flow_run.name ~ " is " ~ state ~ ": " ~ message ~ "\\n" ~ url) | tojson }},
  "run": {{ flow_run.name | tojson }},
  "run_id": {{ flow_run.id | string | tojson }},
  "state": {{ state | tojson }},
  "message": {{ message | tojson }},
  "url": {{ url | tojson }}
}
"""


def put_triggers(client: SyncPrefectClient, deployment_id: UUID, described: list[dict[str, Any]]) -> Iterator[str]:
    """Bring the triggers of a deployment in line, as prefect.yaml describes them, and tell what was done."""
    for spec in described:
        trigger = DeploymentEventTrigger.model_validate(spec)
        trigger.set_deployment_id(deployment_id)
        yield f"trigger {trigger.name}: {_put(client, trigger.as_automation())}"


def put_notices(client: SyncPrefectClient, url: SecretStr | None, tag: str) -> Iterator[str]:
    """Create the automation that notifies a webhook about failed runs of a tag; without an address, change nothing."""
    if url is None:
        return
    moved = _put_webhook(client, url)
    block_id = client.read_block_document_by_name(NOTICES, "webhook").id
    server = str(client.api_url).rstrip("/").removesuffix("/api")
    wanted = AutomationCore(
        name=NOTICES,
        description="Tells ADREEL_NOTIFY_URL of runs that end as Partial, Failed or Crashed.",
        trigger=EventTrigger(
            expect=BAD_ENDS,
            match_related={"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{tag}"},
        ),
        actions=[CallWebhook(block_document_id=block_id, payload=NOTICE.replace("SERVER", server))],
    )
    done = _put(client, wanted)
    yield f"notices: {'changed ADREEL_NOTIFY_URL' if moved and done == AS_IT_WAS else done}"


def _put(client: SyncPrefectClient, wanted: AutomationCore) -> str:
    found = client.read_automations_by_name(wanted.name)
    changed = [name for name in COMPARED if any(getattr(one, name) != getattr(wanted, name) for one in found)]
    if len(found) == 1 and not changed:
        return AS_IT_WAS
    # Made anew, for an update can't give it another owner, and `prefect deploy` would then put a second one beside it:
    # each event would buy twice.
    for one in found:
        client.delete_automation(one.id)
    client.create_automation(wanted.model_copy(update={"enabled": all(one.enabled for one in found)}))
    return f"changed {', '.join(changed) or 'to be there once'}" if found else "made"


def _put_webhook(client: SyncPrefectClient, url: SecretStr) -> bool:
    """Have the block hold an address; False if it did already."""
    with suppress(ObjectNotFound):
        found = client.read_block_document_by_name(NOTICES, "webhook", include_secrets=True)
        if found.data["url"] == url.get_secret_value():
            return False
    headers: Any = {"Content-Type": "application/json"}
    Webhook(url=url, headers=headers).save(NOTICES, overwrite=True)
    return True
