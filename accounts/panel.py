"""The staff panel's front door: our log-in, our limits, our sessions."""

from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _

from accounts import panel_exports, panel_imports, panel_jobs, panel_overview, panel_uploads
from accounts.services import pages, passwords
from core.actor import Actor
from core.errors import Problem, TooManyRequests
from core.panel_look import AdminSite, LogInForm, PasswordForm


class PanelLogInForm(LogInForm):
    """Asks `accounts.services`, so the panel has the limits and the audit of the API."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("E-mail or username")

    def clean(self) -> dict[str, Any]:
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if name and password:
            try:
                self.user_cache = pages.sign_in(self.request, name, password)
            except Problem as problem:
                raise ValidationError(problem.detail, code=problem.code) from problem
            try:
                self.confirm_login_allowed(self.user_cache)
            except ValidationError:
                pages.sign_out(self.request)
                raise
        return dict(self.cleaned_data)


class PanelPasswordForm(PasswordForm):
    """One's own password, changed by the service that ends the other sessions and tells the owner."""

    request: HttpRequest

    def clean_old_password(self) -> str:
        return str(self.cleaned_data["old_password"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                passwords.change(Actor.of(self.request), cleaned["old_password"], cleaned["new_password1"])
            except Problem as problem:
                is_old = isinstance(problem, TooManyRequests) or (problem.errors or [{}])[0]["code"] == "wrong_password"
                told = [entry["detail"] for entry in problem.errors or []] or [problem.detail]
                self.add_error("old_password" if is_old else "new_password1", told)
        return cleaned

    def save(self, commit: bool = True) -> Any:
        self.user.refresh_from_db(fields=["password"])
        return self.user


class PanelSite(AdminSite):
    login_form = PanelLogInForm
    site_header = site_title = settings.SITE_NAME
    index_title = _("Staff panel")

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return bool(user.is_authenticated and user.is_active and user.is_staff)

    def get_urls(self) -> Any:
        own = path("jobs/<uuid:job_id>/", self.admin_view(partial(panel_jobs.page, self)), name="job")
        tables = [url for pages in (panel_uploads, panel_imports, panel_exports) for url in pages.urls(self)]
        return [own, *tables, *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        context = {**self.each_context(request), "title": self.index_title, **panel_overview.context(request)}
        request.current_app = self.name
        return TemplateResponse(request, "panel/overview.html", context)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if request.method == "POST":
            pages.sign_out(request)
        response: HttpResponse = super().logout(request, extra_context)
        return response

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        form = type("BoundPasswordForm", (PanelPasswordForm,), {"request": request})
        view = PasswordChangeView.as_view(
            form_class=form,
            success_url=reverse("admin:password_change_done"),
            extra_context={**self.each_context(request), **(extra_context or {})},
            template_name="registration/password_change_form.html",
        )
        return view(request)
