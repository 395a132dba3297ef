"""`GET /metrics`, for the networks in METRICS_ALLOW only."""

import os
from ipaddress import ip_address, ip_network

from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from accounts.models import Session
from core.client import client_address
from core.errors import PermissionDenied, problem_response
from mail.models import OutgoingMail


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if not is_allowed(client_address(request)):
        return problem_response(request, PermissionDenied("Only the networks in METRICS_ALLOW may ask."))
    return HttpResponse(counted() + stored(), content_type=CONTENT_TYPE_LATEST)


def is_allowed(address: str | None) -> bool:
    return address is not None and any(ip_address(address) in ip_network(allowed) for allowed in settings.METRICS_ALLOW)


def counted() -> bytes:
    """What the processes counted."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def stored() -> bytes:
    """What stands in the database just now."""
    registry = CollectorRegistry()
    mails = Gauge("muster_outbox_mails", "Mails by state.", ["state"], registry=registry)
    for state, number in OutgoingMail.objects.values_list("state").annotate(Count("pk")).order_by():
        mails.labels(state).set(number)
    Gauge("muster_sessions_live", "Live sessions.", registry=registry).set(Session.objects.live().count())
    return generate_latest(registry)
