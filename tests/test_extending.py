"""Runs the code of docs/extending.md, letter by letter."""

import importlib
import json
import re
import sys
import types
from pathlib import Path

import pytest

from accounts.tests.factories import UserFactory, signed_in
from audit.models import Event
from rbac.models import Role
from rbac.tests.factories import GrantFactory

DOCUMENT = (Path(__file__).parent.parent / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"^```python (\S+)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL))
WALKS = "".join(re.findall(r"^```text\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL))
CALL = re.compile(r"^(?P<who>\w+) +(?P<method>[A-Z]+) (?P<path>\S+)(?: (?P<body>\{.*\}))? -> (?P<status>\d+)$")


@pytest.fixture
def orders(tmp_path, monkeypatch, settings):
    """The app of the document, installed as the document says."""
    for name in ("orders/views.py", "orders/urls.py", "orders/tests/test_refunds.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(FILES[name])
    monkeypatch.syspath_prepend(tmp_path)

    wired = types.ModuleType("wired_urls")
    before = "from django.urls import include, path\nfrom config.urls import *\nurlpatterns = [*urlpatterns]\n"
    exec(before + FILES["config/urls.py"], wired.__dict__)
    monkeypatch.setitem(sys.modules, "wired_urls", wired)
    settings.ROOT_URLCONF = "wired_urls"
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "orders"]:
        del sys.modules[name]


@pytest.mark.django_db
def test_the_walk_of_the_document_goes_as_it_says(api, orders):
    people = {"ann": UserFactory(), "administrator": GrantFactory(role=Role.objects.get(name="admin")).user}
    tokens = {name: signed_in(user).pair.access for name, user in people.items()}
    lines = [line for line in WALKS.splitlines() if line]
    calls = [call for line in lines if (call := CALL.match(line))]
    assert len(calls) == len(lines) == 10
    for call in calls:
        path = call["path"].format(**{name: user.pk for name, user in people.items()})
        body = json.loads(call["body"]) if call["body"] else None
        answer = api.call(call["method"], path, body, token=tokens.get(call["who"]))
        assert answer.status_code == int(call["status"]), call[0]
    refunds = Event.objects.filter(action="order.refunded").order_by("at", "id")
    assert [event.actor_id for event in refunds] == [people["ann"].pk, people["administrator"].pk]


@pytest.mark.django_db
def test_the_test_of_the_document_passes(api, orders):
    tests = importlib.import_module("orders.tests.test_refunds")
    tests.test_whoever_holds_order_refund_refunds_and_nobody_else(api)


@pytest.mark.django_db
def test_a_refusal_by_role_is_a_problem_like_any_other(api, orders):
    answer = api.get("/orders/clerks", token=signed_in(UserFactory()).pair.access)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["required"]) == ("permission_denied", "role clerk")
