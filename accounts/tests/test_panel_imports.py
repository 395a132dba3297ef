"""Import and export in the panel: the whole way of a file, in pieces or at once, and whom each page is for."""

import csv
import io
import re
from pathlib import Path

import bcrypt
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts import stored_files
from accounts.job_models import Job, StoredFile, StoredPiece
from accounts.models import User
from accounts.panel_imports import FIELDS, MOST_COLUMNS, WORDS
from accounts.panel_uploads import PIECE_BYTES, WHOLE_BYTES
from accounts.services import imports, jobs
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.scene import administrator, events, holder, letters, nothing_changes
from accounts.tests.test_panel import Browser
from core.middleware import MAX_BODY
from rbac.models import RoleGrant
from tests import snapshot

pytestmark = pytest.mark.django_db
BCRYPT = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
EXPORT = "accounts/user/export/"
TABLE = f"""\
Mail,Vorname,Shoes,hash
ann@example.org,<script>alert(1)</script>,41,{BCRYPT}
broken,Bob,42,
cid@example.org,=1+1,43,
dan@example.org,Dan,44
eve@example.org,Eve,45,nonsense
"""
CHOSEN = {"column-0": "email", "column-1": "first_name", "column-2": "-", "column-3": "password_hash"}


def staff(*permissions):
    user = holder(*permissions, is_staff=True)
    return Browser().sign_in(user), user


@pytest.fixture
def browser():
    return staff("user:import")[0]


def bring(browser, text, name="people.csv"):
    data = text if isinstance(text, bytes) else text.encode()
    return browser.post("import/", {"file": SimpleUploadedFile(name, data)})


def follow(browser, response):
    assert response.status_code == 302, response.content.decode()
    return browser.client.get(response["Location"])


def path_of(response):
    assert response.status_code == 302, response.content.decode()
    return response["Location"].removeprefix("/admin/")


def brought(browser, text, name="people.csv"):
    """The page of its columns."""
    return path_of(bring(browser, text, name))


def worked(job):
    while job.is_open:
        jobs.run(job.pk)
        job.refresh_from_db()
    return job


def tried(browser, text=TABLE, chosen=None, name="people.csv", **rest):
    """A dry run that has ended."""
    response = browser.post(brought(browser, text, name), {**(chosen or CHOSEN), **rest})
    assert response.status_code == 302, response.content.decode()
    return worked(Job.objects.latest("id"))


def numbers(page):
    """What the page of a job counts."""
    return re.findall(r"<dd>(\d+)</dd>", page.content.decode())


def body(response):
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    return b"".join(response.streaming_content)


def rows(response):
    return list(csv.DictReader(io.StringIO(body(response).decode(), newline="")))


# --- The whole way -----------------------------------------------------------------------------------------------


def test_from_the_file_over_the_dry_run_to_the_people(browser, django_capture_on_commit_callbacks):
    page = follow(browser, bring(browser, TABLE))
    assert "Try it (dry run)" in page.content.decode()
    with nothing_changes("job.started", "job.ended"):
        tries = tried(browser)
        page = browser.get(f"jobs/{tries.pk}/")
    assert numbers(page) == ["2", "0", "0", "3"]
    assert "A dry run changes nothing." in page.content.decode()
    report = browser.get(f"jobs/{tries.pk}/report/")
    assert report["Content-Disposition"] == 'attachment; filename="report-people.csv.csv"'
    assert report["Content-Type"] == "text/csv; charset=utf-8"
    lines = rows(report)
    assert [(line["row"], line["result"]) for line in lines] == [
        *(("2", "created"), ("3", "error"), ("4", "created"), ("5", "error"), ("6", "error"))
    ]
    assert [line["code"] for line in lines if line["code"]] == ["invalid_email", "wrong_count", "unknown_hash"]

    imports = browser.post(f"jobs/{tries.pk}/import/")
    with django_capture_on_commit_callbacks(execute=True):
        job = worked(Job.objects.latest("id"))
    assert imports["Location"] == f"/admin/jobs/{job.pk}/"
    assert numbers(follow(browser, imports)) == ["2", "0", "0", "3"]
    assert set(User.objects.filter(email__startswith="ann").values_list("first_name")) == {
        ("<script>alert(1)</script>",)
    }
    assert User.objects.get(email="cid@example.org").first_name == "=1+1"
    assert User.objects.filter(email_key__in=["dan@example.org", "eve@example.org"]).count() == 0
    assert letters("cid@example.org") == []
    assert not StoredFile.objects.filter(pk=tries.parameters["file"]).exists()
    assert len(rows(browser.get(f"jobs/{job.pk}/report/"))) == 5


