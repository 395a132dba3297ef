from types import SimpleNamespace

from django.contrib.admin import site
from django.test import RequestFactory

from audit.models import Event


def test_the_panel_shows_events_and_changes_none():
    request = RequestFactory().get("/")
    request.user = SimpleNamespace(has_perm=lambda name: True)  # type: ignore[assignment]
    panel = site._registry[Event]
    assert panel.has_view_permission(request)
    assert not panel.has_add_permission(request)
    assert not panel.has_change_permission(request)
    assert not panel.has_delete_permission(request)
