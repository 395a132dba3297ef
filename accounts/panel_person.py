"""One person's page in the panel. `accounts.admin.UserAdmin` has the list of people and takes the rest from here."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _

from accounts.person.actions import ACTIONS
from accounts.person.page import person_called, show
from core.panel_look import LookOnly


class PersonPage(LookOnly):
    """The page instead of a form, and what its buttons do."""

    def get_urls(self) -> list[URLPattern]:
        of_person = [
            path(f"<uuid:object_id>/{name}/", self.admin_site.admin_view(action.as_view()), name=f"person-{name}")
            for name, action in ACTIONS.items()
        ]
        return [*of_person, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's form for a change would go around the services."""
        if request.method not in ("GET", "HEAD") or not request.user.has_perm("user:read"):
            raise PermissionDenied
        with suppress(ValueError):
            if person := person_called(UUID(object_id)):
                return show(request, person)
        messages.warning(request, str(_("This account is no longer there.")))
        return redirect("admin:accounts_user_changelist")
