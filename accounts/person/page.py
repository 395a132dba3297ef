"""What stands on a person's page: read in a dozen questions, however many people there are."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from accounts import limits
from accounts.models import Challenge, Session, User
from accounts.pages.forms import PageForm, words_of_waiting
from accounts.person.forms import ChangePersonForm, GrantRoleForm
from accounts.person.timeline import timeline_of
from core.errors import Problem, TooManyRequests, note
from core.language import Words
from mail.letters import LETTERS
from mail.models import OPEN, OutgoingMail
from rbac.models import Role, RoleGrant

DEVICES, MAILS, ROLES = 30, 15, 500
PERMISSIONS = (
    *("user:read", "user:write", "user:delete", "session:read", "session:revoke"),
    *("role:read", "role:assign", "audit:read"),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a service said no to, where on the page that is told, and the form as it was filled in."""

    problem: Problem
    place: str
    form: PageForm | None = None

    @property
    def words(self) -> str:
        if isinstance(self.problem, TooManyRequests):
            return f"{self.problem.detail} {words_of_waiting(self.problem)}"
        told = [str(entry["detail"]) for entry in self.problem.errors or ()]
        return " ".join(told) or self.problem.detail


@dataclass(frozen=True, slots=True)
class Mark:
    """One fact about an account, in a word and a colour."""

    words: Words
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Button:
    """Named like its action. With a warning it asks once more."""

    name: str
    words: Words
    warning: Words = ""

    @property
    def url_name(self) -> str:
        return f"admin:person-{self.name}"


@dataclass(frozen=True, slots=True)
class Sent:
    mail: OutgoingMail
    called: Words
    may_go_again: bool


def person_called(user_id: Any) -> User | None:
    return User.objects.with_clock().filter(pk=user_id).first()


def show(request: HttpRequest, user: User, refusal: Refusal | None = None) -> TemplateResponse:
    may = {name.replace(":", "_"): request.user.has_perm(name) for name in PERMISSIONS}
    context = {
        **admin.site.each_context(request),
        "title": user.full_name or user.email,
        "opts": User._meta,
        "person": user,
        "may": may,
        "marks": marks_of(user),
        "buttons": buttons_for(user, may),
        "grants": grants_of(user),
        "mails": mails_of(user),
        **sections(request, user, may, refusal),
    }
    return answer(request, context, refusal)


def answer(request: HttpRequest, context: dict[str, Any], refusal: Refusal | None) -> TemplateResponse:
    headers = {"Cache-Control": "no-store"}
    if refusal is None:
        return TemplateResponse(request, "panel/person.html", context, headers=headers)
    note(request, refusal.problem)
    if refusal.form:
        refusal.form.place_focus()
    told_at = refusal.place if refusal.place in places(context) else "top"
    context |= {"refusal": refusal, "told_at": told_at}
    problem = refusal.problem
    headers |= problem.headers
    return TemplateResponse(request, "panel/person.html", context, status=problem.status_code, headers=headers)


def places(context: dict[str, Any]) -> set[str]:
    """Where a refusal can be told; a button may have gone since it was pressed."""
    rows = [grant.role_id for grant in context["grants"]]
    rows += [device.pk for device in context.get("devices", ())]
    rows += [sent.mail.pk for sent in context["mails"]]
    forms = {name for name in ("profile", "grant") if f"{name}_form" in context}
    return {str(row) for row in rows} | {button.name for button in context["buttons"]} | forms


def grants_of(user: User) -> list[RoleGrant]:
    live = RoleGrant.objects.live().filter(user=user).select_related("role", "granted_by")
    grants = list(live.order_by("role__name"))
    # The entity tag is made of them too.
    user.held_roles = [{"id": str(grant.role_id), "name": grant.role.name} for grant in grants]
    return grants


def sections(request: HttpRequest, user: User, may: dict[str, bool], refusal: Refusal | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    refused = refusal.form if refusal else None
    if may["user_write"]:
        is_here = isinstance(refused, ChangePersonForm)
        form = refused if is_here else ChangePersonForm.about(user, is_oneself=user.pk == request.user.pk)
        found["profile_form"] = form
    if may["role_assign"] and may["role_read"]:
        found["grant_form"] = refused if isinstance(refused, GrantRoleForm) else GrantRoleForm(roles=role_names())
    if may["session_read"]:
        live = Session.objects.live().filter(user=user).order_by("-last_used_at", "-id")
        found["devices"] = list(live[:DEVICES])
    if may["audit_read"]:
        found["timeline"] = timeline_of(user, request.GET.get("older"))
    return found


def role_names() -> list[str]:
    return list(Role.objects.order_by("name").values_list("name", flat=True)[:ROLES])


def buttons_for(user: User, may: dict[str, bool]) -> list[Button]:
    has_password = user.has_usable_password()
    verify = Button("verification", _("Send verification") if has_password else _("Send invitation"))
    reset = Button("reset", _("Send password reset"))
    end = Button("end-sessions", _("Sign out everywhere"), _("All devices will be signed out at once."))
    close = Button("deactivate", _("Deactivate"), _("All devices will be signed out, and nobody signs in any more."))
    wanted = [
        may["user_write"] and user.is_active and not user.is_verified and verify,
        may["user_write"] and user.is_active and (has_password or user.is_verified) and reset,
        may["session_revoke"] and user.is_active and end,
        may["user_delete"] and (close if user.is_active else Button("restore", _("Restore"))),
    ]
    return [button for button in wanted if button]


def mails_of(user: User) -> list[Sent]:
    """The newest."""
    lives = Challenge.objects.filter(
        pk=OuterRef("challenge_id"), email=OuterRef("to"), used_at=None, voided_at=None, link_expires_at__gt=Now()
    )
    mails = OutgoingMail.objects.filter(user_id=user.pk).annotate(lives=Exists(lives)).order_by("-id")[:MAILS]
    return [sent(mail, mail.lives) for mail in mails]  # type: ignore[attr-defined]


def sent(mail: OutgoingMail, lives: bool) -> Sent:
    letter = LETTERS.get(mail.template)
    has_ended = letter is None or bool(letter.purpose and not lives)
    return Sent(mail, letter.called if letter else mail.template, mail.state not in OPEN and not has_ended)


def marks_of(user: User) -> list[Mark]:
    waits = limits.waits_of(user, user.now)
    found = [
        Mark(_("Active"), "good") if user.is_active else Mark(_("Deactivated"), "bad"),
        Mark(_("Verified"), "good") if user.is_verified else Mark(_("Not verified"), "warn"),
        not user.has_usable_password() and Mark(_("No password yet"), "warn"),
        user.is_staff and Mark(_("Staff")),
        waits.until and Mark(_("Locked until %(time)s where log-ins failed") % {"time": clock(waits.until)}, "bad"),
        waits.known_places_only and Mark(_("Log-in only from known places"), "bad"),
        waits.failures and Mark(_("Failed log-ins in a row: %(count)s") % {"count": waits.failures}, "warn"),
    ]
    return [mark for mark in found if mark]


def clock(moment: datetime) -> str:
    return date_format(moment, "TIME_FORMAT")
