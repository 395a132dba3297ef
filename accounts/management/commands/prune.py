"""`manage.py prune`: the clean-up, now."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from accounts.services.cleanup import clean_up
from audit.services import prune
from core.clock import database_now
from mail.delivery import delete_old


class Command(BaseCommand):
    help = "Delete what has had its time: sessions, challenges, counters, sign-ups never verified, mails, old events."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--audit-days", type=int, default=settings.AUDIT_DAYS, help="keep events this long")

    def handle(self, *, audit_days: int, **_: Any) -> None:
        deleted = {
            **clean_up(),
            "mails": delete_old(),
            "events": prune(database_now() - timedelta(days=audit_days)),
        }
        self.stdout.write("\n".join(f"{name}: {count}" for name, count in deleted.items()))
