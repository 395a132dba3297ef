"""Files in the database, read and written a piece at a time, so that their size costs no memory."""

import io
from collections.abc import Iterable, Iterator
from datetime import timedelta
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.job_models import StoredFile, StoredPiece
from accounts.table_files import FileRefused, TextCheck

MOST_BYTES = 200 * 1024 * 1024
UPLOADS_KEPT = timedelta(days=1)
IN_USE_KEPT = timedelta(days=7)
REPORTS_KEPT = timedelta(days=14)


def begin(owner_id: UUID | None, name: str, kept: timedelta) -> StoredFile:
    return StoredFile.objects.create(owner_id=owner_id, name=name[-200:], expires_at=Now() + kept)


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