def test_the_columns_are_guessed_by_their_titles_and_nothing_is_it_twice(browser):
    text = "E-Mail,mail,First Name,Фамилия,date_joined,Shoes,id\na@example.org,,,,,,\n"
    page = browser.get(brought(browser, text)).content.decode()
    found = re.findall(r'<option value="([\w-]+)" selected>', page)
    assert found == ["email", "-", "first_name", "last_name", "created_at", "-", "-"]


def test_every_field_of_an_import_has_words():
    assert list(WORDS) == list(FIELDS)


def test_the_first_rows_are_shown_as_text_and_their_hashes_not_at_all(browser):
    page = browser.get(brought(browser, TABLE.replace("Shoes", "{{7*7}}<b>"))).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "{{7*7}}&lt;b&gt;" in page
    assert "=1+1" in page
    assert BCRYPT[:20] not in page
    nameless = browser.get(brought(browser, TABLE.replace("hash", "geheim"))).content.decode()
    assert BCRYPT[:20] not in nameless
    plain = browser.get(brought(browser, "email,password\na@example.org,secret-12\n")).content.decode()
    assert "secret-12" not in plain


def test_json_lines_are_taken_as_well(browser):
    text = '{"Mail": "ann@example.org", "name": "Ann"}\n{"Mail": "bob@example.org", "name": "<b>"}\n'
    job = tried(browser, text, {"column-0": "email", "column-1": "last_name"}, name="people.jsonl")
    browser.post(f"jobs/{job.pk}/import/")
    assert worked(Job.objects.latest("id")).outcome["created"] == 2
    assert User.objects.get(email="bob@example.org").last_name == "<b>"


@pytest.mark.parametrize("invite", [True, False])
def test_invitations_are_sent_as_chosen_and_only_by_the_import(browser, invite):
    job = tried(browser, "email\nann@example.org\n", {"column-0": "email"}, **({"invite": "on"} if invite else {}))
    assert letters("ann@example.org") == []
    page = browser.get(f"jobs/{job.pk}/").content.decode()
    assert ("will get an invitation" in page) is invite
    browser.post(f"jobs/{job.pk}/import/")
    worked(Job.objects.latest("id"))
    assert letters("ann@example.org") == ["invitation"] * invite


def test_asked_for_twice_it_is_imported_once(browser):
    job = tried(browser)
    first = browser.post(f"jobs/{job.pk}/import/")
    assert path_of(browser.post(f"jobs/{job.pk}/import/")) == path_of(first)
    assert Job.objects.count() == 2
    worked(Job.objects.latest("id"))
    assert path_of(browser.post(f"jobs/{job.pk}/import/")) == path_of(first)
    assert Job.objects.count() == 2


def test_what_was_cancelled_cannot_be_imported_and_keeps_no_file(browser, django_capture_on_commit_callbacks):
    browser.post(brought(browser, TABLE), CHOSEN)
    job = Job.objects.get()
    with django_capture_on_commit_callbacks(execute=True):
        browser.post(f"jobs/{job.pk}/")
    job.refresh_from_db()
    assert (job.state, StoredFile.objects.filter(pk=job.parameters["file"]).exists()) == ("cancelled", False)
    assert "Import now" not in browser.get(f"jobs/{job.pk}/").content.decode()
    with snapshot.nothing_changes():
        assert browser.get(f"jobs/{job.pk}/report/").status_code == 404
    browser.post(f"jobs/{job.pk}/import/")
    assert Job.objects.count() == 1


