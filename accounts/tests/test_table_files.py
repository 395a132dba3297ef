"""Tables of others: encodings, columns, broken records, and formulas, without a database."""

import io
import json

import pytest

from accounts.table_files import (
    MOST_BYTES,
    BadRecord,
    FileRefused,
    Records,
    TextCheck,
    csv_lines,
    harmless,
    look,
    plain,
)

KNOWN = ("email", "first_name", "last_name")


def check(data, size=7):
    text = TextCheck()
    for start in range(0, len(data), size):
        text.feed(data[start : start + size])
    text.end()
    return text


def read(data, mapping=None):
    """Number, and what was read or the code of what is wrong."""
    file = io.BytesIO(data)
    layout = look(file, KNOWN, mapping or {})
    file.seek(layout.start)
    records = Records(file, layout, layout.first, layout.start)
    return [(n, cells.code if isinstance(cells, BadRecord) else cells) for n, cells in records]


def refused(data, mapping=None):
    with pytest.raises(FileRefused) as refusal:
        look(io.BytesIO(data), KNOWN, mapping or {})
    return refusal.value


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_any_text_in_utf_8_will_do_wherever_it_is_cut(size):
    text = "\ufeffemail;имя\nя@пример.рф;𝒳\r\n".encode()
    assert check(text, size).lines == 2


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        ("email\nя".encode("utf-16"), "not_utf8", "UTF-16"),
        ("email\nя".encode("utf-16-le"), "not_text", "Line 1"),
        ("email\n".encode("utf-32"), "not_utf8", "UTF-16"),
        ("email,name\na@b.example,Ann\nb@b.example,Иван\n".encode("cp1251"), "not_utf8", "Line 3"),
        (b"email\na@b.example\nb\0@b.example\n", "not_text", "Line 3"),
        ("email\nя".encode()[:-1], "not_utf8", "Line 2"),
        (b"", "empty", "empty"),
    ],
)
@pytest.mark.parametrize("size", [1000, 2])
def test_whatever_is_no_utf_8_is_refused_as_a_whole(data, code, line, size):
    with pytest.raises(FileRefused) as refusal:
        check(data, size)
    assert refusal.value.code == code
    assert line in refusal.value.detail


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_marks_and_line_ends_are_seen(delimiter, bom, end):
    text = end.join([delimiter.join(["E-Mail", "First_Name"]), delimiter.join(["a@b.example", '"A, B; C\t""D"""']), ""])
    assert read(bom + text.encode(), {"E-Mail": "email"}) == [
        (2, {"email": "a@b.example", "first_name": 'A, B; C\t"D"'})
    ]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_json_lines_are_seen(bom):
    lines = b'{"email": "a@b.example", "first_name": "=1"}\n\n{"email": "b@b.example"}'
    assert read(bom + lines) == [(1, {"email": "a@b.example", "first_name": "=1"}), (3, {"email": "b@b.example"})]


@pytest.mark.parametrize(
    ("data", "mapping", "code", "told"),
    [
        (b"email,shoe size\n", {}, "unknown_column", "shoe size"),
        (b'{"email": "a", "shoe": 1}\n', {}, "unknown_column", "shoe"),
        (b"email,email\n", {}, "double_column", "email"),
        (b"email,mail\n", {"mail": "email"}, "double_column", "email"),
        (b"email\n", {"Vorname": "first_name"}, "missing_column", "Vorname"),
        (b"email,x\n", {"x": "colour"}, "unknown_column", "x"),
        (b"\n", {}, "no_columns", "first line"),
        (b"x" * (MOST_BYTES + 5), {}, "no_columns", "64 KB"),
        (b'email,"x\n', {}, "no_columns", "titles"),
        (b"{broken\n", {}, "no_columns", "JSON"),
    ],
)
def test_columns_are_cleared_up_before_anything(data, mapping, code, told):
    refusal = refused(data, mapping)
    assert (refusal.code, told in refusal.detail) == (code, True), refusal.detail


def test_what_does_not_matter_can_be_left_out():
    assert read(b"email,shoe size\na,9\n", {"shoe size": "-"}) == [(2, {"email": "a"})]


def test_a_bad_record_costs_no_other():
    data = b"\n".join(
        [
            b"email,first_name",
            b"a,1",
            b"b",
            b"c,1,2",
            b'd,"x"y',
            b"e," + b"x" * (3 * MOST_BYTES),
            b"",
            b",",
            b"f,6",
        ]
    )
    assert read(data) == [
        (2, {"email": "a", "first_name": "1"}),
        (3, "wrong_count"),
        (4, "wrong_count"),
        (5, "unreadable"),
        (6, "too_long"),
        (9, {"email": "f", "first_name": "6"}),
    ]


def test_a_quotation_mark_that_is_not_closed_swallows_no_whole_file():
    data = b'email,first_name\na,"1\n' + b"b,2\n" * 100_000
    found = read(data)
    assert found[0] == (2, "too_long")
    assert len(found) > 80_000


def test_json_that_nobody_could_mean_is_one_bad_record():
    data = b'{"email":"a"}\n[1]\n{"x":1}\n' + b"[" * 60_000 + b'\n{"email":"b"}\n{"email":' + b"9" * 5000 + b"}\n"
    codes = [found if isinstance(found, str) else found["email"] for _, found in read(data)]
    assert codes == ["a", "unreadable", "unknown_column", "unreadable", "b", "unreadable"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_reading_goes_on_at_any_record(form):
    rows = [{"email": f"p{n}@x.example", "first_name": f'«{n}»\n"x",;', "last_name": ""} for n in range(50)]
    data = csv_lines([list(rows[0]), *(list(row.values()) for row in rows)]) if form == "csv" else b""
    data = data or b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
    file = io.BytesIO(data)
    layout = look(file, KNOWN, {})
    at, number, found = layout.start, layout.first, []
    while True:
        file.seek(at)
        records = Records(file, layout, number, at)
        cells = next(iter(records), None)
        if cells is None:
            break
        found.append(cells)
        at, number = records.at, records.number
    assert found == list(enumerate(rows, layout.first))


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''=1", "'", "'a", "a=1", "", "=cmd|' /C calc'!A0"]
)
def test_formulas_are_harmless_and_come_back(cell):
    assert harmless(cell)[:1] not in tuple("=+-@\t\r") or not cell
    assert plain(harmless(cell)) == cell
