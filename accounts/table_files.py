"""Tables of people as others write them, CSV and JSON Lines in UTF-8, read and written a record at a time.

A reader knows the byte at which each record ends, so reading goes on anywhere. A spreadsheet takes a cell that begins
like a formula for one; such a cell is written with an apostrophe before it, which reading takes away again.
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Self

from django.utils.translation import gettext_lazy as _

from core.errors import BadRequest
from core.language import Words

MOST_BYTES = 64 * 1024  # of a record
BOM = codecs.BOM_UTF8
DELIMITERS = (",", ";", "\t")
IGNORED = "-"  # what a column is mapped to that does not matter
FORMULA = re.compile(r"'*[=+\-@\t\r]")
ESCAPED = re.compile(r"'+[=+\-@\t\r]")
CONTINUED = bytes(range(0x80, 0xC0))  # what a character in UTF-8 never begins with

Cells = dict[str, Any]


class FileRefused(BadRequest):
    """Nothing was read from it. The code says why."""

    code = "unusable_file"
    title = _("Unusable file")

    def __init__(self, code: str = code, detail: Words = title) -> None:
        super().__init__(detail)
        self.code = code


class BadRecord(Exception):
    """One record that cannot be read; those after it can."""

    def __init__(self, code: str, words: Words) -> None:
        super().__init__(code)
        self.code, self.words = code, words


class TextCheck:
    """Whether all of a file is text in UTF-8, told piece by piece. Raises FileRefused at the first that is not."""

    def __init__(self) -> None:
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.lines = self.size = 0

    @classmethod
    def resumed(cls, lines: int, size: int, end: bytes) -> Self:
        """Goes on where another stopped, after `end`: its last three bytes, in which a character may have begun."""
        check = cls()
        check.lines, check.size = lines, size
        check.decoder.decode(end[-3:].lstrip(CONTINUED))
        return check

    def feed(self, piece: bytes, final: bool = False) -> None:
        if self.size == 0 and piece.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise FileRefused("not_utf8", _("The file is in UTF-16. Save it as UTF-8, and try again."))
        if b"\0" in piece:
            line = self.lines + piece[: piece.index(b"\0")].count(b"\n") + 1
            raise FileRefused("not_text", _said(_("Line %(line)d holds a NUL: this is no text in UTF-8."), line=line))
        try:
            self.decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            line = self.lines + error.object[: error.start].count(b"\n") + 1
            words = _said(_("Line %(line)d is not in UTF-8. Save the file as UTF-8, and try again."), line=line)
            raise FileRefused("not_utf8", words) from None
        self.lines += piece.count(b"\n")
        self.size += len(piece)

    def end(self) -> None:
        self.feed(b"", final=True)
        if self.size == 0:
            raise FileRefused("empty", _("The file is empty."))


@dataclass(frozen=True, slots=True)
class Heading:
    """What the beginning of a file says about the rest."""

    format: str
    titles: list[str]
    delimiter: str = ","
    start: int = 0
    first: int = 1
    """The number of the first record; a spreadsheet counts the line of titles too."""

    def laid_out(self, columns: dict[str, str]) -> "Layout":
        return Layout(self.format, columns, self.delimiter, self.start, self.first)


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands where. `columns` are our names for theirs, in their order; IGNORED for what does not matter."""

    format: str
    columns: dict[str, str]
    delimiter: str = ","
    start: int = 0
    first: int = 1

    def as_json(self) -> dict[str, Any]:
        """Columns as pairs, since PostgreSQL keeps no order of names."""
        return {**asdict(self), "columns": list(self.columns.items())}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        return cls(**{**found, "columns": dict(found["columns"])})


def look(file: BinaryIO, known: Sequence[str], mapping: Mapping[str, str], file_format: str = "") -> Layout:
    """Find out the layout from the beginning of a file. Raises FileRefused.

    `known` are the columns that we take, those we read and drop included; `mapping` is theirs to ours; `file_format`
    is csv, jsonl, or whatever: then it is seen.
    """
    found = heading(file, file_format)
    return found.laid_out(_columns(found.titles, known, mapping))


def heading(file: BinaryIO, file_format: str = "") -> Heading:
    """Raises FileRefused."""
    line = file.readline(MOST_BYTES)
    text = line.removeprefix(BOM).decode(errors="replace")
    if not text.strip():
        raise FileRefused("no_columns", _("The first line is empty; it should name the columns."))
    if len(line) == MOST_BYTES and not line.endswith(b"\n"):
        raise FileRefused("no_columns", _("The first line is longer than 64 KB; it should name the columns."))
    if file_format == "jsonl" or (file_format != "csv" and text.lstrip().startswith("{")):
        start = len(BOM) if line.startswith(BOM) else 0
        return Heading("jsonl", _once(list(_json_object(text))), start=start)
    delimiter = max(DELIMITERS, key=text.count)
    try:
        titles = next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise FileRefused("no_columns", _("The first line cannot be read as titles of columns.")) from error
    return Heading("csv", _once(titles), delimiter, start=len(line), first=2)


