"""`manage.py users …`: what operators do with accounts. The guard rails hold here as everywhere."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.addresses import parse_address
from accounts.management.commands.createsuperuser import told
from accounts.models import Session, User
from accounts.services import users
from core.actor import Actor
from core.errors import Problem
from core.filters import MomentField
from rbac.models import Role
from rbac.services.grants import grant, withdraw

ACTOR = Actor.system("users")
SHOWN = 100


class Command(BaseCommand):
    help = "List, create, deactivate and restore users; grant and revoke roles; see and end sessions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        listing = verbs.add_parser("list", help=f"the newest {SHOWN}, or those that match")
        listing.add_argument("--search", default="", help="part of e-mail, username or a name")
        creating = verbs.add_parser("create", help="make an account; its address gets an invitation")
        creating.add_argument("email")
        for verb, text in (
            ("deactivate", "soft delete"),
            ("restore", "undo it"),
            ("sessions", "list live sessions"),
            ("end-sessions", "end them all"),
        ):
            verbs.add_parser(verb, help=text).add_argument("user", help="e-mail, username or id")
        for verb in ("grant", "revoke"):
            changing = verbs.add_parser(verb, help=f"{verb} a role")
            changing.add_argument("user", help="e-mail, username or id")
            changing.add_argument("role", help="name")
            if verb == "grant":
                changing.add_argument("--until", help="ISO 8601, e.g. 2027-01-31T00:00Z")

    def handle(self, *, verb: str, **options: Any) -> None:
        try:
            getattr(self, verb.replace("-", "_"))(**options)
        except Problem as problem:
            raise CommandError(told(problem)) from None

    def list(self, *, search: str, **_: Any) -> None:
        found = User.objects.search(search) if search else User.objects.all()
        for user in found.order_by("-id")[:SHOWN]:
            states = [("", "inactive")[not user.is_active], ("unverified", "")[user.is_verified]]
            names = " ".join(filter(None, (user.first_name, user.middle_name, user.last_name)))
            self.stdout.write(
                "\t".join([str(user.pk), user.email, user.username or "", names, " ".join(states).strip()])
            )

    def create(self, *, email: str, **_: Any) -> None:
        try:
            address = parse_address(email)
        except ValueError:
            raise CommandError(f"{email!r} is no e-mail address.") from None
        user = users.create_user(ACTOR, address, None, {}, joined_by=User.JoinedBy.COMMAND)
        self.stdout.write(f"{user.pk}: an invitation is on its way to {user.email}.")

    def deactivate(self, *, user: str, **_: Any) -> None:
        users.delete_user(ACTOR, users.existing(user))
        self.stdout.write("Deactivated; all sessions ended.")

    def restore(self, *, user: str, **_: Any) -> None:
        users.restore_user(ACTOR, users.existing(user))
        self.stdout.write("Restored.")

    def sessions(self, *, user: str, **_: Any) -> None:
        for s in Session.objects.live().filter(user=users.existing(user)).order_by("-id"):
            self.stdout.write(
                f"{s.pk}\t{s.device}\t{s.ip or ''}\t{s.created_at:%Y-%m-%dT%H:%MZ}\t{s.last_used_at:%Y-%m-%dT%H:%MZ}"
            )

    def end_sessions(self, *, user: str, **_: Any) -> None:
        users.end_sessions_of(ACTOR, users.existing(user))
        self.stdout.write("All sessions ended.")

    def grant(self, *, user: str, role: str, until: str | None, **_: Any) -> None:
        try:
            expires_at = MomentField().clean(until) if until else None
        except Exception:
            raise CommandError(f"{until!r} is no moment; write 2027-01-31T00:00Z.") from None
        grant(ACTOR, users.existing(user), named(role), expires_at)
        self.stdout.write("Granted.")

    def revoke(self, *, user: str, role: str, **_: Any) -> None:
        withdraw(ACTOR, users.existing(user), named(role))
        self.stdout.write("Revoked.")


def named(name: str) -> Role:
    role = Role.objects.named(name).first()
    if role is None:
        raise CommandError(f"There is no role {name!r}.")
    return role
