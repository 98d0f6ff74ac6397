"""Prefect automations: triggers that start a deployment on an event, and a webhook for failed runs and budgets.

prefect.yaml lists the triggers beside the deployments that they start. Prefect may lose or repeat an event:
docs/decisions/0011-events-start-and-tell.md says what that means for purchases.
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
BUDGET_NOTICES = "adreel-budget-notices"
BUDGET_REACHED = "adreel.budget.reached"
FAILURES = {"prefect.flow-run.Partial", "prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
UNCHANGED = "unchanged"
# `enabled` is not compared: an operator may have switched an automation off.
COMPARED = ("description", "trigger", "actions")
# Slack, Mattermost and similar tools show `text`; the other fields are for programs. Without PREFECT_UI_URL, the link
# leads to the address of the API.
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
BUDGET_NOTICE = """\
{%- set it = event.payload -%}
{
  "text": {{ ("budget %s has reached %d %% (%s): USD %.2f of %.2f are spent or held"
    | format(it.budget, it.percent, it.period, it.spent + it.held, it.cap)) | tojson }},
  "budget": {{ it.budget | tojson }},
  "period": {{ it.period | tojson }},
  "percent": {{ it.percent }},
  "cap": {{ it.cap }},
  "spent": {{ it.spent }},
  "held": {{ it.held }},
  "left": {{ it.left }}
}
"""


def put_triggers(client: SyncPrefectClient, deployment_id: UUID, described: list[dict[str, Any]]) -> Iterator[str]:
    """Create or update the triggers of a deployment, and yield a line for each."""
    for spec in described:
        trigger = DeploymentEventTrigger.model_validate(spec)
        trigger.set_deployment_id(deployment_id)
        yield f"trigger {trigger.name}: {_put(client, trigger.as_automation())}"


def put_notices(client: SyncPrefectClient, url: SecretStr | None, tag: str) -> Iterator[str]:
    """Create or update the automations that report failed runs of a tag, and budgets, to a webhook.

    Without a URL, do nothing.
    """
    if url is None:
        return
    stored = None
    with suppress(ObjectNotFound):
        stored = client.read_block_document_by_name(NOTICES, "webhook", include_secrets=True).data["url"]
    if stored != url.get_secret_value():
        headers: Any = {"Content-Type": "application/json"}
        Webhook(url=url, headers=headers).save(NOTICES, overwrite=True)
    block_id = client.read_block_document_by_name(NOTICES, "webhook").id
    server = str(client.api_url).rstrip("/").removesuffix("/api")
    wanted = AutomationCore(
        name=NOTICES,
        description="Reports runs that end as Partial, Failed or Crashed to ADREEL_NOTIFY_URL.",
        trigger=EventTrigger(
            expect=FAILURES, match_related={"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{tag}"}
        ),
        actions=[CallWebhook(block_document_id=block_id, payload=NOTICE.replace("SERVER", server))],
    )
    done = _put(client, wanted)
    url_changed = stored != url.get_secret_value() and done == UNCHANGED
    yield f"notices: {'changed ADREEL_NOTIFY_URL' if url_changed else done}"
    budgets = AutomationCore(
        name=BUDGET_NOTICES,
        description="Reports budgets that reach 70, 90 and 100 % of their cap to ADREEL_NOTIFY_URL.",
        trigger=EventTrigger(expect={BUDGET_REACHED}, match={"prefect.resource.id": "adreel.budget.*"}),
        actions=[CallWebhook(block_document_id=block_id, payload=BUDGET_NOTICE)],
    )
    yield f"budget notices: {_put(client, budgets)}"


def _put(client: SyncPrefectClient, wanted: AutomationCore) -> str:
    found = client.read_automations_by_name(wanted.name)
    changed = [name for name in COMPARED if any(getattr(one, name) != getattr(wanted, name) for one in found)]
    if len(found) == 1 and not changed:
        return UNCHANGED
    # The automation is replaced, because an update can't change its owner. With another owner, `prefect deploy` would
    # create a duplicate, and each event would buy twice.
    for one in found:
        client.delete_automation(one.id)
    client.create_automation(wanted.model_copy(update={"enabled": all(one.enabled for one in found)}))
    return f"changed {', '.join(changed) or 'duplicates'}" if found else "created"
