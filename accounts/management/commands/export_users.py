"""`manage.py export_users [FILE]`: everybody, as a table that `import_users` takes."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from accounts.services import exports
from core.actor import Actor
from core.progress import Progress

ACTOR = Actor.system("export_users")


class Command(BaseCommand):
    requires_system_checks = []  # they load all URLs, which costs more memory than all of the work
    help = "Write all users to a file that only you can read, or to stdout. Cells that look like formulas get a '."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", nargs="?", type=Path)
        parser.add_argument("--format", choices=["csv", "jsonl"], default="", help="else by the name of FILE, or csv")
        parser.add_argument("--with-hashes", action="store_true", help="with the hashes of the passwords; keep it safe")

    def handle(self, *, file: Path | None, format: str, with_hashes: bool, **_: Any) -> None:
        form = format or ("jsonl" if file and file.suffix in (".jsonl", ".ndjson") else "csv")
        if file is None:
            self.write(getattr(self.stdout, "buffer", None) or os.fdopen(os.dup(1), "wb"), form, with_hashes)
            return
        part = file.with_name(f"{file.name}.part")  # so that FILE is whole, or not there
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                count = self.write(out, form, with_hashes)
            part.replace(file)
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}.") from None
        finally:
            part.unlink(missing_ok=True)
        self.stdout.write(f"{count:,} users in {file}.")

    def write(self, out: BinaryIO, form: str, with_hashes: bool) -> int:
        progress, count, total = Progress(self.stderr, "users"), 0, User.objects.count()
        out.write(exports.titles(form, with_hashes))
        for rows in exports.batches(with_hashes):
            out.write(exports.lines(rows, form))
            count += len(rows)
            progress.tell(count, total)
        out.flush()
        exports.exported(ACTOR, count, with_hashes)
        progress.end()
        return count
