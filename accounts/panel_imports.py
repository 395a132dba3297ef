"""Taking people over in the panel: say what the columns of a file are, try it, read the report, import."""

import re
from itertools import islice
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import stored_files
from accounts.import_rows import FIELDS
from accounts.job_models import Job, StoredFile
from accounts.panel_doors import door, download
from accounts.services import imports, jobs
from accounts.services.import_batches import RESULTS
from accounts.table_files import IGNORED, BadRecord, FileRefused, Records, heading
from core.actor import Actor
from core.errors import NotFound

NEEDED = "user:import"
MOST_COLUMNS = 100  # a form has a bound too
SAMPLE = 5
SHOWN = 40  # characters of a cell
SECRET = re.compile(r"[\w+/=.$]{30,}")  # like a hash: nobody needs to see one to know the column

WORDS = {
    "email": gettext_lazy("E-mail"),
    "username": gettext_lazy("Username"),
    "first_name": gettext_lazy("First name"),
    "middle_name": gettext_lazy("Middle name"),
    "last_name": gettext_lazy("Last name"),
    "language": gettext_lazy("Language"),
    "is_active": gettext_lazy("Active or not"),
    "is_verified": gettext_lazy("Address verified or not"),
    "roles": gettext_lazy("Roles"),
    "external_id": gettext_lazy("Id in the other system"),
    "password_hash": gettext_lazy("Hash of the password"),
    "created_at": gettext_lazy("Joined"),
}
RESULT_WORDS = {
    "created": gettext_lazy("Created"),
    "updated": gettext_lazy("Changed"),
    "unchanged": gettext_lazy("Already as the file says"),
    "error": gettext_lazy("Refused"),
}
CHOICES = [(IGNORED, gettext_lazy("Leave out")), *((name, WORDS[name]) for name in FIELDS)]
LIKELY = {
    **{name: name for name in FIELDS},
    **dict.fromkeys(("mail", "e_mail", "email_address", "mail_address", "почта", "электронная_почта"), "email"),
    **dict.fromkeys(("user_name", "nickname"), "username"),
    **dict.fromkeys(("firstname", "given_name", "имя"), "first_name"),
    **dict.fromkeys(("patronymic", "отчество"), "middle_name"),
    **dict.fromkeys(("lastname", "family_name", "surname", "фамилия"), "last_name"),
    **dict.fromkeys(("lang", "locale", "язык"), "language"),
    **dict.fromkeys(("hash", "password"), "password_hash"),
    **dict.fromkeys(("date_joined", "joined", "registered_at"), "created_at"),
}


class ColumnsForm(forms.Form):
    """A choice for each column of theirs, and whether to write to people."""

    def __init__(self, titles: list[str], sample: list[list[str]], *args: Any) -> None:
        super().__init__(*args)
        self.titles, likely = titles, guessed(titles)
        for n, title in enumerate(titles):
            self.fields[f"column-{n}"] = forms.ChoiceField(
                choices=CHOICES,
                label=title or _("(without a title)"),
                initial=likely[title],
                help_text=" · ".join(cells[n] for cells in sample if cells[n]),
            )
        self.fields["invite"] = forms.BooleanField(
            required=False,
            label=_("Send invitations"),
            help_text=_("To new people without a password or a verified address. A dry run sends nothing."),
        )

    def mapping(self) -> dict[str, str]:
        return {title: self.cleaned_data[f"column-{n}"] for n, title in enumerate(self.titles)}


def guessed(titles: list[str]) -> dict[str, str]:
    """What each column may be, by its title; nothing is it twice."""
    found: dict[str, str] = {}
    for title in titles:
        ours = LIKELY.get(re.sub(r"[\W_]+", "_", title.lower()).strip("_"), IGNORED)
        found[title] = ours if ours not in found.values() else IGNORED
    return found


def urls(site: Any) -> list[URLPattern]:
    return [
        door(site, NEEDED, "import/<uuid:file_id>/", columns, "import-columns"),
        door(site, NEEDED, "jobs/<uuid:job_id>/report/", report, "import-report"),
        door(site, NEEDED, "jobs/<uuid:job_id>/import/", import_now, "import-now", only_post=True),
    ]


def mine(request: HttpRequest, file_id: UUID) -> StoredFile:
    whole = StoredFile.objects.filter(pk=file_id, is_whole=True)
    return stored_files.upload(Actor.of(request).user.pk, whole)


