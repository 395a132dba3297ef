"""What all pages share: who may open one, how a form is answered, and what browsers are told."""

import re
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View

from accounts.pages.forms import PageForm
from core.actor import Actor
from core.errors import InvalidInput, Problem, note
from core.language import Words

# Open to strangers. Whatever else is a `Page` is for the signed-in, wherever it is put.
PUBLIC = frozenset(
    f"/account/{name}" for name in ("signup", "verify", "verify/resend", "login", "logout", "forgot", "reset")
)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# Printable ASCII without the backslash, which browsers take for a slash, and no second slash, which begins a host.
PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*\Z")
ADDRESS = "address"
"""Where Django's session keeps the address that somebody typed, for the next step; it tells nothing of accounts."""
WANTED = "wanted"
"""Where it keeps the place that they were led away from, for a sign-in some steps later."""


class Page(View):
    """A form, shown and answered. `act` says what a good one does; a refusal is told beside the field."""

    template: ClassVar[str]
    form: ClassVar[type[PageForm]] = PageForm
    refers: ClassVar[bool] = True

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        is_known = request.user.is_authenticated  # asked on public pages too: it settles the language
        if not is_known and request.path not in PUBLIC:
            return to_log_in(request)
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.show(self.form(initial=self.initial()))

    def post(self, request: HttpRequest) -> HttpResponse:
        return self.answer(self.form(request.POST, initial=self.initial()))

    def answer(self, form: Any) -> HttpResponse:
        problem: Problem = InvalidInput()
        if form.is_valid():
            try:
                return self.act(form.data_for_service)
            except Problem as raised:
                problem = raised
                form.tell_problem(problem)
        return self.show(form, problem)

    def act(self, data: dict[str, Any]) -> HttpResponse:
        raise NotImplementedError

    def initial(self) -> dict[str, Any]:
        return {"email": self.address}

    def context(self) -> dict[str, Any]:
        return {}

    def show(self, form: Any, problem: Problem | None = None) -> HttpResponse:
        form.place_focus()
        context = {"form": form, "next": self.wanted, **self.context()}
        return show(self.request, self.template, problem, refers=self.refers, **context)

    @property
    def actor(self) -> Actor:
        return Actor.of(self.request)

    @property
    def address(self) -> str:
        return str(self.request.session.get(ADDRESS, ""))

    @property
    def wanted(self) -> str:
        return safe_next(self.request) or str(self.request.session.get(WANTED, ""))

    def remember(self, address: str) -> None:
        self.request.session[ADDRESS] = address
        if self.wanted:
            self.request.session[WANTED] = self.wanted

    def lead(self, to: str, words: Words = "") -> HttpResponse:
        """Away from here, with a word to be shown there."""
        if words:
            messages.success(self.request, str(words))
        return kept_nowhere(redirect(to))


def show(
    request: HttpRequest, template: str, problem: Problem | None = None, *, refers: bool = True, **context: Any
) -> HttpResponse:
    context = {"site": settings.SITE_NAME, "refers": refers, **context}
    response = render(request, template, context, status=problem.status_code if problem else 200)
    if problem:
        note(request, problem)
        for name, value in problem.headers.items():
            response[name] = value
    if not refers:
        response["Referrer-Policy"] = "no-referrer"
    response["Content-Security-Policy"] = POLICY
    return kept_nowhere(response)


def kept_nowhere(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response


def to_log_in(request: HttpRequest) -> HttpResponse:
    """And back from there: to the same address, but for what was to be changed by it."""
    target = request.get_full_path() if request.method in ("GET", "HEAD") else request.path
    return kept_nowhere(redirect(f"/account/login?{urlencode({'next': target})}"))


def safe_next(request: HttpRequest) -> str:
    """Where the visitor wanted to be, if that is a path of this site; else "" (CWE-601)."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    is_path = PATH.match(target) and url_has_allowed_host_and_scheme(target, allowed_hosts=None)
    return target if is_path and target.partition("?")[0] not in PUBLIC else ""
