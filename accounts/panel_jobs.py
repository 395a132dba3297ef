"""How far a piece of long work has come: a page for whoever asked for it, that looks again by itself."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts import panel_exports, panel_imports
from accounts.errors import AlreadyAccepted
from accounts.job_models import Job
from accounts.services import jobs
from core.actor import Actor
from core.errors import LastAdministrator, NotFound, OwnAccount, PrivilegeEscalation, Problem
from core.panel_lists import addresses_of
from core.panel_look import IS_DRESSED

WORDS = {
    "bulk_deactivate": _("Deactivating people"),
    "bulk_restore": _("Restoring people"),
    "bulk_end_sessions": _("Ending sessions"),
    "bulk_invite": _("Sending invitations again"),
    "bulk_grant": _("Granting a role"),
    "export_users": _("Exporting people"),
}
MORE = {"import_users": panel_imports.facts, "export_users": panel_exports.facts}
STATES = {
    "waiting": _("waiting for its turn"),
    "running": _("under way"),
    "done": _("done"),
    "failed": _("failed"),
    "cancelled": _("cancelled"),
}
REFUSALS = {
    problem.code: problem.title
    for problem in (AlreadyAccepted, LastAdministrator, NotFound, OwnAccount, PrivilegeEscalation)
}


def page(site: Any, request: HttpRequest, job_id: UUID) -> HttpResponse:
    """GET looks, POST cancels. Somebody else's is not there."""
    job = Job.objects.asked_by(request.user.pk).filter(pk=job_id).first()
    if job is None:
        raise Http404
    if request.method == "POST":
        try:
            jobs.cancel(Actor.of(request), job)
        except Problem as problem:
            messages.warning(request, problem.detail)
        return HttpResponseRedirect(request.path)
    context = {
        **site.each_context(request),
        "is_dressed": IS_DRESSED,
        "title": WORDS.get(job.kind, job.kind),
        **facts(job),
    }
    if more := MORE.get(job.kind):
        context |= more(request, job)
    return TemplateResponse(request, "panel/job.html", context)


def facts(job: Job) -> dict[str, Any]:
    refused = [(REFUSALS.get(code, code), count) for code, count in job.outcome.get("refused", {}).items()]
    who = [(UUID(user_id), code) for user_id, code in job.outcome.get("who", [])]
    names = addresses_of(user_id for user_id, _code in who)
    return {
        "job": job,
        "job_state": STATES[job.state],
        "reason": jobs.told(job),
        "succeeded": job.done - job.failed,
        "refused": refused,
        "who": [(user_id, names.get(user_id, "?"), REFUSALS.get(code, code)) for user_id, code in who],
        "back": reverse("admin:accounts_user_changelist"),
    }
