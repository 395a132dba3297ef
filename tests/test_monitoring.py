"""The alerts and the dashboard speak of numbers that `/metrics` gives, and the guide tells what each alert means."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from accounts.tests.factories import UserFactory, signed_in
from config.background import note_failure
from rbac.tests.factories import GrantFactory, RoleFactory

ROOT = Path(settings.BASE_DIR)
FOLDER = ROOT / "deploy" / "monitoring"
ALERTS = (FOLDER / "alerts.yml").read_text()
NAME = re.compile(r"\bmuster_\w+")
NAMES_OF_ALERTS = re.findall(r"^ +- alert: (\w+)$", ALERTS, re.MULTILINE)
# What is no label of a series of ours although it stands in braces or after `by`.
OF_PROMETHEUS = {"job", "instance", "le"}


def dashboard() -> Any:
    return json.loads((FOLDER / "grafana-dashboard.json").read_text())


def expressions() -> list[str]:
    """Of the dashboard, and of the alerts, where each stands on one line or on the lines indented below."""
    asked = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    alarmed = re.findall(r"^ +expr: (?:\|\n((?: {10,}.*\n)+)|(.*)\n)", ALERTS, re.MULTILINE)
    assert len(alarmed) == len(NAMES_OF_ALERTS)
    return asked + [several or one for several, one in alarmed]


@pytest.fixture
def exposed(db: None) -> dict[str, set[str]]:
    """The labels of each series that is exposed."""
    note_failure("mail.tasks.sweep_mail")
    client = Client(HTTP_HOST="127.0.0.1", REMOTE_ADDR="127.0.0.1")
    client.get("/api/v1/users/me")
    reader = signed_in(GrantFactory(user=UserFactory(), role=RoleFactory(permissions=["role:read"])).user).pair.access
    assert client.get("/api/v1/roles", headers={"Authorization": f"Bearer {reader}"}).status_code == 200
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_number_they_speak_of_is_exposed(exposed: dict[str, set[str]]) -> None:
    named = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(named) > 10
    assert named - set(exposed) == set()


def test_every_label_they_select_or_sum_by_is_there(exposed: dict[str, set[str]]) -> None:
    for expression in expressions():
        names = NAME.findall(expression)
        known = OF_PROMETHEUS.union(*(exposed[name] for name in names))
        selected = re.findall(r"[{,] *(\w+) *(?:=~|!=|=)", expression)
        summed = [label for group in re.findall(r"\bby \(([\w, ]+)\)", expression) for label in group.split(", ")]
        assert set(selected + summed) <= known, expression


def test_every_number_of_ours_is_on_the_dashboard(exposed: dict[str, set[str]]) -> None:
    shown = " ".join(expressions())
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in exposed if name.startswith("muster_")}
    assert {family for family in families if family not in shown} == set()


def test_panels_have_their_own_ids_and_places() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)


def test_the_guide_tells_of_each_alert_and_of_no_other() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    section = guide.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", section, re.MULTILINE) == NAMES_OF_ALERTS


@pytest.mark.parametrize("arguments", [["check", "config", "prometheus.yml"], ["test", "rules", "alerts.test.yml"]])
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool missing: apt install prometheus")
def test_prometheus_takes_the_rules_and_they_fire_when_they_should(arguments: list[str]) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_of_its_own() -> None:
    tested = (FOLDER / "alerts.test.yml").read_text()
    assert [name for name in NAMES_OF_ALERTS if name not in tested] == []
