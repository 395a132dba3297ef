"""Front page, API documents, and the errors that Django itself finds."""

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.contrib.staticfiles import finders
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView
from rest_framework.request import Request

from core.errors import BadRequest, CsrfFailed, NotFound, PermissionDenied, Problem, problem_response
from core.language import ENGLISH


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    return render(request, "index.html", {"site": settings.SITE_NAME, "docs": settings.DOCS})


@extend_schema(exclude=True)
class SchemaView(SpectacularAPIView):
    """The same for everybody until the next start, so it is made once for each media type: it costs 0.2 s."""

    def _get_schema_response(self, request: Request) -> HttpResponse:
        chosen = request.accepted_renderer
        headers = {"Content-Disposition": f'inline; filename="muster.{chosen.format}"'}
        return HttpResponse(_document(chosen.media_type), content_type=chosen.media_type, headers=headers)


@lru_cache
def _document(media_type: str) -> str | bytes:
    renderer = next(known for known in SpectacularAPIView.renderer_classes if known.media_type == media_type)
    with translation.override(ENGLISH):  # whoever asks first
        made = SpectacularAPIView.generator_class().get_schema(public=True)
        return renderer().render(made, None, {})


@extend_schema(exclude=True)
class DocsView(SpectacularSwaggerSplitView):
    pass


@extend_schema(exclude=True)
class RedocView(SpectacularRedocView):
    """From our own assets, without the fonts and the logo that the stock page asks other hosts for."""

    template_name = "redoc.html"


@require_safe
def redoc_script(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_redoc(), content_type="text/javascript", headers={"Cache-Control": "max-age=86400"})


@lru_cache(maxsize=1)
def _redoc() -> bytes:
    """ReDoc's bundle without the address of its logo; an empty picture stands in for it."""
    found = finders.find("drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js")
    if not isinstance(found, str):
        raise Http404
    with open(found, "rb") as file:
        script = file.read()
    return script.replace(b"https://cdn.redoc.ly/redoc/logo-mini.svg", b"data:image/gif;base64,R0lGODlhAQABAAAAACw=")


@require_safe
def to_panel(request: HttpRequest) -> HttpResponse:
    return redirect("admin:index")


@require_safe
def to_docs(request: HttpRequest) -> HttpResponse:
    return redirect("docs")


@require_safe
def to_redoc(request: HttpRequest) -> HttpResponse:
    return redirect("redoc")


def bad_request(request: HttpRequest, exception: Any = None) -> HttpResponse:
    return problem_response(request, BadRequest())


def forbidden(request: HttpRequest, exception: Any = None) -> HttpResponse:
    return problem_response(request, PermissionDenied())


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    return problem_response(request, CsrfFailed())


def not_found(request: HttpRequest, exception: Any = None) -> HttpResponse:
    return problem_response(request, NotFound())


def server_error(request: HttpRequest) -> HttpResponse:
    return problem_response(request, Problem())
