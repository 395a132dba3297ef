"""`GET /metrics`, for the networks in METRICS_ALLOW only."""

import os
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from accounts.models import Session
from accounts.services import heartbeat
from core import redis
from core.client import client_address
from core.errors import PermissionDenied, problem_response
from mail.backlog import backlog

COUNTED_AT_MOST = 10_000  # rows: a scrape must cost little however large a table is


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if not is_allowed(client_address(request)):
        return problem_response(request, PermissionDenied(_("Only the networks in METRICS_ALLOW may ask.")))
    return HttpResponse(counted() + stored(), content_type=CONTENT_TYPE_LATEST)


def is_allowed(address: str | None) -> bool:
    return address is not None and any(ip_address(address) in ip_network(allowed) for allowed in settings.METRICS_ALLOW)


def counted() -> bytes:
    """What the processes of this server counted, those that ended included; gauges of the living only."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return generate_latest(REGISTRY)
    forget_the_dead(folder)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def forget_the_dead(folder: str) -> None:
    """A worker that was killed in the middle of a hash would count as hashing for ever."""
    for file in Path(folder).glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not Path(f"/proc/{pid}").exists():
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


def stored() -> bytes:
    registry = CollectorRegistry()
    registry.register(Stores())
    return generate_latest(registry)


class Stores(Collector):
    """What stands in the database just now: the same whichever server is asked, so take the maximum of all, not the
    sum. That is also how the work of Celery's processes is seen, which nobody scrapes."""

    def collect(self) -> Iterator[Metric]:
        there = GaugeMetricFamily("muster_store_up", "Whether a store answers.", labels=["store"])
        if settings.REDIS_URL:
            there.add_metric(["redis"], redis.is_there())
        try:
            yield from self.facts()
        except Error:
            there.add_metric(["database"], 0)
        else:
            there.add_metric(["database"], 1)
        yield there

    def facts(self) -> list[Metric]:
        outbox = backlog(COUNTED_AT_MOST)
        mails = GaugeMetricFamily(
            "muster_outbox_mails", f"Mails by state, counted up to {COUNTED_AT_MOST}.", labels=["state"]
        )
        mails.add_metric(["waiting"], outbox.waiting)
        mails.add_metric(["failed"], outbox.failed)
        failures = CounterMetricFamily(
            "muster_background_failures", "Failures of background work, counted anew each day.", labels=["task"]
        )
        for task, times in heartbeat.failures().items():
            failures.add_metric([task], times)
        return [
            mails,
            gauge("muster_outbox_oldest_seconds", "Age of the oldest mail that waits.", outbox.oldest_seconds),
            gauge("muster_worker_heartbeat_age_seconds", "Since the last sign of life.", heartbeat.age()),
            gauge(
                "muster_sessions_live",
                f"Sessions that nobody ended; estimated beyond {COUNTED_AT_MOST} on PostgreSQL.",
                Session.objects.about_how_many_live(COUNTED_AT_MOST),
            ),
            failures,
        ]


def gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(name, told, value=value)
