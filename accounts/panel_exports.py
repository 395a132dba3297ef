"""Taking people away from the panel: those whom the list shows, as a file that is written in the background."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import panel_imports, stored_files
from accounts.job_models import Job, StoredFile
from accounts.panel_bulk import asked_of
from accounts.panel_doors import door, download
from accounts.services import exports
from accounts.table_files import FileRefused
from core.actor import Actor
from core.errors import BadRequest, NotFound, PermissionDenied

NEEDED = "user:export"


class ExportForm(forms.Form):
    format = forms.ChoiceField(
        choices=[("csv", gettext_lazy("CSV, for spreadsheets")), ("jsonl", gettext_lazy("JSON Lines"))],
        label=gettext_lazy("Format"),
    )
    with_hashes = forms.BooleanField(
        required=False,
        label=gettext_lazy("With the hashes of the passwords"),
        help_text=gettext_lazy("Whoever gets that file can guess passwords for as long as they like. Keep it safe."),
    )


class ExportedList:
    """Mixed into the list of people: its way to an import, and to an export of what it shows."""

    change_list_template = "panel/users.html"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        own = {
            "may_import": request.user.has_perm(panel_imports.NEEDED),
            "may_export": request.user.has_perm(NEEDED),
            "export_query": request.GET.urlencode(),
        }
        return super().changelist_view(request, {**(extra_context or {}), **own})  # type: ignore[misc]

    def get_urls(self) -> Any:
        site: Any = self.admin_site  # type: ignore[attr-defined]
        own = door(site, NEEDED, "export/", self.export, "export")
        return [own, *super().get_urls()]  # type: ignore[misc]

    def export(self, site: Any, request: HttpRequest) -> HttpResponse:
        """GET asks how, POST begins. Whom it is about stands in the address, as in that of the list."""
        may_hashes = request.user.has_perm(exports.HASHES_NEED)
        try:
            filters, words = asked_of(self, request)
        except IncorrectLookupParameters as error:
            raise BadRequest from error
        form = ExportForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                stored_files.refuse_too_much(Actor.of(request).user.pk, 0)
                job = exports.start(Actor.of(request), filters=filters, **asked_in(form))
                return HttpResponseRedirect(reverse("admin:job", args=[job.pk]))
            except FileRefused as refusal:
                form.add_error(None, refusal.detail)
        if not may_hashes:
            del form.fields["with_hashes"]
        context = {
            **site.each_context(request),
            "title": _("Export people"),
            "form": form,
            "notes": words or [_("Everybody.")],
            "button": _("Export"),
            "back": "../" + (f"?{request.GET.urlencode()}" if request.GET else ""),
        }
        return TemplateResponse(request, "panel/form.html", context)


def asked_in(form: ExportForm) -> dict[str, Any]:
    return {"file_format": form.cleaned_data["format"], "with_hashes": form.cleaned_data["with_hashes"]}


def urls(site: Any) -> list[URLPattern]:
    return [door(site, NEEDED, "jobs/<uuid:job_id>/file/", file, "export-file")]


def facts(request: HttpRequest, job: Job) -> dict[str, Any]:
    """What the page of such a job has more."""
    return {
        "has_file": may_take(request, job) and written(job) is not None,
        "with_hashes": job.parameters["with_hashes"],
    }


def may_take(request: HttpRequest, job: Job) -> bool:
    needed = [NEEDED, exports.HASHES_NEED] if job.parameters["with_hashes"] else [NEEDED]
    return all(request.user.has_perm(permission) for permission in needed)


def written(job: Job) -> StoredFile | None:
    return StoredFile.objects.filter(pk=job.parameters["file"], is_whole=True).first()


def file(site: Any, request: HttpRequest, job_id: UUID) -> StreamingHttpResponse:
    job = Job.objects.asked_by(request.user.pk).filter(pk=job_id, kind="export_users").first()
    if job is None:
        raise NotFound
    if not may_take(request, job):
        raise PermissionDenied(required=exports.HASHES_NEED)
    found = written(job)
    if found is None:
        raise NotFound
    return download(found)
