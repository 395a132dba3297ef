"""What stands at the panel's side, for whoever may see it."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _


def groups(request: HttpRequest) -> list[dict[str, Any]]:
    """In unfold's words. A list stands here for those who may see it, as it does on the front page."""
    may_import = request.user.has_perm("user:import")
    return [
        {"items": [entry(_("Overview"), "dashboard", "index")]},
        {
            "title": _("People"),
            "items": [
                shown(request, _("Users"), "group", "accounts.user"),
                shown(request, _("Sessions"), "devices", "accounts.session"),
                shown(request, _("Codes and links"), "pin", "accounts.challenge"),
                {**entry(_("Import people"), "upload", "import"), "permission": lambda _: may_import},
            ],
        },
        {
            "title": _("Access"),
            "items": [
                shown(request, _("Roles"), "badge", "rbac.role"),
                shown(request, _("Granted roles"), "assignment_ind", "rbac.rolegrant"),
                shown(request, _("Permissions"), "key", "rbac.permission"),
            ],
        },
        {
            "title": _("Watch"),
            "items": [
                shown(request, _("Audit"), "history", "audit.event"),
                shown(request, _("Mails"), "mail", "mail.outgoingmail"),
                shown(request, _("Failed log-ins"), "lock", "accounts.failedlogins"),
                shown(request, _("Known places"), "location_on", "accounts.knownplace"),
                shown(request, _("Limits"), "speed", "accounts.counter"),
            ],
        },
    ]


def shown(request: HttpRequest, title: str, icon: str, model: str) -> dict[str, Any]:
    app, name = model.split(".")
    may_see = request.user.has_perm(f"{app}.view_{name}")
    return {**entry(title, icon, f"{app}_{name}_changelist"), "permission": lambda _request: may_see}


def entry(title: str, icon: str, name: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(f"admin:{name}")}
