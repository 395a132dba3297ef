"""Actions of the list of people: what is to be done, to how many and to whom, and only then the doing."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.job_models import Job
from accounts.services import bulk
from accounts.services.jobs import KINDS
from core.actor import Actor
from core.errors import PrivilegeEscalation, Problem
from rbac.guards import may_grant
from rbac.models import Role

NAMED = 10
COUNTED = 10_000

TITLES = {
    "end_sessions": gettext_lazy("End all their sessions"),
    "invite": gettext_lazy("Send the invitation again"),
    "grant": gettext_lazy("Grant a role"),
    "restore": gettext_lazy("Restore"),
    "deactivate": gettext_lazy("Deactivate"),
}


class GrantForm(forms.Form):
    """Only roles that whoever asks may grant; the service looks again."""

    role = forms.ModelChoiceField(Role.objects.none(), label=gettext_lazy("Role"), empty_label=None)
    expires_at = forms.DateTimeField(
        label=gettext_lazy("Until (UTC); empty means for ever"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}),
    )

    def __init__(self, actor: Actor, *args: Any) -> None:
        super().__init__(*args)
        field: Any = self.fields["role"]
        field.queryset = Role.objects.filter(pk__in=grantable(actor))

    def clean_expires_at(self) -> datetime | None:
        until: datetime | None = self.cleaned_data["expires_at"]
        if until and until <= timezone.now():
            raise forms.ValidationError(_("This must lie in the future."))
        return until

    def details(self) -> dict[str, Any]:
        until = self.cleaned_data["expires_at"]
        return {"role": str(self.cleaned_data["role"].pk), "expires_at": until.isoformat() if until else None}


def grantable(actor: Actor) -> list[Any]:
    found = []
    for role in Role.objects.prefetch_related("permissions"):
        try:
            may_grant(actor, role)
        except PrivilegeEscalation:
            continue
        found.append(role.pk)
    return found


class BulkActions:
    """Mixed into the list of people."""

    actions_on_bottom = False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Those that the roles of whoever looks allow, and no others."""
        allowed = [name for name in TITLES if request.user.has_perm(KINDS[f"bulk_{name}"].permission)]
        return {name: (action(name), name, TITLES[name]) for name in allowed}


def action(deed: str) -> Callable[..., HttpResponse]:
    def run(model_admin: Any, request: HttpRequest, queryset: Any) -> HttpResponse:
        selection = selected(model_admin, request)
        actor = Actor.of(request)
        form = GrantForm(actor, request.POST if confirmed(request) else None) if deed == "grant" else None
        if confirmed(request) and (form is None or form.is_valid()):
            return done(request, lambda: bulk.start(actor, deed, selection, form.details() if form else {}))
        return ask(model_admin, request, deed, selection, form)

    return run


def confirmed(request: HttpRequest) -> bool:
    return request.POST.get("confirmed") == "yes"


def selected(model_admin: Any, request: HttpRequest) -> dict[str, Any]:
    """What was ticked, or everything that the list's filters and its search let through."""
    if request.POST.get("select_across") != "1":
        return {"ids": request.POST.getlist(ACTION_CHECKBOX_NAME)}
    return {"filters": asked_of(model_admin, request)[0]}


def asked_of(model_admin: Any, request: HttpRequest) -> tuple[dict[str, str], list[str]]:
    """What narrows the list, as the API's filters and in words. Raises IncorrectLookupParameters."""
    shown = model_admin.get_changelist_instance(request)
    asked: dict[str, str] = {}
    words = []
    for spec in shown.filter_specs:
        if found := spec.asked():
            asked |= found
            words.append(f"{spec.title}: {dict(spec.lookup_choices)[spec.value()]}")
    if text := shown.query.strip():
        asked["search"] = text
        words.append(_("Search: %s") % text)
    return asked, words


def ask(model_admin: Any, request: HttpRequest, deed: str, selection: dict[str, Any], form: Any) -> HttpResponse:
    people = bulk.chosen({**selection, "until": timezone.now().isoformat()})
    count = people.values("pk")[: COUNTED + 1].count()
    context = {
        **model_admin.admin_site.each_context(request),
        "title": TITLES[deed],
        "opts": model_admin.opts,
        "deed": deed,
        "count": min(count, COUNTED),
        "is_more": count > COUNTED,
        "in_background": count > bulk.AT_ONCE,
        "named": list(people.order_by("pk")[:NAMED]),
        "unnamed": max(0, min(count, COUNTED) - NAMED),
        "form": form,
        "ids": selection.get("ids", []) if request.POST.get("select_across") != "1" else ["all"],
        "across": request.POST.get("select_across", "0"),
        "list_url": request.get_full_path(),
    }
    return TemplateResponse(request, "panel/bulk.html", context)


def done(request: HttpRequest, start: Callable[[], Job]) -> HttpResponse:
    try:
        job = start()
    except Problem as problem:
        messages.error(request, problem.detail)
        return HttpResponseRedirect(request.get_full_path())
    if job.is_open or job.failed or job.state != Job.State.DONE:
        return HttpResponseRedirect(reverse("admin:job", args=[job.pk]))
    messages.success(request, ngettext("%d person: done.", "%d people: done.", job.done) % job.done)
    return HttpResponseRedirect(request.get_full_path())
