"""Whether this process lives, and whether it can do its work."""

from typing import Any

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.services import heartbeat
from core import redis, replica
from core.errors import ServiceUnavailable, problem_response
from core.server import LEAVING
from mail.backlog import backlog

COUNTED_AT_MOST = 1000  # mails: anybody may ask, and balancers ask often


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 with how the outbox and the background work stand, or 503 that names what is away.

    Mails that wait, a worker that is silent and a replica that is away are told and alarmed about, but no reason to
    send no requests here.
    """
    if request.META.get(LEAVING):
        return problem_response(request, ServiceUnavailable(_("This server is leaving; others answer.")))
    detail = background()
    stores = {"database": detail is not None}
    if settings.REDIS_URL:
        stores["redis"] = redis.is_there()
    if away := [name for name, there in stores.items() if not there]:
        return problem_response(request, ServiceUnavailable(_("Away: %(stores)s.") % {"stores": ", ".join(away)}))
    followers = {"replica": replica.watch.state()} if replica.is_configured() else {}
    return JsonResponse({"status": "ok", **dict.fromkeys(stores, "ok"), **followers, **(detail or {})})


def background() -> dict[str, Any] | None:
    """Four small queries; None when the database does not answer them."""
    try:
        outbox = backlog(COUNTED_AT_MOST)
        worker = "ok" if heartbeat.is_beating() else "silent"
    except Error:
        return None
    counts = {"waiting": outbox.waiting, "oldest_seconds": outbox.oldest_seconds, "failed": outbox.failed}
    return {"outbox": counts, "worker": worker}
