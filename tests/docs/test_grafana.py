"""The dashboard asks for nothing that a server does not publish."""

import json
import re
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.server.conftest import served as served
from tests.server.test_metrics import SPECIFIED, get, port_of
from tests.server.world import Served

DASHBOARD = json.loads((Path(__file__).parents[2] / "docs" / "grafana" / "tako.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
METRIC = re.compile(r"\b(?:tako|process)_[a-z_]+\b")


def expressions() -> list[str]:
    variables = [one["definition"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
    return [target["expr"] for panel in PANELS for target in panel["targets"]] + variables


async def test_every_metric_of_the_dashboard_is_in_a_real_scrape(served: Served) -> None:
    await served.end()
    await served.begin(metrics_port=0)
    served.source("one")
    await served.apply(served.app("one"))
    await served.ready("one")
    assert (await served.fetch("one.localhost"))[0] == 200
    _, body = await get(port_of(served))
    published = {sample.name for family in text_string_to_metric_families(body.decode()) for sample in family.samples}
    asked = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert asked and asked - published == set()


def test_every_metric_of_the_specification_has_its_place_in_the_dashboard() -> None:
    text = " ".join(expressions())
    assert [name for name, _, _ in SPECIFIED if name not in text] == []


def test_no_two_panels_overlap_and_each_has_a_title() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
