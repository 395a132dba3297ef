"""What staff does about somebody: each a POST to one service, which decides.

What is refused is told beside the button. Whoever lacks the permission sees no button, and gets 403 all the same.
"""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.views import View

from accounts.models import Session, User
from accounts.pages.forms import PageForm
from accounts.person.forms import ChangePersonForm, GrantRoleForm
from accounts.person.page import Refusal, person_called, role_names, show
from accounts.services import letters, users
from core.access import require
from core.actor import Actor
from core.errors import Conflict, InvalidInput, NotFound, PermissionDenied, PreconditionFailed, Problem
from core.language import Words
from rbac.models import Role
from rbac.services import grants
from rbac.views.grants import role_called


class PersonAction(View):
    """`act` calls the service and answers what is to be said when it went well. `place` is where a refusal is told."""

    needs: ClassVar[str]
    place: str
    form: PageForm | None = None

    def get(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Whoever loads a refusal anew, or comes here from the log-in."""
        return redirect("admin:accounts_user_change", object_id)

    def post(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        for permission in ("user:read", self.needs):
            require(request, permission)
        try:
            words = self.act(Actor.of(request), existing(object_id))
        except PermissionDenied:
            raise
        except Problem as problem:
            if self.form and problem.errors:
                self.form.tell_problem(problem)
            return show(request, existing(object_id), Refusal(problem, self.place, self.form))
        messages.success(request, str(words))
        return redirect("admin:accounts_user_change", object_id)

    def act(self, actor: Actor, user: User) -> Words:
        raise NotImplementedError

    def row(self) -> UUID:
        """Which of several: a device, a mail, a role. The refusal is told there."""
        self.place = self.request.POST.get("row", "")
        try:
            return UUID(self.place)
        except ValueError as error:
            raise NotFound from error

    def fill_in(self, form: PageForm) -> dict[str, Any]:
        """What the form holds for the service. Raises InvalidInput."""
        self.form = form
        if not form.is_valid():
            raise InvalidInput
        return form.data_for_service


def existing(user_id: UUID) -> User:
    if user := person_called(user_id):
        return user
    raise NotFound


class SendVerification(PersonAction):
    needs, place = "user:write", "verification"

    def act(self, actor: Actor, user: User) -> Words:
        letters.send_verification(actor, user)
        return _("The mail is on its way.")


class SendReset(PersonAction):
    needs, place = "user:write", "reset"

    def act(self, actor: Actor, user: User) -> Words:
        letters.send_reset(actor, user)
        return _("The mail is on its way.")


class SendAgain(PersonAction):
    needs, place = "user:write", "mails"

    def act(self, actor: Actor, user: User) -> Words:
        letters.send_again(actor, user, self.row())
        return _("The mail is on its way.")


class EndSession(PersonAction):
    needs, place = "session:revoke", "devices"

    def act(self, actor: Actor, user: User) -> Words:
        session = Session.objects.live().filter(user=user, pk=self.row()).select_related("user").first()
        if session is None:
            raise Conflict(_("That device was signed out already."))
        users.end_session(actor, session)
        return _("The device is signed out.")


class EndSessions(PersonAction):
    needs, place = "session:revoke", "end-sessions"

    def act(self, actor: Actor, user: User) -> Words:
        users.end_sessions_of(actor, user)
        return _("All devices are signed out.")


class Deactivate(PersonAction):
    needs, place = "user:delete", "deactivate"

    def act(self, actor: Actor, user: User) -> Words:
        users.delete_user(actor, user)
        return _("The account is deactivated.")


class Restore(PersonAction):
    needs, place = "user:delete", "restore"

    def act(self, actor: Actor, user: User) -> Words:
        users.restore_user(actor, user)
        return _("The account is active again.")


class GrantRole(PersonAction):
    needs, place = "role:assign", "grant"

    def act(self, actor: Actor, user: User) -> Words:
        data = self.fill_in(GrantRoleForm(self.request.POST, roles=role_names()))
        role = role_called(data["role"])
        grants.grant(actor, user, role, data["expires_at"])
        return _("The role %(role)s is given.") % {"role": role.name}


class WithdrawRole(PersonAction):
    needs, place = "role:assign", "roles"

    def act(self, actor: Actor, user: User) -> Words:
        role = Role.objects.filter(pk=self.row()).first()
        if role is None:
            raise NotFound
        grants.withdraw(actor, user, role)
        return _("The role %(role)s is withdrawn.") % {"role": role.name}


class ChangeProfile(PersonAction):
    needs, place = "user:write", "profile"

    def act(self, actor: Actor, user: User) -> Words:
        form = ChangePersonForm.about(user, self.request.POST, is_oneself=user.pk == actor.user_id)
        data = self.fill_in(form)
        try:
            users.change_user(actor, user, data, form.cleaned_data["read"] or None)
        except PreconditionFailed:
            raise PreconditionFailed(_("Somebody has changed this account meanwhile. Load the page again.")) from None
        return _("Saved.")


ACTIONS: dict[str, type[PersonAction]] = {
    "verification": SendVerification,
    "reset": SendReset,
    "send-again": SendAgain,
    "end-session": EndSession,
    "end-sessions": EndSessions,
    "deactivate": Deactivate,
    "restore": Restore,
    "grant": GrantRole,
    "withdraw": WithdrawRole,
    "profile": ChangeProfile,
}