def _json_object(text: str) -> Cells:
    try:
        return _object(text)
    except BadRecord as error:
        raise FileRefused("no_columns", _("The first line is no object in JSON.")) from error


def _once(titles: list[str]) -> list[str]:
    titles = [title.strip() for title in titles]
    if doubled := sorted({title for title in titles if titles.count(title) > 1}):
        raise FileRefused("double_column", _said(_("Twice there: %(names)s."), names=_list(doubled)))
    return titles


def _columns(titles: list[str], known: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    if absent := sorted(set(mapping) - set(titles)):
        raise FileRefused("missing_column", _said(_("There is no column %(names)s."), names=_list(absent)))
    ours = {title: mapping.get(title, title.lower()) for title in titles}
    if unknown := sorted(title for title in titles if ours[title] not in (*known, IGNORED)):
        words = _("Unknown columns: %(names)s. Say what they are, or that they do not matter. Known are %(known)s.")
        raise FileRefused("unknown_column", _said(words, names=_list(unknown), known=", ".join(known)))
    taken = [name for name in ours.values() if name != IGNORED]
    if doubled := sorted({name for name in taken if taken.count(name) > 1}):
        raise FileRefused("double_column", _said(_("Twice there: %(names)s."), names=_list(doubled)))
    return ours


def _list(names: list[str]) -> str:
    return ", ".join(name[:40] for name in names[:20])


def _said(words: Any, **values: Any) -> Words:
    return str(words) % values


class Lines:
    """What `csv` reads from: it takes a line only when it needs one, so `at` is where its record ends."""

    def __init__(self, file: BinaryIO, at: int) -> None:
        self.file, self.at, self.size = file, at, 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self.file.readline(MOST_BYTES + 1)
        if not line:
            raise StopIteration
        self._took(line)
        if self.size > MOST_BYTES:
            while line and not line.endswith(b"\n"):
                line = self.file.readline(MOST_BYTES)
                self._took(line)
            raise BadRecord("too_long", _("Longer than 64 KB. Perhaps a quotation mark was opened and not closed."))
        return line.decode()

    def _took(self, line: bytes) -> None:
        self.at += len(line)
        self.size += len(line)


class Records:
    """The records of a file from a position on: number, and cells by our names or what is wrong with them."""

    def __init__(self, file: BinaryIO, layout: Layout, number: int, at: int) -> None:
        self.layout, self.number = layout, number
        self.lines = Lines(file, at)
        self.reader = csv.reader(self.lines, delimiter=layout.delimiter, strict=True)

    @property
    def at(self) -> int:
        return self.lines.at

    def __iter__(self) -> Iterator[tuple[int, Cells | BadRecord]]:
        while True:
            self.lines.size = 0
            try:
                cells: Cells | BadRecord | None = self._next()
            except StopIteration:
                return
            except BadRecord as error:
                cells = error
            except csv.Error:
                cells = BadRecord("unreadable", _("Not readable as CSV: look at its quotation marks."))
            self.number += 1
            if cells is not None:
                yield self.number - 1, cells

    def _next(self) -> Cells | None:
        """None for a line with nothing in it."""
        if self.layout.format == "jsonl":
            line = next(self.lines)
            return self._named(_object(line)) if line.strip() else None
        values = next(self.reader)
        if not any(values):
            return None
        if len(values) != len(self.layout.columns):
            raise BadRecord(
                "wrong_count",
                _said(
                    _("%(n)d cells where there are titles for %(wanted)d."),
                    n=len(values),
                    wanted=len(self.layout.columns),
                ),
            )
        return self._named(dict(zip(self.layout.columns, map(plain, values), strict=True)))

    def _named(self, cells: Cells) -> Cells:
        columns = self.layout.columns
        if unknown := sorted(cells.keys() - columns.keys()):
            raise BadRecord("unknown_column", _said(_("Unknown: %(names)s."), names=_list(unknown)))
        return {columns[name]: value for name, value in cells.items() if columns[name] != IGNORED}


def _object(line: str) -> Cells:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRecord("unreadable", _("Not readable as JSON.")) from error
    if not isinstance(found, dict):
        raise BadRecord("unreadable", _("Not an object in JSON."))
    return found


def plain(cell: str) -> str:
    """What a cell meant before it was kept from being a formula."""
    return cell[1:] if ESCAPED.match(cell) else cell


def harmless(cell: str) -> str:
    return f"'{cell}" if FORMULA.match(cell) else cell


def csv_lines(rows: Iterator[Sequence[Any]] | Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([harmless(_text(value)) for value in row] for row in rows)
    return text.getvalue().encode()


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def json_lines(rows: Iterator[Cells] | Sequence[Cells]) -> bytes:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