def test_a_report_is_there_only_once_it_is_whole(browser, monkeypatch):
    monkeypatch.setattr(imports, "BATCH", 2)
    browser.post(brought(browser, TABLE), CHOSEN)
    job = Job.objects.get()
    jobs.run(job.pk, seconds=0)
    assert "/report/" not in browser.get(f"jobs/{job.pk}/").content.decode()
    assert browser.get(f"jobs/{job.pk}/report/").status_code == 404
    job.refresh_from_db()
    assert (job.is_open, job.done) == (True, 2)


def test_a_file_can_be_deleted_but_not_under_the_hands_of_a_job(browser):
    columns = brought(browser, TABLE)
    browser.post(columns, CHOSEN)
    browser.post(f"{columns}delete/")
    assert browser.get(columns).status_code == 200
    worked(Job.objects.get())
    browser.post(f"{columns}delete/")
    assert browser.get(columns).status_code == 404
    assert not StoredPiece.objects.filter(file_id=columns.split("/")[1]).exists()


def test_the_latest_imports_are_found_again(browser):
    job = tried(browser)
    assert f"/admin/jobs/{job.pk}/" in browser.get("import/").content.decode()


# --- Files that are none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        ("email\nЮ@example.org\n".encode("utf-16"), "UTF-16"),
        ("email,name\na@example.org,Юрий\n".encode("cp1251"), "Line 2"),
        (b"email\n\0\n", "NUL"),
    ],
)
def test_what_is_no_text_is_refused_with_words_and_not_kept(browser, data, told):
    with snapshot.nothing_changes():
        page = bring(browser, data)
    assert page.status_code == 200
    assert told in page.content.decode()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("email,email\na@example.org,b\n", "Twice there"),
        ("\nemail\n", "first line is empty"),
        (",".join(f"c{n}" for n in range(MOST_COLUMNS + 1)), f"More than {MOST_COLUMNS} columns"),
    ],
)
def test_a_table_whose_columns_cannot_be_told_says_so(browser, text, told):
    columns = brought(browser, text)
    page = browser.get(columns).content.decode()
    assert told in page
    assert "Try it" not in page
    assert browser.post(columns, {}).status_code == 200
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"column-0": "-"}, "No column is the address"),
        ({"column-1": "email"}, "Twice there"),
        ({"column-1": "is_staff"}, "is not one of the available choices"),
        ({"column-1": ""}, "This field is required"),
    ],
)
def test_a_wrong_choice_of_columns_is_told_and_kept(browser, changed, told):
    columns = brought(browser, TABLE)
    page = browser.post(columns, {**CHOSEN, **changed})
    assert page.status_code == 200
    assert told in page.content.decode()
    assert '<option value="password_hash" selected>' in page.content.decode()
    assert not Job.objects.exists()


# --- In pieces ---------------------------------------------------------------------------------------------------


def begun(browser, size=100, name="people.csv"):
    answer = browser.post("import/begin/", {"name": name, "size": size})
    assert answer.status_code == 200, answer.content
    found = answer.json()
    return found["pieces"].removeprefix("/admin/"), found["next"].removeprefix("/admin/")


def send(browser, pieces, start, data, last=False):
    query = f"?start={start}{'&last=on' if last else ''}"
    return browser.client.post(f"/admin/{pieces}{query}", data, content_type="application/octet-stream")


def send_all(browser, data, size):
    """As the script does it: from where the server has come to."""
    pieces, after = begun(browser, len(data))
    at = 0
    while at < len(data):
        answer = send(browser, pieces, at, data[at : at + size], last=at + size >= len(data))
        assert answer.status_code == 200, answer.content
        at = answer.json()["at"]
    return after


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_file_in_pieces_becomes_the_same_file_wherever_it_is_cut(browser, size):
    data = "\ufeffemail;имя\nя@example.org;𝒳€я\n".encode()
    after = send_all(browser, data, size)
    file = StoredFile.objects.get()
    assert (b"".join(stored_files.pieces(file)), file.size, file.lines, file.is_whole) == (data, len(data), 2, True)
    assert "𝒳€я" in browser.get(after).content.decode()


