"""Taking over people from a table. What it does and never does: docs/adr/0034-what-an-import-never-does.md

A dry run plans; an import plans and carries out what it planned, with one and the same code. Rows go in batches, each
in one transaction with its part of the report and with how far the job came. If a batch meets what somebody else wrote
at that moment, it is undone and its rows are taken one by one.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from accounts import stored_files
from accounts.import_rows import KNOWN, Row, read_row
from accounts.job_models import Job, StoredFile
from accounts.services import jobs
from accounts.services.import_batches import REFUSED, RESULTS, Verdict, carried_out, rehearsed
from accounts.table_files import FileRefused, Layout, Records, csv_lines, look
from core.actor import Actor
from core.errors import NotFound

BATCH = 500
REPORT_TITLES = ("row", "result", "email", "field", "code", "detail")


def start(
    actor: Actor,
    file: StoredFile,
    mapping: dict[str, str],
    *,
    dry_run: bool = False,
    invite: bool = False,
    file_format: str = "",
    digest: str = "",
) -> Job:
    """Begin an import of a stored file, or its rehearsal. Raises FileRefused, NotFound, PermissionDenied."""
    if file.owner_id != actor.user_id:
        raise NotFound
    layout = layout_of(file, mapping, file_format)
    with transaction.atomic():
        report = stored_files.begin(actor.user_id, f"report-{file.name}.csv", stored_files.REPORTS_KEPT)
        stored_files.keep(file)
        parameters = {
            "file": str(file.pk),
            "report": str(report.pk),
            "layout": layout.as_json(),
            "dry_run": dry_run,
            "invite": invite,
            "digest": digest,
        }
        total = max(1, file.lines - (layout.format == "csv"))
        return jobs.start(actor, "import_users", parameters, total=total)


def layout_of(file: StoredFile, mapping: dict[str, str], file_format: str = "") -> Layout:
    """Raises FileRefused."""
    with stored_files.opened(file.pk) as source:
        layout = look(source, KNOWN, mapping, file_format or file.name.rpartition(".")[2])
    if "email" not in layout.columns.values():
        raise FileRefused("missing_column", _("No column is the address: there must be an `email`."))
    return layout


def step(actor: Actor, job: Job) -> bool:
    if not StoredFile.objects.filter(pk=job.parameters["file"], is_whole=True).exists():
        raise FileRefused("file_gone", jobs.REASONS["file_gone"])
    layout = Layout.from_json(job.parameters["layout"])
    row, at = job.position.get("row", layout.first), job.position.get("at", layout.start)
    with (
        translation.override(actor.user.language if actor.user else "en"),
        stored_files.opened(UUID(job.parameters["file"]), at) as source,
    ):
        records = Records(source, layout, row, at)
        rows = [read_row(number, cells) for number, cells in islice(records, BATCH)]
        _settle(actor, job, rows, {"row": records.number, "at": records.at})
    return len(rows) < BATCH


def _settle(actor: Actor, job: Job, rows: list[Row], position: dict[str, int]) -> None:
    dry_run, invite = job.parameters["dry_run"], job.parameters["invite"]
    total = max(job.total or 0, job.done + len(rows)) if len(rows) == BATCH else job.done + len(rows)
    with transaction.atomic():
        verdicts = rehearsed(actor, rows) if dry_run else carried_out(actor, rows, invite)
        report = StoredFile.objects.get(pk=job.parameters["report"])
        titles = [REPORT_TITLES] if report.size == 0 else []
        stored_files.append(report, csv_lines([*titles, *_report(verdicts)]))
        counts = Counter(verdict.result for verdict in verdicts)
        outcome = {name: job.outcome.get(name, 0) + counts[name] for name in RESULTS}
        jobs.advance(job, len(rows), counts[REFUSED], position=position, outcome=outcome, total=total)


def ended(job: Job) -> None:
    """The file has had its time, but for one of the panel that was only rehearsed."""
    if job.actor_id is None or not job.parameters["dry_run"] or job.state != Job.State.DONE:
        stored_files.delete(StoredFile(pk=UUID(job.parameters["file"])))


def _report(verdicts: Iterable[Verdict]) -> Iterable[tuple[Any, ...]]:
    for verdict in verdicts:
        email = verdict.row.address.email if verdict.row.address else ""
        if not verdict.faults:
            yield verdict.row.number, verdict.result, email, "", "", ""
        for fault in verdict.faults:
            yield verdict.row.number, verdict.result, email, fault.field, fault.code, fault.words
