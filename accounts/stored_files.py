"""Files in the database, read and written a piece at a time, so that their size costs no memory."""

import io
from collections.abc import Iterable, Iterator
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.job_models import Job, StoredFile, StoredPiece
from accounts.table_files import FileRefused, TextCheck
from core.errors import Conflict, NotFound

MOST_BYTES = 200 * 1024 * 1024
MOST_OF_ONE = 1024 * 1024 * 1024  # of all that one person keeps here
UPLOADS_KEPT = timedelta(days=1)
IN_USE_KEPT = timedelta(days=7)
REPORTS_KEPT = timedelta(days=14)


def begin(owner_id: UUID | None, name: str, kept: timedelta) -> StoredFile:
    name = "".join(filter(str.isprintable, name))[-200:]  # it will stand in a header
    return StoredFile.objects.create(owner_id=owner_id, name=name, expires_at=Now() + kept)


def keep(file: StoredFile) -> None:
    """Something will read it, which may take its time."""
    StoredFile.objects.filter(pk=file.pk).update(expires_at=Now() + IN_USE_KEPT)


def store(owner_id: UUID | None, name: str, pieces: Iterable[bytes]) -> StoredFile:
    """Take in a text, each piece by itself. Raises FileRefused, and keeps nothing then."""
    file, check = begin(owner_id, name, UPLOADS_KEPT), TextCheck()
    try:
        for piece in pieces:
            check.feed(piece)
            refuse_too_large(file.size + len(piece))
            append(file, piece)
        check.end()
    except BaseException:
        delete(file)
        raise
    file.lines, file.is_whole = check.lines, True
    file.save(update_fields=["lines", "is_whole"])
    return file


def add(file_id: UUID, owner_id: UUID, start: int, piece: bytes, *, is_last: bool) -> StoredFile:
    """One more piece of a text that comes in by several requests, checked as `store` does.

    A piece that came before changes nothing: the size of what is returned says where to go on. Raises NotFound,
    Conflict for one that is ahead of its turn, and FileRefused, which keeps nothing of the file.
    """
    try:
        with transaction.atomic():
            file = upload(owner_id, StoredFile.objects.select_for_update().filter(pk=file_id))
            if start > file.size:
                raise Conflict(_("A piece before this one is missing."))
            if start == file.size and not file.is_whole:
                _take(file, piece, is_last)
            return file
    except FileRefused:
        delete(StoredFile(pk=file_id))
        raise


def _take(file: StoredFile, piece: bytes, is_last: bool) -> None:
    with opened(file.pk, max(0, file.size - 3)) as end:
        check = TextCheck.resumed(file.lines, file.size, end.read())
    check.feed(piece)
    refuse_too_large(file.size + len(piece))
    refuse_too_much(file.owner_id, len(piece))
    append(file, piece)
    if is_last:
        check.end()
    file.lines, file.is_whole = check.lines, is_last
    file.save(update_fields=["lines", "is_whole"])


def upload(owner_id: UUID, found: QuerySet[StoredFile]) -> StoredFile:
    """The one of these, if this person brought it. Raises NotFound.

    Reports and exports are theirs too, but nobody adds to them, and exports may hold hashes that are for fewer eyes.
    """
    file = found.filter(owner_id=owner_id).first()
    if file is None:
        raise NotFound
    written = Q(parameters__report=str(file.pk)) | Q(kind="export_users", parameters__file=str(file.pk))
    if Job.objects.asked_by(owner_id).filter(written).exists():
        raise NotFound
    return file


def refuse_too_much(owner_id: UUID | None, more: int) -> None:
    """Before anything of it is kept."""
    kept = StoredFile.objects.filter(owner_id=owner_id).aggregate(bytes=Sum("size"))["bytes"] or 0
    if owner_id is not None and kept + more > MOST_OF_ONE:
        raise FileRefused("too_many_files", _("You keep more than 1 GB here. Delete what you need no more, or wait."))


def refuse_too_large(size: int) -> None:
    if size > MOST_BYTES:
        raise FileRefused("too_large", _("The file is larger than 200 MB. Cut it into several."))


def append(file: StoredFile, data: bytes) -> None:
    if data:
        StoredPiece.objects.create(file=file, start=file.size, data=data)
        StoredFile.objects.filter(pk=file.pk).update(size=F("size") + len(data))
        file.size += len(data)


def pieces(file: StoredFile) -> Iterator[bytes]:
    """All of it, one piece in memory at a time."""
    at = 0
    while data := _piece_at(file.pk, at):
        yield data
        at += len(data)


def delete(file: StoredFile) -> None:
    """In small statements; what is left when one fails, the clean-up finds."""
    StoredFile.objects.filter(pk=file.pk).update(is_whole=False)
    rows = StoredPiece.objects.filter(file=file)
    while ids := list(rows.values_list("pk", flat=True)[:20]):
        StoredPiece.objects.filter(pk__in=ids).delete()
    StoredFile.objects.filter(pk=file.pk).delete()


def delete_expired() -> int:
    expired = list(StoredFile.objects.filter(expires_at__lt=Now())[:100])
    for file in expired:
        delete(file)
    return len(expired)


def _piece_at(file_id: UUID, at: int) -> bytes:
    """From `at` to the end of the piece that holds it; nothing at the end of the file."""
    found = StoredPiece.objects.filter(file_id=file_id, start__lte=at).order_by("-start").values_list("start", "data")
    start, data = found.first() or (0, b"")
    return bytes(data)[at - start :]


class Reader(io.RawIOBase):
    """The file from `at` on; put an `io.BufferedReader` around it."""

    def __init__(self, file_id: UUID, at: int = 0) -> None:
        self.file_id, self.at, self.ahead = file_id, at, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        self.ahead = self.ahead or _piece_at(self.file_id, self.at)
        given = self.ahead[: len(buffer)]
        buffer[: len(given)] = given
        self.ahead = self.ahead[len(given) :]
        self.at += len(given)
        return len(given)


def opened(file_id: UUID, at: int = 0) -> io.BufferedReader:
    return io.BufferedReader(Reader(file_id, at), buffer_size=64 * 1024)
