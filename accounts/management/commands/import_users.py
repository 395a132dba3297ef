"""`manage.py import_users FILE`: take over people from another system."""

import hashlib
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError

from accounts import stored_files
from accounts.import_rows import FIELDS
from accounts.job_models import Job, StoredFile
from accounts.services import imports, jobs
from accounts.services.import_batches import RESULTS
from accounts.table_files import FileRefused
from core.actor import Actor
from core.progress import Progress

ACTOR = Actor.system("import_users")
PIECE = 512 * 1024
SLICE_SECONDS = 1.0
NOT_ALL = 3  # the exit code when some rows were refused
SHOWN = 20


class Command(BaseCommand):
    help = (
        "Take over users from a CSV or JSON Lines file in UTF-8. Existing accounts, found by external_id or e-mail, "
        "keep their password, address, state and roles. Exit code: 0 all rows taken, 1 nothing or not to the end, "
        f"{NOT_ALL} some rows refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="say what would happen to each row; change nothing")
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="THEIRS=OURS",
            help=f"a column of theirs; ours are {', '.join(FIELDS)}, and - for one that does not matter",
        )
        parser.add_argument("--report", type=Path, metavar="FILE", help="write the report of each row there, as CSV")
        parser.add_argument("--invite", action="store_true", help="mail whoever has no password, or no proved address")
        parser.add_argument("--format", choices=["csv", "jsonl"], default="", help="else it is seen")

    def handle(self, *, file: Path, report: Path | None, **options: Any) -> None:
        try:
            job = self.begun(file, mapping_of(options["map"]), options)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
        except FileRefused as refusal:
            raise CommandError(f"{refusal.detail} ({refusal.code})\nNothing was changed.") from None
        try:
            job = self.worked(job)
        except KeyboardInterrupt:
            jobs.cancel(ACTOR, job)
            raise CommandError("Stopped. What was taken over stays; run it again to go on.", returncode=130) from None
        self.tell(job, report)

    def begun(self, file: Path, mapping: dict[str, str], options: dict[str, Any]) -> Job:
        """The same import, if one was cut short: it goes on where it was."""
        how = {"dry_run": options["dry_run"], "invite": options["invite"], "file_format": options["format"]}
        with file.open("rb") as source:
            digest = hashlib.sha256(repr((sorted(mapping.items()), how)).encode())
            for piece in pieces_of(source):
                digest.update(piece)
            same = Job.objects.open().filter(kind="import_users", actor_id=None)
            if job := same.filter(parameters__digest=digest.hexdigest()).first():
                self.stderr.write(f"Going on after {job.done:,} rows.")
                return job
            source.seek(0)
            stored = stored_files.store(None, file.name, pieces_of(source))
        try:
            return imports.start(ACTOR, stored, mapping, digest=digest.hexdigest(), **how)
        except BaseException:
            stored_files.delete(stored)
            raise

    def worked(self, job: Job) -> Job:
        """Here, unless the background work of a server is faster."""
        progress = Progress(self.stderr, "rows")
        while job.is_open:
            before = job.claims
            jobs.run(job.pk, SLICE_SECONDS)
            job.refresh_from_db()
            progress.tell(job.done, job.total)
            if job.is_open and job.claims == before:
                time.sleep(0.5)
        progress.end()
        return job

    def tell(self, job: Job, report: Path | None) -> None:
        stored = StoredFile.objects.get(pk=job.parameters["report"])
        if report:
            with report.open("wb") as out:
                out.writelines(stored_files.pieces(stored))
        if job.state != Job.State.DONE:
            raise CommandError(f"It ended after {job.done:,} rows: {jobs.told(job) or job.state}")
        counts = ", ".join(f"{job.outcome.get(name, 0):,} {name}" for name in RESULTS)
        self.stdout.write(f"{'Dry run, nothing was changed: ' if job.parameters['dry_run'] else ''}{counts}.")
        if job.failed:
            self.stderr.write("".join(refused(stored)).rstrip())
            sys.exit(NOT_ALL)


def mapping_of(pairs: list[str]) -> dict[str, str]:
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise CommandError(f"--map {wrong[0]!r}: write THEIRS=OURS.")
    return {theirs: ours for theirs, _, ours in (pair.rpartition("=") for pair in pairs)}


def pieces_of(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(PIECE):
        yield piece


def refused(stored: StoredFile) -> Iterator[str]:
    """The first refused rows, as the report has them."""
    shown = 0
    with stored_files.opened(stored.pk) as report:
        for line in report:
            if b",error," in line:
                shown += 1
                if shown > SHOWN:
                    yield "… and more; --report FILE has them all.\n"
                    return
                yield line.decode().rstrip("\r\n") + "\n"
