"""Whoever reads a page is refused in words on a page; programs that ask there get problem details, as everywhere."""

import json
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _

from accounts.pages.page import POLICY, kept_nowhere
from core.errors import CONTENT_TYPE

# What problems say to programs would puzzle people.
WORDS = {
    "csrf_failed": _(
        "The form was open for too long, or it was sent from elsewhere. Nothing was changed. Open the page again, and "
        "repeat what you did."
    ),
    "body_too_large": _(
        "That is more than we take at once. A file to import may have up to 900 kB here; a larger one comes in pieces, "
        "for which JavaScript must be on, or by manage.py import_users."
    ),
    "service_unavailable": _("We cannot do this just now. Try again in a moment."),
    "internal_error": _("This is our fault, and it was written down. Try again later."),
}


AGAIN = {"csrf_failed", "body_too_large"}  # refused before anything was done, and to be sent otherwise


class PagesMiddleware:
    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        response: HttpResponse = self.get_response(request)
        is_read = request.path.startswith(("/account", "/admin")) and "text/html" in request.META.get("HTTP_ACCEPT", "")
        if is_read and response.headers.get("Content-Type") == CONTENT_TYPE:
            as_page(request, response)
        return response


def as_page(request: Any, response: HttpResponse) -> None:
    """Without a look at who is signed in, since the database may be what is away."""
    problem = json.loads(response.content)
    words = WORDS.get(problem["code"], problem["detail"])
    again = settings.PUBLIC_URL + request.path if problem["code"] in AGAIN else ""
    is_panel = request.path.startswith("/admin")
    context = {"site": settings.SITE_NAME, "problem": problem, "words": words, "again": again, "is_panel": is_panel}
    response.content = render_to_string("account/problem.html", context).encode()
    response["Content-Type"] = "text/html; charset=utf-8"
    response["Content-Security-Policy"] = POLICY
    kept_nowhere(response)