def test_a_piece_that_comes_again_changes_nothing(browser):
    pieces, _ = begun(browser)
    send(browser, pieces, 0, b"email\n")
    with snapshot.nothing_changes():
        assert send(browser, pieces, 0, b"email\n").json() == {"at": 6}
        assert send(browser, pieces, 3, b"other").json() == {"at": 6}
    send(browser, pieces, 6, b"a@example.org\n", last=True)
    with snapshot.nothing_changes():
        assert send(browser, pieces, 6, b"a@example.org\n", last=True).json() == {"at": 20}
        assert send(browser, pieces, 20, b"b@example.org\n").json() == {"at": 20}, "it is whole"


def test_a_piece_ahead_of_its_turn_is_refused(browser):
    pieces, after = begun(browser)
    send(browser, pieces, 0, b"email\n")
    with snapshot.nothing_changes():
        assert send(browser, pieces, 7, b"a@example.org\n", last=True).status_code == 409
        assert browser.get(after).status_code == 404, "it is not whole"


@pytest.mark.parametrize("query", ["", "?start=", "?start=-1", "?start=x", "?start=99999999999999999999"])
def test_a_piece_that_does_not_say_where_it_belongs_is_refused(browser, query):
    pieces, _ = begun(browser)
    with snapshot.nothing_changes():
        answer = browser.client.post(f"/admin/{pieces}{query}", b"x", content_type="application/octet-stream")
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ([b"email\n", "Юрий\n".encode("cp1251")], "not_utf8"),
        (["email\nя".encode()[:-1], b"x\n"], "not_utf8"),
        ([b"email\n", "я".encode()[:-1]], "not_utf8"),
        ([b"email\n", b"\0"], "not_text"),
        ([b""], "empty"),
    ],
)
def test_what_is_no_text_is_refused_at_its_piece_and_nothing_of_it_kept(browser, sent, code):
    pieces, after = begun(browser)
    at = 0
    for data in sent:
        answer = send(browser, pieces, at, data, last=data is sent[-1])
        at += len(data)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert not StoredFile.objects.exists()
    assert not StoredPiece.objects.exists()
    assert browser.get(after).status_code == 404
    assert send(browser, pieces, 0, b"email\n").status_code == 404


def test_a_file_that_is_too_large_is_refused_before_and_while_it_comes(browser, monkeypatch):
    monkeypatch.setattr(stored_files, "MOST_BYTES", 10)
    with snapshot.nothing_changes():
        answer = browser.post("import/begin/", {"name": "people.csv", "size": 11})
    assert (answer.status_code, answer.json()["code"]) == (400, "too_large")
    pieces, _ = begun(browser, 5)
    send(browser, pieces, 0, b"email\n")
    assert send(browser, pieces, 6, b"a@b.c").json()["code"] == "too_large"
    assert not StoredFile.objects.exists()


def test_nobody_fills_the_database_with_many_files(browser, monkeypatch):
    monkeypatch.setattr(stored_files, "MOST_OF_ONE", 30)
    pieces, _ = begun(browser, 5)
    brought(browser, "email\na@example.org\n")
    with snapshot.nothing_changes():
        assert browser.post("import/begin/", {"name": "x", "size": 20}).json()["code"] == "too_many_files"
        assert "more than 1 GB" in bring(browser, "email\nb@example.org\n").content.decode()
    assert send(browser, pieces, 0, b"email\nc@example.org\n").json()["code"] == "too_many_files"
    assert StoredFile.objects.count() == 1


@pytest.mark.parametrize("form", [{}, {"name": "x"}, {"name": "", "size": 1}, {"name": "x\0", "size": 1}])
def test_a_file_begins_with_a_name_and_a_size(browser, form):
    with snapshot.nothing_changes():
        assert browser.post("import/begin/", form).status_code == 400


