"""Bringing a file to import into the panel.

A request has a bound, so a script sends a large file in pieces; without one a file that fits a request comes whole.
"""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import stored_files
from accounts.job_models import Job, StoredFile
from accounts.panel_doors import door
from accounts.panel_imports import NEEDED, heard_as, mine
from accounts.table_files import FileRefused
from core.actor import Actor
from core.errors import BadRequest

WHOLE_BYTES = 900_000  # of a file that comes in one request, with what a form adds
PIECE_BYTES = 512 * 1024  # `core.middleware.MAX_BODY` is twice as much
LATEST = 10


class UploadForm(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("File"),
        allow_empty_file=True,  # it is refused with the others that cannot be used
        widget=forms.FileInput({"accept": ".csv,.tsv,.txt,.jsonl,.ndjson"}),
    )


class PieceForm(forms.Form):
    start = forms.IntegerField(min_value=0, max_value=stored_files.MOST_BYTES)
    last = forms.BooleanField(required=False)


class BeginForm(forms.Form):
    name = forms.CharField(max_length=500)
    size = forms.IntegerField(min_value=1)


def urls(site: Any) -> list[URLPattern]:
    return [
        door(site, NEEDED, "import/", upload, "import"),
        door(site, NEEDED, "import/begin/", begin, "import-begin", only_post=True),
        door(site, NEEDED, "import/<uuid:file_id>/pieces/", piece, "import-pieces", only_post=True),
        door(site, NEEDED, "import/<uuid:file_id>/delete/", delete, "import-delete", only_post=True),
    ]


def upload(site: Any, request: HttpRequest) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    if request.method == "POST" and form.is_valid():
        try:
            return HttpResponseRedirect(reverse("admin:import-columns", args=[taken(request, form).pk]))
        except FileRefused as refusal:
            form.add_error("file", refusal.detail)
    latest = Job.objects.asked_by(request.user.pk).filter(kind="import_users").order_by("-id")[:LATEST]
    context = {
        **site.each_context(request),
        "title": _("Import people"),
        "form": form,
        "latest": [(job, heard_as(job)) for job in latest],
        "whole_bytes": WHOLE_BYTES,
        "piece_bytes": PIECE_BYTES,
    }
    return TemplateResponse(request, "panel/import.html", context)


def taken(request: HttpRequest, form: UploadForm) -> StoredFile:
    given, owner = form.cleaned_data["file"], Actor.of(request).user.pk
    stored_files.refuse_too_much(owner, given.size)
    return stored_files.store(owner, given.name, given.chunks())


def begin(site: Any, request: HttpRequest) -> HttpResponse:
    """For the script: where the pieces of a file go."""
    form, owner = BeginForm(request.POST), Actor.of(request).user.pk
    if not form.is_valid():
        raise BadRequest
    stored_files.refuse_too_large(form.cleaned_data["size"])
    stored_files.refuse_too_much(owner, form.cleaned_data["size"])
    file = stored_files.begin(owner, form.cleaned_data["name"], stored_files.UPLOADS_KEPT)
    pieces, after = (reverse(f"admin:import-{name}", args=[file.pk]) for name in ("pieces", "columns"))
    return JsonResponse({"pieces": pieces, "next": after})


def piece(site: Any, request: HttpRequest, file_id: UUID) -> HttpResponse:
    """Answers where to go on, which for a piece that came before is not after it."""
    form = PieceForm(request.GET)
    if not form.is_valid():
        raise BadRequest
    start, is_last = form.cleaned_data["start"], form.cleaned_data["last"]
    file = stored_files.add(file_id, Actor.of(request).user.pk, start, request.body, is_last=is_last)
    return JsonResponse({"at": file.size})


def delete(site: Any, request: HttpRequest, file_id: UUID) -> HttpResponse:
    file = mine(request, file_id)
    if Job.objects.open().asked_by(file.owner_id).filter(parameters__file=str(file.pk)).exists():
        messages.warning(request, _("The file is being read. Cancel that first."))
        return HttpResponseRedirect(reverse("admin:import-columns", args=[file.pk]))
    stored_files.delete(file)
    messages.success(request, _("The file is deleted."))
    return HttpResponseRedirect(reverse("admin:import"))
