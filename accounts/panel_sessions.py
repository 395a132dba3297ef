"""What staff does to sessions in their list: end those ticked, or everybody's but their own."""

from typing import Any

from django.contrib import messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import Session
from accounts.services import users
from core.actor import Actor
from core.errors import Problem

NEEDED = "session:revoke"
NAMED = 10
COUNTED = 10_000


class SessionActions:
    """Mixed into the list of sessions."""

    actions_on_bottom = False
    change_list_template = "panel/sessions.html"

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        if not request.user.has_perm(NEEDED):
            return {}
        return {"end": (end_ticked, "end", gettext_lazy("End these sessions"))}

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        may_end = request.user.has_perm(NEEDED)
        return super().changelist_view(request, {**(extra_context or {}), "may_end": may_end})  # type: ignore[misc]

    def get_urls(self) -> Any:
        site: Any = self.admin_site  # type: ignore[attr-defined]
        own = path("end-others/", site.admin_view(self.end_others), name="end_other_sessions")
        return [own, *super().get_urls()]  # type: ignore[misc]

    def end_others(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm(NEEDED):
            raise PermissionDenied
        actor = Actor.of(request)
        others = Session.objects.live().exclude(user=actor.user)
        if request.method != "POST":
            return ask(self, request, others, gettext_lazy("End all sessions but mine"), [])
        try:
            ended = users.end_everyones_sessions(actor)
        except Problem as problem:
            messages.error(request, problem.detail)
        else:
            messages.success(request, ngettext("%d session ended.", "%d sessions ended.", ended) % ended)
        return HttpResponseRedirect(reverse("admin:accounts_session_changelist"))


def end_ticked(model_admin: Any, request: HttpRequest, queryset: Any) -> HttpResponse | None:
    """Those of the page that are ticked; everybody's end by the other button."""
    ids = request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)
    ticked = Session.objects.live().filter(pk__in=ids).select_related("user")
    if request.POST.get("confirmed") != "yes":
        return ask(model_admin, request, ticked, gettext_lazy("End these sessions"), ids)
    actor, ended = Actor.of(request), 0
    for session in ticked:
        try:
            users.end_session(actor, session)
        except Problem as problem:
            messages.error(request, f"{session.user.email}: {problem.detail}")
        else:
            ended += 1
    messages.success(request, ngettext("%d session ended.", "%d sessions ended.", ended) % ended)
    return None


def ask(model_admin: Any, request: HttpRequest, sessions: Any, title: Any, ids: list[str]) -> HttpResponse:
    count = sessions.values("pk")[: COUNTED + 1].count()
    named = sessions.select_related("user").order_by("-id")[:NAMED]
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.opts,
        "count": min(count, COUNTED),
        "is_more": count > COUNTED,
        "named": named,
        "unnamed": max(0, min(count, COUNTED) - NAMED),
        "ids": ids,
        "list_url": request.get_full_path(),
        "back": reverse("admin:accounts_session_changelist"),
    }
    return TemplateResponse(request, "panel/end_sessions.html", context)