def test_a_name_breaks_no_header(browser):
    job = tried(browser, "email\nann@example.org\n", {"column-0": "email"})
    StoredFile.objects.update(name='report-"ж\\.csv')
    assert "\n" not in browser.get(f"jobs/{job.pk}/report/")["Content-Disposition"]
    begun(browser, name='a"b\r\nX-Evil: 1\u202e.csv')
    assert StoredFile.objects.latest("id").name == 'a"bX-Evil: 1.csv'


def test_a_piece_and_what_is_sent_at_once_fit_the_bounds_of_a_request(browser):
    assert max(PIECE_BYTES, WHOLE_BYTES + 10_000) < MAX_BODY
    line = b"p%06d@example.org\n"
    data = b"email\n" + b"".join(line % n for n in range((WHOLE_BYTES - 10) // len(line % 0)))
    assert brought(browser, data)
    assert bring(browser, b"x" * MAX_BODY).status_code == 413


def test_a_file_too_large_for_a_request_is_refused_on_a_page_that_says_what_to_do(browser):
    browser.client.defaults["HTTP_ACCEPT"] = "text/html,*/*;q=0.8"
    page = bring(browser, b"x" * MAX_BODY)
    assert (page.status_code, page["Content-Type"]) == (413, "text/html; charset=utf-8")
    assert "manage.py import_users" in page.content.decode()
    assert 'href="http://127.0.0.1:8000/admin/import/"' in page.content.decode()
    assert not StoredFile.objects.exists()


def test_what_the_panel_refuses_is_told_on_a_page():
    plain, _user = staff("user:read")
    plain.client.defaults["HTTP_ACCEPT"] = "text/html,*/*;q=0.8"
    page = plain.get("import/")
    assert (page.status_code, page["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert 'href="/admin/"' in page.content.decode()


def test_pieces_need_the_token_of_the_form():
    plain, _user = staff("user:import")
    pieces, _after = begun(plain)
    browser = Browser(enforce_csrf_checks=True)
    browser.client.cookies = plain.client.cookies
    with snapshot.nothing_changes():
        assert send(browser, pieces, 0, b"email\n").status_code == 403
    page = browser.get("import/").content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
    answer = browser.client.post(
        f"/admin/{pieces}?start=0", b"email\n", content_type="application/octet-stream", HTTP_X_CSRFTOKEN=token
    )
    assert answer.json() == {"at": 6}


# --- Whom it is for ----------------------------------------------------------------------------------------------


def test_whoever_may_not_import_sees_no_way_to_it_and_forges_none(browser):
    job = tried(browser)
    other, clerk = staff("user:read", "user:export", "user:write")
    Job.objects.update(actor_id=clerk.pk)
    StoredFile.objects.update(owner_id=clerk.pk)
    file = job.parameters["file"]
    paths = ["import/", "import/begin/", f"import/{file}/", f"import/{file}/pieces/?start=0", f"import/{file}/delete/"]
    paths += [f"jobs/{job.pk}/report/", f"jobs/{job.pk}/import/"]
    for page in ("", "accounts/user/", f"jobs/{job.pk}/"):
        assert "/import/" not in other.get(page).content.decode()
        assert "/report/" not in other.get(page).content.decode()
    with snapshot.nothing_changes():
        for path in paths:
            assert other.get(path).status_code == 403, path
            assert other.post(path, CHOSEN).status_code == 403, path


def test_somebody_elses_file_job_and_report_are_not_there(browser):
    job, file = tried(browser), brought(browser, TABLE)
    pieces, after = begun(browser)
    other = Browser().sign_in(administrator(is_staff=True))
    with snapshot.nothing_changes():
        for path in (file, after, f"jobs/{job.pk}/", f"jobs/{job.pk}/report/"):
            assert other.get(path).status_code == 404, path
        assert other.post(file, CHOSEN).status_code == 404
        assert other.post(f"{file}delete/").status_code == 404
        assert other.post(f"jobs/{job.pk}/import/").status_code == 404
        assert send(other, pieces, 0, b"email\n", last=True).status_code == 404
    assert str(job.pk) not in other.get("import/").content.decode()


def test_reports_and_exports_are_no_files_to_import_nor_to_add_to():
    browser, _ = staff("user:import", "user:export", "user:export_hashes")
    report = tried(browser).parameters["report"]
    browser.post(EXPORT, {"format": "csv", "with_hashes": "on"})
    job = worked(Job.objects.latest("id"))
    browser, clerk = staff("user:import")
    StoredFile.objects.update(owner_id=clerk.pk)
    Job.objects.update(actor_id=clerk.pk)
    with snapshot.nothing_changes():
        for file in (report, job.parameters["file"]):
            assert browser.get(f"import/{file}/").status_code == 404
            assert browser.post(f"import/{file}/", CHOSEN).status_code == 404
            assert browser.post(f"import/{file}/delete/").status_code == 404
            assert send(browser, f"import/{file}/pieces/", 0, b"x").status_code == 404


@pytest.mark.parametrize(
    "path", ["import/begin/", "import/{file}/pieces/", "import/{file}/delete/", "jobs/{job}/import/"]
)
def test_what_changes_something_is_no_link(browser, path):
    job = tried(browser)
    with snapshot.nothing_changes():
        assert browser.get(path.format(file=job.parameters["file"], job=job.pk)).status_code == 405


def test_who_loses_the_permission_meanwhile_imports_nobody():
    browser, user = staff("user:import")
    job = tried(browser)
    browser.post(f"jobs/{job.pk}/import/")
    RoleGrant.objects.filter(user=user).delete()
    job = worked(Job.objects.latest("id"))
    assert (job.state, job.reason) == ("failed", "permission_denied")
    assert not User.objects.filter(email="ann@example.org").exists()


# --- Export ------------------------------------------------------------------------------------------------------


def exported(browser, query="", **form):
    response = browser.post(f"{EXPORT}{query}", {"format": "csv", **form})
    job = worked(Job.objects.latest("id"))
    assert path_of(response) == f"jobs/{job.pk}/"
    return job


def test_the_list_leads_to_an_export_of_what_it_shows():
    browser, _ = staff("user:read", "user:export")
    UserFactory(email="ann@example.org", first_name="=1+1")
    UserFactory(email="bob@example.org", first_name="Bob", last_name="", is_active=False)
    UserFactory(email="annette@example.org", is_active=False)
    listing = browser.get("accounts/user/?is_active=false&q=ann").content.decode()
    link = re.search(r'href="(/admin/accounts/user/export/[^"]*)"', listing)[1].replace("&amp;", "&")
    page = browser.client.get(link).content.decode()
    assert "State: Inactive" in page
    assert "Search: ann" in page
    job = exported(browser, link.partition("export/")[2])
    answer = browser.get(f"jobs/{job.pk}/file/")
    assert answer["Content-Disposition"] == 'attachment; filename="users.csv"'
    length = int(answer["Content-Length"])
    found = body(answer)
    assert len(found) == length
    assert [row["email"] for row in csv.DictReader(io.StringIO(found.decode()))] == ["annette@example.org"]
    assert b"password" not in found
    assert events("users.exported")[0].details["users"] == 1


def test_without_filters_it_is_everybody_and_no_cell_is_a_formula():
    browser, _ = staff("user:export")
    UserFactory(email="ann@example.org", first_name="=1+1", last_name="<script>")
    assert "Everybody." in browser.get(EXPORT).content.decode()
    found = rows(browser.get(f"jobs/{exported(browser).pk}/file/"))
    assert len(found) == User.objects.count()
    assert [(row["first_name"], row["last_name"]) for row in found if row["email"] == "ann@example.org"] == [
        ("'=1+1", "<script>")
    ]


def test_json_lines_are_an_answer_too():
    browser, _ = staff("user:export")
    job = exported(browser, format="jsonl")
    answer = browser.get(f"jobs/{job.pk}/file/")
    assert answer["Content-Disposition"] == 'attachment; filename="users.jsonl"'
    assert body(answer).count(b"\n") == User.objects.count()


def test_hashes_are_offered_to_and_taken_by_those_who_may_have_them_only():
    person = UserFactory()
    without, _ = staff("user:export")
    assert "with_hashes" not in without.get(EXPORT).content.decode()
    with snapshot.nothing_changes():
        assert without.post(EXPORT, {"format": "csv", "with_hashes": "on"}).status_code == 403
    browser, _ = staff("user:export", "user:export_hashes")
    assert "with_hashes" in browser.get(EXPORT).content.decode()
    job = exported(browser, with_hashes="on")
    assert "keep it safe" in browser.get(f"jobs/{job.pk}/").content.decode()
    assert person.password.encode() in body(browser.get(f"jobs/{job.pk}/file/"))
    lesser, clerk = staff("user:export")
    Job.objects.filter(pk=job.pk).update(actor_id=clerk.pk)
    with snapshot.nothing_changes():
        assert lesser.get(f"jobs/{job.pk}/file/").status_code == 403
        assert "/file/" not in lesser.get(f"jobs/{job.pk}/").content.decode()


def test_whoever_may_not_export_sees_no_way_to_it_and_forges_none():
    browser, _ = staff("user:export")
    job = exported(browser)
    other, clerk = staff("user:read", "user:import", "user:export_hashes")
    assert "export/" not in other.get("accounts/user/").content.decode()
    with snapshot.nothing_changes():
        assert other.get(EXPORT).status_code == 403
        assert other.post(EXPORT, {"format": "csv"}).status_code == 403
        assert other.get(f"jobs/{job.pk}/file/").status_code == 403
    Job.objects.update(actor_id=clerk.pk)
    with snapshot.nothing_changes():
        assert other.get(f"jobs/{job.pk}/file/").status_code == 403
        assert "/file/" not in other.get(f"jobs/{job.pk}/").content.decode()


def test_somebody_elses_export_is_not_there():
    browser, _ = staff("user:export")
    job = exported(browser)
    other = Browser().sign_in(administrator(is_staff=True))
    with snapshot.nothing_changes():
        assert other.get(f"jobs/{job.pk}/file/").status_code == 404


def test_an_export_under_way_or_gone_is_no_file():
    browser, _ = staff("user:export")
    browser.post(EXPORT, {"format": "csv"})
    job = Job.objects.get()
    assert browser.get(f"jobs/{job.pk}/file/").status_code == 404
    worked(job)
    assert "/file/" in browser.get(f"jobs/{job.pk}/").content.decode()
    StoredFile.objects.all().delete()
    assert browser.get(f"jobs/{job.pk}/file/").status_code == 404
    assert "/file/" not in browser.get(f"jobs/{job.pk}/").content.decode()


@pytest.mark.parametrize("query", ["?is_active=banana", "?password__startswith=md5", "?role=nobody", f"?q={'x' * 300}"])
def test_a_filter_that_is_none_exports_nobody(query):
    browser, _ = staff("user:export")
    with snapshot.nothing_changes():
        assert browser.post(f"{EXPORT}{query}", {"format": "csv"}).status_code == 400


def test_a_format_that_is_none_exports_nobody():
    browser, _ = staff("user:export")
    with snapshot.nothing_changes():
        assert browser.post(EXPORT, {"format": "xml"}).status_code == 200


def test_the_script_sends_what_the_server_asks_for(browser):
    """Names that the page and the script share."""
    script = Path("config/static/muster/upload.js").read_text()
    page = browser.get("import/").content.decode()
    for name in ("begin", "whole", "piece", "lost"):
        assert f"data-{name}=" in page
        assert f"dataset.{name}" in script
    for name in ("upload", "upload-progress", "upload-fault"):
        assert f'id="{name}"' in page
        assert f'"{name}"' in script


def test_the_pages_speak_russian():
    browser = Browser().sign_in(holder("user:import", "user:export", is_staff=True, language="ru"))
    assert "Импорт людей" in browser.get("import/").content.decode()
    assert "Экспорт людей" in browser.get(EXPORT).content.decode()
    page = browser.get(brought(browser, TABLE)).content.decode()
    assert "пробный импорт" in page
