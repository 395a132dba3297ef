"""`manage.py import_users` and `export_users`: what an operator sees, and what is left when one of them is killed."""

import io
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from django.core.management import CommandError, call_command

from accounts.job_models import Job, StoredFile, StoredPiece
from accounts.models import User
from accounts.services import imports, jobs
from accounts.tests.clock import time_passes
from accounts.tests.scene import nothing_changes
from core.progress import Progress
from tests.serving import ROOT, settings_for

HEAD = "email,username,external_id,is_verified\n"


def lines(first, last):
    return "".join(f"p{n}@example.org,name{n},x-{n},true\n" for n in range(first, last))


@pytest.fixture
def file(tmp_path):
    def write(text, name="people.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def run(*arguments, **options):
    """Standard output, and standard error."""
    out, err = io.StringIO(), io.StringIO()
    call_command("import_users", *map(str, arguments), stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


@pytest.mark.django_db(transaction=True)
def test_it_says_what_it_did_and_leaves_no_copy_of_the_file(file):
    path = file(HEAD + lines(0, 30))
    assert run(path, "--dry-run")[0] == ("Dry run, nothing was changed: 30 created, 0 updated, 0 unchanged, 0 error.\n")
    assert not User.objects.exists()
    assert run(path)[0] == "30 created, 0 updated, 0 unchanged, 0 error.\n"
    assert run(path)[0] == "0 created, 0 updated, 30 unchanged, 0 error.\n"
    reports = {job.parameters["report"] for job in Job.objects.all()}
    assert {str(pk) for pk in StoredPiece.objects.values_list("file_id", flat=True)} == reports


@pytest.mark.django_db
def test_refused_rows_are_shown_and_make_the_exit_code_3(file, tmp_path, capsys):
    path = file(HEAD + lines(0, 2) + "broken,,,\n" * 30)
    err = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("import_users", str(path), "--report", str(tmp_path / "report.csv"), stderr=err)
    assert ended.value.code == 3
    assert User.objects.count() == 2
    assert "4,error,,email,invalid_email," in err.getvalue()
    assert len(err.getvalue().splitlines()) == 21
    assert len((tmp_path / "report.csv").read_text().splitlines()) == 33


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("email,shoe\n", (), "shoe"),
        ("Mail\n", ("--map", "Mail=first_name"), "email"),
        ("email\n", ("--map", "Mail=email"), "Mail"),
        ("email\n", ("--map", "email"), "THEIRS=OURS"),
        ("email\nИван\n".encode("cp1251"), (), "Line 2"),
        ("email\n".encode("utf-16"), (), "UTF-16"),
        ("", (), "empty"),
    ],
)
def test_a_file_of_no_use_is_refused_with_one_clear_word(file, text, options, told):
    path = file(text)
    with nothing_changes(), pytest.raises(CommandError) as refusal:
        run(path, *options)
    assert told in str(refusal.value)
    assert not Job.objects.exists()
    assert not StoredFile.objects.exists()


@pytest.mark.django_db
def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        run(tmp_path / "nothing.csv")


@pytest.mark.django_db
def test_columns_of_theirs_are_named(file):
    path = file("E-Mail;Vorname;Schuhgröße\nann@example.org;Änne;38\n")
    run(path, "--map", "E-Mail=email", "--map", "Vorname=first_name", "--map", "Schuhgröße=-")
    assert User.objects.get(email="ann@example.org").first_name == "Änne"


@pytest.mark.django_db
def test_the_same_import_that_was_cut_short_goes_on_where_it_was(file, monkeypatch):
    monkeypatch.setattr(imports, "BATCH", 5)
    monkeypatch.setattr("accounts.management.commands.import_users.SLICE_SECONDS", 0)
    path = file(HEAD + lines(0, 30))
    real, runs = jobs.run, []

    def killed(job_id, seconds):
        if len(runs) == 2:
            jobs._claim(job_id)
            raise SystemError  # as if the process was gone
        runs.append(real(job_id, seconds))

    monkeypatch.setattr(jobs, "run", killed)
    with pytest.raises(SystemError):
        run(path)
    assert User.objects.count() == 10
    monkeypatch.setattr(jobs, "run", real)
    time_passes(minutes=2)
    out, err = run(path)
    assert "Going on after 10 rows." in err
    assert out == "30 created, 0 updated, 0 unchanged, 0 error.\n"
    assert Job.objects.count() == 1


@pytest.mark.django_db
def test_interrupting_stops_it_for_good(file, monkeypatch):
    monkeypatch.setattr(imports, "BATCH", 5)
    path, real = file(HEAD + lines(0, 30)), jobs.run

    def interrupted(job_id, seconds):
        real(job_id, 0)
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "run", interrupted)
    with pytest.raises(CommandError, match="What was taken over stays") as stopped:
        run(path)
    assert stopped.value.returncode == 130
    assert (Job.objects.get().state, User.objects.count()) == ("cancelled", 5)


