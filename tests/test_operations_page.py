"""docs/operations.md keeps up with the code."""

import time
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from adreel.index import SessionIndex
from adreel.records import Records
from adreel.web.metrics import Metrics

PAGE = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()


def test_the_page_explains_every_metric(records: Records) -> None:
    metrics = Metrics(SessionIndex(records))
    metrics.requests.labels("GET", "/", "200").inc()
    metrics.seconds.labels("/").observe(1)
    while b"adreel_jobs" not in metrics.text():
        time.sleep(0.01)
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(metrics.text().decode())
        if not family.name.endswith("_created")
    }
    assert {name for name in names if f"`{name}" not in PAGE} == set()
