from typing import Any

from django.core.management.base import BaseCommand

from rbac.services import sync_permissions


class Command(BaseCommand):
    help = "Make the built-in permissions and the system roles exist. Every `migrate` does this too."

    def handle(self, *args: Any, **options: Any) -> None:
        sync_permissions()
        self.stdout.write("The built-in permissions and system roles are there.")
