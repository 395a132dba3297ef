"""`manage.py createsuperuser`: a verified administrator."""

import getpass
import os
import secrets
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.addresses import parse_address
from accounts.models import User
from accounts.services.users import create_user
from core.actor import Actor
from core.errors import Problem
from rbac.builtin import ADMIN
from rbac.models import Role, RoleGrant
from rbac.services.grants import grant

FIRST = "admin@example.com"


class Command(BaseCommand):
    help = "Make a verified staff member with the role `admin`."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", default=os.environ.get("DJANGO_SUPERUSER_EMAIL"))
        parser.add_argument("--username", default=os.environ.get("DJANGO_SUPERUSER_USERNAME"))
        parser.add_argument("--noinput", "--no-input", action="store_false", dest="interactive")
        parser.add_argument(
            "--first",
            action="store_true",
            help="Only where there is no administrator; the password is printed once.",
        )

    def handle(self, *, email: str | None, username: str | None, interactive: bool, first: bool, **_: Any) -> None:
        if first:
            self.make_first(email or FIRST)
            return
        password = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
        if interactive:
            email = email or input("E-mail: ")
            password = password or asked_twice()
        if not email or not password:
            raise CommandError("Set DJANGO_SUPERUSER_EMAIL and DJANGO_SUPERUSER_PASSWORD, or leave out --noinput.")
        self.make(email, password, username)
        self.stdout.write(f"{email} is an administrator now.")

    def make_first(self, email: str) -> None:
        if RoleGrant.objects.of_administrators().exists():
            return
        password = secrets.token_urlsafe(18)
        self.make(email, password, None)
        self.stdout.write(f"First administrator: {email}\nPassword, shown only this once: {password}")

    def make(self, email: str, password: str, username: str | None) -> User:
        actor = Actor.system("createsuperuser")
        try:
            address = parse_address(email)
        except ValueError:
            raise CommandError(f"{email!r} is no e-mail address.") from None
        try:
            with transaction.atomic():
                user = create_user(
                    actor,
                    address,
                    password,
                    {"username": username} if username else {},
                    is_verified=True,
                    is_staff=True,
                    joined_by=User.JoinedBy.COMMAND,
                )
                grant(actor, user, Role.objects.get(name=ADMIN))
        except Problem as problem:
            raise CommandError(told(problem)) from None
        return user


def asked_twice() -> str:
    if not sys.stdin.isatty():
        raise CommandError("There is nobody to ask for a password: set DJANGO_SUPERUSER_PASSWORD and use --noinput.")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Again: "):
        raise CommandError("The two passwords differ.")
    return password


def told(problem: Problem) -> str:
    """One line per thing to mend."""
    return "\n".join(f"{e['field']}: {e['detail']}" for e in problem.errors or []) or problem.detail
