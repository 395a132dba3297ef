"""Everybody, or some, as a table that an import takes. Read in small steps by key, so that size costs no memory."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from accounts import stored_files
from accounts.import_rows import FIELDS
from accounts.job_models import Job, StoredFile
from accounts.models import User
from accounts.services import jobs
from accounts.table_files import csv_lines, json_lines
from audit.services import record
from core import replica
from core.actor import Actor
from core.errors import InvalidInput, PermissionDenied
from rbac.models import RoleGrant

BATCH = 1000
HASH = "password_hash"
COLUMNS = ("id", *(name for name in FIELDS if name != HASH), "updated_at", "last_login")
HASHES_NEED = "user:export_hashes"

Rows = list[dict[str, Any]]


def titles(file_format: str, with_hashes: bool) -> bytes:
    return csv_lines([columns(with_hashes)]) if file_format == "csv" else b""


def lines(rows: Rows, file_format: str) -> bytes:
    return csv_lines([list(row.values()) for row in rows]) if file_format == "csv" else json_lines(rows)


def columns(with_hashes: bool) -> tuple[str, ...]:
    return (*COLUMNS, HASH) if with_hashes else COLUMNS


def batches(with_hashes: bool = False) -> Iterator[Rows]:
    """Everybody, the oldest first."""
    after: UUID | None = None
    while rows := batch(after, with_hashes):
        yield rows
        after = UUID(rows[-1]["id"])


def batch(after: UUID | None, with_hashes: bool, filters: dict[str, str] | None = None) -> Rows:
    """The next rows, from a replica that is fresh enough if there is one."""
    return replica.read_behind(lambda alias: _batch(alias, after, with_hashes, filters or {}))


def _batch(alias: str, after: UUID | None, with_hashes: bool, filters: dict[str, str]) -> Rows:
    people = _chosen(filters, User.objects.using(alias)).order_by("pk")
    if after is not None:
        people = people.filter(pk__gt=after)
    fields = [name for name in COLUMNS if name != "roles"]
    rows = list(people.values("password", *fields)[:BATCH])
    roles = _roles(alias, [row["id"] for row in rows])
    return [_row(row, roles[row["id"]], with_hashes) for row in rows]


def _chosen(filters: dict[str, str], everybody: QuerySet[User]) -> QuerySet[User]:
    """Raises InvalidInput: a filter that means nothing (any more) must not become everybody."""
    if not filters:
        return everybody
    from accounts.filters import UserFilter  # with it comes the REST framework, 19 MiB

    chosen = UserFilter(filters, everybody)
    if not chosen.is_valid() or filters.keys() - chosen.filters.keys():
        raise InvalidInput
    found: QuerySet[User] = chosen.qs
    return found


def _roles(alias: str, ids: list[UUID]) -> dict[UUID, list[str]]:
    """As an import takes them: with the end, where there is one."""
    found = defaultdict(list)
    grants = RoleGrant.objects.using(alias).live().filter(user_id__in=ids).order_by("role__name")
    for user_id, name, ends in grants.values_list("user_id", "role__name", "expires_at"):
        found[user_id].append(f"{name}@{ends:%Y-%m-%dT%H:%M:%S.%fZ}" if ends else name)
    return found


def _row(row: dict[str, Any], roles: list[str], with_hashes: bool) -> dict[str, Any]:
    row["roles"] = " ".join(roles)
    row[HASH] = row["password"] if not row["password"].startswith("!") else ""
    return {name: _plain(row[name]) for name in columns(with_hashes)}


def _plain(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, UUID) else value


def exported(actor: Actor, count: int, with_hashes: bool, filters: dict[str, str] | None = None) -> None:
    """Who took everybody's data away is worth knowing."""
    names = sorted(filters or {})
    record(actor, "users.exported", None, users=count, with_hashes=with_hashes, filtered_by=names)


def start(actor: Actor, file_format: str, filters: dict[str, str], *, with_hashes: bool = False) -> Job:
    """Begin to write a file in the background. `filters` are those of the list of users.

    Raises PermissionDenied, InvalidInput.
    """
    _may(actor, with_hashes)
    _chosen(filters, User.objects.all())
    with transaction.atomic():
        file = stored_files.begin(actor.user_id, f"users.{file_format}", stored_files.UPLOADS_KEPT)
        parameters = {"file": str(file.pk), "format": file_format, "filters": filters, "with_hashes": with_hashes}
        return jobs.start(actor, "export_users", parameters)


def step(actor: Actor, job: Job) -> bool:
    wanted = job.parameters
    _may(actor, wanted["with_hashes"])
    after = job.position.get("after")
    rows = batch(UUID(after) if after else None, wanted["with_hashes"], wanted["filters"])
    is_end = len(rows) < BATCH
    with transaction.atomic():
        file = StoredFile.objects.get(pk=wanted["file"])
        head = b"" if after else titles(wanted["format"], wanted["with_hashes"])
        stored_files.append(file, head + lines(rows, wanted["format"]))
        jobs.advance(job, len(rows), position={"after": rows[-1]["id"]} if rows else job.position)
        if is_end:
            StoredFile.objects.filter(pk=file.pk).update(is_whole=True)
            exported(actor, job.done, wanted["with_hashes"], wanted["filters"])
    return is_end


def ended(job: Job) -> None:
    """A file that did not become whole is of no use."""
    if job.state != Job.State.DONE:
        stored_files.delete(StoredFile(pk=UUID(job.parameters["file"])))


def _may(actor: Actor, with_hashes: bool) -> None:
    if with_hashes and not actor.is_system and not actor.user.has_perm(HASHES_NEED):
        raise PermissionDenied(required=HASHES_NEED)
