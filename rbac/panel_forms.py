"""Roles and permissions as forms of the panel. They ask the services, and say what those refuse."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.errors import Problem
from rbac.models import Permission, Role
from rbac.names import valid_part, valid_role_name

Deed = Callable[[], object]


class EmptyForm(forms.Form):
    pass


class RoleForm(forms.Form):
    name = forms.CharField(max_length=50, validators=[valid_role_name], label=gettext_lazy("Name"))
    description = forms.CharField(max_length=500, required=False, label=gettext_lazy("Description"))
    permissions = forms.MultipleChoiceField(
        required=False, label=gettext_lazy("Permissions"), widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["permissions"]
        field.choices = [(p.name, f"{p.name} · {_(p.description)}" if p.description else p.name) for p in every()]


class PermissionForm(forms.Form):
    resource = forms.CharField(max_length=50, validators=[valid_part], label=gettext_lazy("Resource"))
    action = forms.CharField(max_length=50, validators=[valid_part], label=gettext_lazy("Action"))
    description = forms.CharField(max_length=500, required=False, label=gettext_lazy("Description"))


def every() -> list[Permission]:
    return list(Permission.objects.order_by("resource", "action"))


def of_role(role: Role) -> dict[str, Any]:
    return {"name": role.name, "description": role.description, "permissions": role.permission_names()}


def sent(request: HttpRequest) -> Any:
    """What a form is made from; a form without fields is sent as well."""
    return request.POST if request.method == "POST" else None


def needs(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied


def answer(request: HttpRequest, site: Any, form: forms.Form, deed: Deed, back: str, **context: Any) -> HttpResponse:
    """The form, or, once the service has done what was asked, the way back."""
    if request.method == "POST" and form.is_valid() and is_done(form, deed):
        messages.success(request, _("Saved."))
        return HttpResponseRedirect(back)
    return TemplateResponse(
        request, "panel/form.html", {**site.each_context(request), "form": form, "back": back, **context}
    )


def is_done(form: forms.Form, deed: Deed) -> bool:
    try:
        deed()
    except Problem as problem:
        for entry in problem.errors or [{"field": None, "detail": problem.detail}]:
            field = str(entry["field"]).split(".")[0]
            form.add_error(field if field in form.fields else None, entry["detail"])
        return False
    return True