def columns(site: Any, request: HttpRequest, file_id: UUID) -> HttpResponse:
    file, form, refusal = mine(request, file_id), None, ""
    try:
        form = ColumnsForm(*looked_at(file), request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            job = imports.start(
                Actor.of(request), file, form.mapping(), dry_run=True, invite=form.cleaned_data["invite"]
            )
            return HttpResponseRedirect(reverse("admin:job", args=[job.pk]))
    except FileRefused as refused:
        refusal = refused.detail
    context = {
        **site.each_context(request),
        "title": _("Columns"),
        "form": form,
        "file": file,
        "refusal": refusal,
    }
    return TemplateResponse(request, "panel/import_columns.html", context)


def looked_at(file: StoredFile) -> tuple[list[str], list[list[str]]]:
    """The titles, and the first rows as they may be shown. Raises FileRefused."""
    with stored_files.opened(file.pk) as source:
        found = heading(source, file.name.rpartition(".")[2])
    titles = found.titles
    if len(titles) > MOST_COLUMNS:
        raise FileRefused(
            "too_many_columns", _("More than %d columns: leave some out, or use the command.") % MOST_COLUMNS
        )
    numbered = found.laid_out({title: str(n) for n, title in enumerate(titles)})
    with stored_files.opened(file.pk, found.start) as source:
        records = list(islice(Records(source, numbered, found.first, found.start), SAMPLE))
    secret = [guess == "password_hash" for guess in guessed(titles).values()]
    rows = [cells for _number, cells in records if not isinstance(cells, BadRecord)]
    return titles, [[shown(cells.get(str(n)), secret[n]) for n in range(len(titles))] for cells in rows]


def shown(cell: Any, is_secret: bool) -> str:
    text = "" if cell is None else str(cell)
    if text and (is_secret or SECRET.search(text)):
        return "•••"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


# --- What the page of such a job has more ------------------------------------------------------------------------


def heard_as(job: Job) -> Any:
    return _("Dry run of an import") if job.parameters["dry_run"] else _("Importing people")


def facts(request: HttpRequest, job: Job) -> dict[str, Any]:
    found: dict[str, Any] = {
        "title": heard_as(job),
        "counts": [(RESULT_WORDS[name], job.outcome.get(name, 0)) for name in RESULTS],
        "is_dry_run": job.parameters["dry_run"],
        "invites": job.parameters["invite"],
    }
    if request.user.has_perm(NEEDED):
        found["import_page"] = True
        found["has_report"] = not job.is_open and report_of(job) is not None
        found["file_id"] = job.parameters["file"] if is_ready(job) else None
    return found


def is_ready(job: Job) -> bool:
    """A dry run that came to its end, whose file is still there."""
    is_tried = job.parameters["dry_run"] and job.state == Job.State.DONE
    return is_tried and StoredFile.objects.filter(pk=job.parameters["file"], is_whole=True).exists()


def report_of(job: Job) -> StoredFile | None:
    return StoredFile.objects.filter(pk=job.parameters["report"], size__gt=0).first()


def asked_for(request: HttpRequest, job_id: UUID) -> Job:
    job = Job.objects.asked_by(request.user.pk).filter(pk=job_id, kind="import_users").first()
    if job is None:
        raise NotFound
    return job


def report(site: Any, request: HttpRequest, job_id: UUID) -> StreamingHttpResponse:
    job = asked_for(request, job_id)
    file = None if job.is_open else report_of(job)
    if file is None:
        raise NotFound
    return download(file)


def import_now(site: Any, request: HttpRequest, job_id: UUID) -> HttpResponse:
    """What was tried, as it was tried; asked for twice, it happens once."""
    tried = asked_for(request, job_id)
    with transaction.atomic():
        file = StoredFile.objects.select_for_update().filter(pk=tried.parameters["file"]).first()
        same = Job.objects.asked_by(request.user.pk).filter(kind="import_users", parameters__dry_run=False)
        job = same.filter(parameters__file=tried.parameters["file"]).first()
        if job is None and file and is_ready(tried):
            layout, invite = tried.parameters["layout"], tried.parameters["invite"]
            mapping = dict(layout["columns"])
            job = imports.start(Actor.of(request), file, mapping, invite=invite, file_format=layout["format"])
    if job is None:
        messages.warning(request, str(jobs.REASONS["file_gone"]))
    return HttpResponseRedirect(reverse("admin:job", args=[(job or tried).pk]))