def test_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch):
    class Out(io.StringIO):
        def write(self, text, ending=None):
            return super().write(text)

    monkeypatch.setattr("core.progress.SECONDS", 0)
    plain = Out()
    Progress(plain, "rows").tell(5, 10)
    assert plain.getvalue() == "rows: 5 of about 10\n"
    terminal = Out()
    terminal.isatty = lambda: True
    bar = Progress(terminal, "rows")
    bar.told -= 1
    bar.tell(5, 10)
    assert "[###############               ]  50%  rows: 5 of about 10" in terminal.getvalue()


# --- Real processes ----------------------------------------------------------------------------------------------


class Place:
    """A folder with a database of its own, and commands that run there."""

    def __init__(self, folder):
        self.folder, self.environment = folder, settings_for(folder)
        self.manage("migrate", "-v0")

    def start(self, *arguments):
        command = [sys.executable, "manage.py", *map(str, arguments)]
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def manage(self, *arguments, code=0):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        assert process.returncode == code, err.decode()
        return out.decode()

    def ask(self, question):
        with sqlite3.connect(self.folder / "serve.sqlite3", timeout=30) as database:
            return database.execute(question).fetchone()[0]

    def memory(self, *arguments):
        """The most that a command ever held, in KiB."""
        process = self.start(*arguments)
        assert process.stdout
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return process.returncode, usage.ru_maxrss


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_in_the_middle_it_leaves_no_half_state_and_goes_on(place, file):
    path, rows = file(HEAD + lines(0, 20_000)), 20_000
    process = place.start("import_users", path)
    for least in (1000, 3000):
        wait_until(lambda least=least: place.ask("SELECT count(*) FROM users") >= least)
        process.send_signal(signal.SIGKILL)
        process.wait()
        there = place.ask("SELECT count(*) FROM users")
        assert there < rows
        assert place.ask("SELECT done FROM jobs") == there
        assert place.ask("SELECT count(*) FROM user_roles") == there
        assert place.ask("SELECT count(*) FROM audit_events WHERE action = 'user.imported'") == there
        with sqlite3.connect(place.folder / "serve.sqlite3") as database:
            database.execute("UPDATE jobs SET due_at = '2020-01-01 00:00:00'")  # its lease ends
        process = place.start("import_users", path)
    out, err = process.communicate(timeout=300)
    assert out.decode().endswith(f"{rows:,} created, 0 updated, 0 unchanged, 0 error.\n"), err.decode()
    assert b"Going on after" in err
    for table in ("users", "user_roles", "audit_events"):
        assert place.ask(f"SELECT count(*) FROM {table}") == rows
    assert place.ask("SELECT count(*) FROM jobs") == 1
    report = StoredFileReport(place).lines()
    assert len(report) == len(set(report)) == rows + 1


class StoredFileReport:
    def __init__(self, place):
        self.place = place

    def lines(self):
        with sqlite3.connect(self.place.folder / "serve.sqlite3") as database:
            pieces = database.execute("SELECT data FROM stored_pieces ORDER BY file_id, start").fetchall()
        return b"".join(data for (data,) in pieces).splitlines()


@pytest.mark.slow
def test_more_rows_cost_no_more_memory(place, file):
    """With bad rows among them, whose report would be the first to grow."""
    few, many = (HEAD + lines(0, n) + "broken,,,\n" * n for n in (2_000, 40_000))
    code, small = place.memory("import_users", file(few, "few.csv"))
    assert code == 3
    code, large = place.memory("import_users", file(many, "many.csv"))
    assert code == 3
    assert large - small < 8 * 1024
    assert place.ask("SELECT count(*) FROM users") == 40_000
    exported = place.folder / "out.csv"
    code, all_of_them = place.memory("export_users", exported)
    assert (code, len(exported.read_bytes().splitlines())) == (0, 40_001)
    place.ask("DELETE FROM user_roles RETURNING 1")
    with sqlite3.connect(place.folder / "serve.sqlite3") as database:
        database.execute("DELETE FROM users WHERE username NOT LIKE 'name1_'")
    code, ten = place.memory("export_users", exported)
    assert code == 0
    assert all_of_them - ten < 8 * 1024


@pytest.mark.slow
def test_a_long_line_and_a_quotation_mark_that_never_closes_cost_no_memory(place, file):
    long = file(HEAD + lines(0, 10) + "x" * 60_000_000 + "\n" + lines(10, 20) + '"' + lines(20, 50_000))
    code, most = place.memory("import_users", long)
    _, usual = place.memory("import_users", file(HEAD + lines(0, 10), "few.csv"))
    assert code == 3
    assert most - usual < 12 * 1024
    assert place.ask("SELECT count(*) FROM users") > 40_000
