"""What staff types on somebody's page. As on the other pages, the serializers of the API say what is good."""

from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.etag import etag_of
from accounts.models import User
from accounts.pages.forms import PageForm, address, line
from accounts.serializers.users import ChangeUserSerializer
from accounts.services.profile import PROFILE
from rbac.serializers import GrantRoleSerializer


class ChangePersonForm(PageForm):
    """`read` is the entity tag of what was shown: whoever saves over a change made meanwhile is told so."""

    serializer = ChangeUserSerializer
    takes_focus = False
    email = address(_("E-mail"), "off")
    username = line(_("Username"), "off", required=False, autocapitalize="none", spellcheck="false")
    first_name = line(_("First name"), "off", required=False)
    middle_name = line(_("Middle name"), "off", required=False)
    last_name = line(_("Last name"), "off", required=False)
    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES, required=False)
    read = forms.CharField(widget=forms.HiddenInput, required=False)

    @classmethod
    def about(cls, user: User, data: Any = None, *, is_oneself: bool) -> "ChangePersonForm":
        shown = {name: getattr(user, name) for name in ("email", *PROFILE)}
        form = cls(data, initial={**shown, "read": etag_of(user)})
        if is_oneself:  # one's own address changes by proof only
            del form.fields["email"]
        return form

    def payload(self) -> dict[str, Any]:
        return {**self.cleaned_data, "username": self.cleaned_data["username"] or None}


class GrantRoleForm(PageForm):
    serializer = GrantRoleSerializer
    takes_focus = False
    role = forms.CharField(label=_("Role"), required=False, widget=forms.Select(attrs={"required": True}))
    expires_at = forms.DateField(
        label=_("Until the end of"),
        required=False,
        help_text=_("By UTC. Empty: without an end."),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, data: Any = None, *, roles: list[str]) -> None:
        super().__init__(data)
        self.fields["role"].widget.choices = [("", "—"), *((name, name) for name in roles)]

    def payload(self) -> dict[str, Any]:
        day = self.cleaned_data.get("expires_at")
        end = datetime.combine(day, time.max, UTC) if day else None
        return {"role": self.cleaned_data.get("role", ""), "expires_at": end}
