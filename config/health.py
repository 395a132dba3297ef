"""Whether this process lives, and whether it can do its work."""

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from core import redis
from core.errors import ServiceUnavailable, problem_response


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200, or 503 that names what is away."""
    stores = {"database": _database_answers()}
    if settings.REDIS_URL:
        stores["redis"] = redis.is_there()
    away = [name for name, there in stores.items() if not there]
    if away:
        return problem_response(request, ServiceUnavailable(f"Away: {', '.join(away)}."))
    return JsonResponse({"status": "ok", **dict.fromkeys(stores, "ok")})


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    except Error:
        return False
    return True
