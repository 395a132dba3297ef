"""The one place that knows django-unfold: what the panel's lists and forms are made of.

Without "unfold" in INSTALLED_APPS Django's own admin stands in, plainer, and everything works on (docs/adr/0036).
"""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.admin.views.main import ChangeList as StockChangeList
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.safestring import SafeString

F = TypeVar("F", bound=Callable[..., Any])
IS_DRESSED = apps.is_installed("unfold")

ModelAdmin: Any = admin.ModelAdmin
AdminSite: Any = admin.AdminSite
ChangeList: Any = StockChangeList
LogInForm: Any = AdminAuthenticationForm
PasswordForm: Any = AdminPasswordChangeForm
if IS_DRESSED:
    from unfold import admin as unfold_admin
    from unfold import forms as unfold_forms
    from unfold import sites as unfold_sites

    ModelAdmin, ChangeList = unfold_admin.ModelAdmin, unfold_admin.ChangeList
    LogInForm, PasswordForm = unfold_forms.AuthenticationForm, unfold_forms.AdminOwnPasswordChangeForm

    class AdminSite(unfold_sites.UnfoldAdminSite):  # type: ignore[no-redef]
        def search(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
            """Unfold's keeps what it found in the cache, past the end of the role that let it be seen."""
            raise Http404


class LookOnly(ModelAdmin):
    """A list and its rows to look at: no form of the panel goes around a service, a guard rail or the audit.

    Who may look is what the roles say, and nobody else: Django would show it also to whoever may only write.
    """

    show_full_result_count = False
    hidden: ClassVar[tuple[str, ...]] = ()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.view_{self.opts.model_name}")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        own: Any = self.fields
        return own or [field.name for field in self.model._meta.fields if field.name not in self.hidden]


def display(*, label: dict[str, str] | None = None, **options: Any) -> Callable[[F], F]:
    """`admin.display`; with `label` what it says is a mark in a colour, by `{value: "success" | "danger" | …}`.

    The function then answers (value, words), and the words stay words where there are no colours.
    """

    def decorate(function: Any) -> Any:
        if IS_DRESSED and label is not None:
            function.label = label
        elif label is not None:
            function = _words_of(function)
        return admin.display(function, **options)

    return decorate


def _words_of(function: Any) -> Any:
    def words(*args: Any) -> str | SafeString | Promise:
        told = function(*args)
        return told[1] if isinstance(told, tuple) else told  # type: ignore[no-any-return]

    words.__name__ = function.__name__
    return words
