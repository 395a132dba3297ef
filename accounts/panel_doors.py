"""The panel's pages beside its lists: who may open them, and files that are taken away through them."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_POST

from accounts import stored_files
from accounts.job_models import StoredFile

TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}


def door(
    site: Any, permission: str, route: str, view: Callable[..., Any], name: str, *, only_post: bool = False
) -> URLPattern:
    """`view(site, request, …)` behind the panel's log-in, for holders of the permission. Nothing of it is cached."""
    bound: Any = partial(view, site)
    entrance = partial(entered, permission, require_POST(bound) if only_post else bound)
    found: URLPattern = path(route, site.admin_view(entrance), name=name)
    return found


def entered(permission: str, view: Callable[..., Any], request: HttpRequest, **parts: Any) -> Any:
    if not request.user.has_perm(permission):
        raise PermissionDenied
    return view(request, **parts)


def download(file: StoredFile) -> StreamingHttpResponse:
    """A file that nobody adds to any more. Its length is told, so that one that was cut off is not taken for whole."""
    response = StreamingHttpResponse(stored_files.pieces(file), content_type=TYPES[file.name.rpartition(".")[2]])
    response["Content-Length"] = str(file.size)
    response["Content-Disposition"] = content_disposition_header(True, file.name) or "attachment"
    return response
