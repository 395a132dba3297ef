"""Forms of the pages. They hold no rule: what is typed goes through the serializers of the API, to the services."""

import re
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.serializers import auth, myself
from accounts.serializers.users import ChangeMyselfSerializer
from core.errors import Problem, TooManyRequests
from core.language import spoken
from mail.lifetimes import lifetime

# Problems that are of one field, though nobody says so.
PLACES = {"invalid_code": "code", "invalid_credentials": "password"}


class PageForm(forms.Form):
    """`data_for_service` is what the serializer made of it."""

    serializer: ClassVar[Any] = None
    takes_focus: ClassVar[bool] = True
    data_for_service: dict[str, Any]

    def __init__(self, data: Any = None, initial: Any = None) -> None:
        super().__init__(data, initial=initial, auto_id="%s", label_suffix="")

    def clean(self) -> None:
        self.data_for_service = dict(self.cleaned_data)
        if self.serializer:
            body = self.serializer(data=self.payload())
            if body.is_valid():
                self.data_for_service = dict(body.validated_data)
            for field, details in body.errors.items():
                self.tell(field, details)

    def payload(self) -> dict[str, Any]:
        return self.cleaned_data

    def tell(self, field: str | None, words: Any) -> None:
        if not (field in self.errors and field is not None):  # one is enough to read
            self.add_error(field if field in self.fields else None, words)

    def tell_problem(self, problem: Problem) -> None:
        if isinstance(problem, TooManyRequests):
            self.tell(None, words_of_waiting(problem))
        elif problem.errors:
            for entry in problem.errors:
                self.add_error(entry["field"] if entry["field"] in self.fields else None, entry["detail"])
        else:
            self.tell(PLACES.get(problem.code), problem.detail)

    def place_focus(self) -> None:
        """Where something is wrong, else where nothing is typed yet."""
        fields = self.visible_fields()
        wrong = [field for field in fields if field.errors]
        empty = [field for field in fields if not field.value()] if self.takes_focus else []
        for field in (wrong or empty)[:1]:
            field.field.widget.attrs["autofocus"] = True


def words_of_waiting(problem: Problem) -> str:
    seconds = max(1, problem.retry_after or 1)
    time = lifetime(seconds if seconds <= 60 else -(-seconds // 60) * 60, spoken())
    if problem.code == "too_many_attempts":
        return _("Too many failed attempts. Try again in %(time)s, or set a new password.") % {"time": time}
    return _("Too many requests. Try again in %(time)s.") % {"time": time}


def line(label: Any, autocomplete: str, *, required: bool = True, hint: Any = "", **attrs: Any) -> forms.CharField:
    """What must be filled in, the serializers know; the browser is told in advance."""
    widget = forms.TextInput(attrs={"autocomplete": autocomplete, **({"required": True} if required else {}), **attrs})
    return forms.CharField(label=label, required=False, strip=False, help_text=hint, widget=widget)


def address(label: Any, autocomplete: str = "email") -> forms.CharField:
    widget = forms.EmailInput(attrs={"autocomplete": autocomplete, "required": True, "maxlength": 254})
    return forms.CharField(label=label, required=False, widget=widget)


def secret(label: Any, autocomplete: str, hint: Any = "") -> forms.CharField:
    """Byte for byte, and never shown again."""
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete, "required": True})
    return forms.CharField(label=label, required=False, strip=False, help_text=hint, widget=widget)


def new_secret(label: Any) -> forms.CharField:
    hint = format_lazy(
        _("At least {count} characters. A few words are better than one."), count=settings.PASSWORD_MIN_LENGTH
    )
    return secret(label, "new-password", hint)


class CodeField(forms.CharField):
    """Six digits, however they were copied: "123 456" too."""

    widget = forms.TextInput(
        attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "required": True, "maxlength": 20}
    )

    def __init__(self) -> None:
        super().__init__(label=_("Code from the mail"), required=False, help_text=_("Six digits."))

    def to_python(self, value: Any) -> str:
        return re.sub(r"[\s\-\u2010-\u2015]+", "", super().to_python(value) or "")


class SignUpForm(PageForm):
    serializer = auth.SignUpSerializer
    email = address(_("E-mail"))
    password = new_secret(_("Password"))


class LogInForm(PageForm):
    serializer = auth.LogInSerializer
    email = line(_("E-mail or username"), "username", autocapitalize="none", spellcheck="false", maxlength=254)
    password = secret(_("Password"), "current-password")

    def payload(self) -> dict[str, Any]:
        return {**self.cleaned_data, "email": self.cleaned_data["email"].strip()}


class AddressForm(PageForm):
    serializer = auth.AddressSerializer
    email = address(_("E-mail"))


class CodeForm(PageForm):
    """`known` is an address typed a step before: it needs no field then."""

    serializer = auth.ProofSerializer
    email = address(_("E-mail"))
    code = CodeField()

    def __init__(self, data: Any = None, initial: Any = None) -> None:
        super().__init__(data, initial)
        known = self.initial.get("email")
        if known and self.data.get("email", known) == known:
            self.fields["email"].widget = forms.HiddenInput()


class ResetForm(CodeForm):
    serializer = auth.ResetSerializer
    new_password = new_secret(_("New password"))


class LinkResetForm(PageForm):
    """The token of the link is all that it needs besides; the services say what is wrong with either."""

    new_password = new_secret(_("New password"))


class ChangePasswordForm(PageForm):
    serializer = myself.ChangePasswordSerializer
    current_password = secret(_("Present password"), "current-password")
    new_password = new_secret(_("New password"))


class ChangeEmailForm(PageForm):
    serializer = myself.ChangeEmailSerializer
    new_email = address(_("New e-mail"))
    password = secret(_("Password"), "current-password")


class ConfirmEmailForm(PageForm):
    serializer = myself.ConfirmEmailSerializer
    code = CodeField()


class CloseForm(PageForm):
    serializer = myself.CloseAccountSerializer
    password = secret(_("Password"), "current-password")


class ProfileForm(PageForm):
    serializer = ChangeMyselfSerializer
    takes_focus = False
    username = line(
        _("Username"),
        "username",
        required=False,
        hint=_("You may sign in with it instead of the address."),
        autocapitalize="none",
        spellcheck="false",
    )
    first_name = line(_("First name"), "given-name", required=False)
    middle_name = line(_("Middle name"), "additional-name", required=False)
    last_name = line(_("Last name"), "family-name", required=False)
    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES, required=False)

    def payload(self) -> dict[str, Any]:
        return {**self.cleaned_data, "username": self.cleaned_data["username"] or None}
