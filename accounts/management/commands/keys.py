"""`manage.py keys …`: what operators do with the keys that sign tokens."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.keys import opened
from accounts.models import Session, SigningKey
from accounts.services import keys
from core.actor import Actor
from core.errors import NotFound
from core.secrets import fingerprint

ACTOR = Actor.system("keys")


class Command(BaseCommand):
    help = "List, replace and give up the keys that sign tokens. Nobody is logged out by `rotate`."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        verbs.add_parser("list", help="all keys whose tokens may still be good, the newest first")
        verbs.add_parser("rotate", help="a new key of TOKEN_ALGORITHM signs; what the old one signed stays good")
        revoking = verbs.add_parser("revoke", help="refuse at once what this key signed, and end its sessions")
        revoking.add_argument("kid", metavar="KID", help="as `list` shows it")

    def handle(self, *, verb: str, **options: Any) -> None:
        getattr(self, verb)(**options)

    def list(self, **_: Any) -> None:
        for row in SigningKey.objects.order_by("-created_at"):
            made = f"{row.created_at:%Y-%m-%dT%H:%MZ}"
            open_ones = Session.objects.filter(key=row, ended_at=None).count()
            self.stdout.write("\t".join([row.kid, row.algorithm, made, state_of(row), f"{open_ones} sessions"]))

    def rotate(self, **_: Any) -> None:
        new = keys.rotate(ACTOR)
        self.stdout.write(f"{new.kid} ({new.algorithm}) signs from now on. What was signed before stays good.")

    def revoke(self, *, kid: str, **_: Any) -> None:
        try:
            ended = keys.revoke(ACTOR, kid)
        except NotFound:
            raise CommandError(f"There is no key {kid!r}; see manage.py keys list.") from None
        self.stdout.write(f"Revoked; {ended} sessions ended, and their owners have to log in again.")


def state_of(row: SigningKey) -> str:
    if row.revoked_at:
        return f"revoked {row.revoked_at:%Y-%m-%dT%H:%MZ}"
    if row.sealed_under != fingerprint():
        return "of another SECRET_KEY"
    if opened(row) is None:
        return "damaged"
    return f"retired {row.retired_at:%Y-%m-%dT%H:%MZ}" if row.retired_at else "signs"
