from types import SimpleNamespace

from django.contrib.admin import site
from django.test import RequestFactory

from mail.models import OutgoingMail


def test_the_panel_shows_mails_and_changes_none():
    request = RequestFactory().get("/")
    request.user = SimpleNamespace(has_perm=lambda name: True)  # type: ignore[assignment]
    panel = site._registry[OutgoingMail]
    assert panel.has_view_permission(request)
    assert not panel.has_add_permission(request)
    assert not panel.has_change_permission(request)
    assert not panel.has_delete_permission(request)


def test_the_panel_shows_nothing_that_leads_to_a_code():
    panel = site._registry[OutgoingMail]
    assert not {"challenge_id", "context"} & {*panel.list_display, *panel.fields}
