"""Writing everybody to a table: whole, harmless, without hashes unless somebody may have them, good to take back."""

import csv
import io
import json

import pytest
from django.core.management import call_command

from accounts import stored_files
from accounts.job_models import Job, StoredFile
from accounts.models import User
from accounts.services import exports, jobs
from accounts.tests.factories import UserFactory
from accounts.tests.scene import administrator, events, holder
from accounts.tests.test_imports import SYSTEM, count, finished, take
from core.actor import Actor
from core.errors import InvalidInput, PermissionDenied
from rbac.models import Role, RoleGrant
from rbac.tests.factories import GrantFactory, RoleFactory

pytestmark = pytest.mark.django_db

NASTY = ["=1+1", "+1", "-2+3", "@SUM(A1)", "'=1", "O'Brien", '"quoted"', "a,b;c", "{{7*7}}", "<script>", "Ёж"]


def everything(form="csv", with_hashes=False):
    rows = [row for batch in exports.batches(with_hashes) for row in batch]
    return exports.titles(form, with_hashes) + exports.lines(rows, form)


def table(data):
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def facts():
    """Of everybody, what a round trip must keep."""
    fields = [*("email", "email_key", "username", "first_name", "middle_name", "last_name", "language")]
    fields += ["is_active", "is_verified", "external_id", "password", "created_at", "search_text"]
    grants = RoleGrant.objects.values_list("user__email", "role__name", "expires_at")
    return list(User.objects.order_by("email").values_list(*fields)), sorted(grants, key=str)


def a_crowd():
    crowd = [UserFactory(first_name=name, last_name=f"'{name}", is_verified=n % 2) for n, name in enumerate(NASTY)]
    UserFactory(
        email="Odd@example.org", username="odd", is_active=False, external_id="=x", language="ru", password=None
    )
    GrantFactory(user=crowd[0], role=RoleFactory(name="editor"))
    GrantFactory(user=crowd[0], role=RoleFactory(name="clerk"), expires_at="2099-01-01T10:00:00.123456Z")
    for user in User.objects.all():
        RoleGrant.objects.create(user=user, role=Role.objects.get(name="user"))


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_is_exported_can_be_taken_back_without_loss(form, monkeypatch):
    monkeypatch.setattr(exports, "BATCH", 4)
    a_crowd()
    User.objects.filter(password__startswith="md5").update(password="pbkdf2_sha256$1000$saltsalt$" + "A" * 43 + "=")
    User.objects.filter(password__startswith="!").update(password="")
    before, data = facts(), everything(form, with_hashes=True)
    User.objects.all().delete()
    job = take(data, name=f"users.{form}")
    assert (count(job)[0], job.failed) == (len(NASTY) + 1, 0)
    User.objects.filter(password__startswith="!").update(password="")
    assert facts() == before
    assert count(take(everything(form), name=f"users.{form}")) == (0, 0, len(NASTY) + 1, 0)


def test_no_cell_is_a_formula():
    a_crowd()
    lines = list(csv.reader(io.StringIO(everything(with_hashes=True).decode(), newline="")))
    assert len(lines) == len(NASTY) + 2
    assert [cell for line in lines for cell in line if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_no_hash_is_there_unless_asked_for(form):
    user = UserFactory()
    assert user.password.encode() not in everything(form)
    assert b"password" not in everything(form)
    assert user.password.encode() in everything(form, with_hashes=True)


def in_background(actor, form="csv", filters=None, **how):
    job = finished(exports.start(actor, form, filters or {}, **how))
    return job, b"".join(stored_files.pieces(StoredFile.objects.get(pk=job.parameters["file"])))


def test_the_background_writes_the_same_in_steps(monkeypatch):
    monkeypatch.setattr(exports, "BATCH", 4)
    monkeypatch.setattr(jobs, "SLICE_SECONDS", 0)
    clerk = holder("user:export")
    a_crowd()
    job, data = in_background(Actor(user=clerk))
    assert (job.state, job.done) == ("done", User.objects.count())
    assert data == everything()
    file = StoredFile.objects.get(pk=job.parameters["file"])
    assert (file.is_whole, file.owner_id, file.size) == (True, clerk.pk, len(data))


def test_who_took_everybodys_data_is_recorded():
    clerk = holder("user:export")
    in_background(Actor(user=clerk), filters={"is_active": "true"})
    event = events("users.exported")[0]
    assert (event.actor_id, event.details) == (
        clerk.pk,
        {"users": 1, "with_hashes": False, "filtered_by": ["is_active"]},
    )


def test_filters_are_those_of_the_list():
    UserFactory(first_name="Zoe")
    UserFactory(first_name="Zora", is_active=False)
    _, data = in_background(SYSTEM, filters={"search": "zo", "is_active": "true"})
    assert [row["first_name"] for row in table(data)] == ["Zoe"]


@pytest.mark.parametrize("filters", [{"is_active": "banana"}, {"role": "nonesuch"}, {"is_actve": "true"}])
def test_a_filter_that_means_nothing_is_not_everybody(filters):
    with pytest.raises(InvalidInput):
        exports.start(SYSTEM, "csv", filters)


def test_a_role_that_is_deleted_meanwhile_ends_the_export(monkeypatch):
    monkeypatch.setattr(exports, "BATCH", 1)
    role = RoleFactory(name="editor")
    for _ in range(3):
        GrantFactory(user=UserFactory(), role=role)
    job = exports.start(SYSTEM, "csv", {"role": "editor"})
    jobs.run(job.pk, seconds=0)
    role.delete()
    job = finished(job)
    assert (job.state, job.done) == ("failed", 1)


def test_export_and_hashes_need_permissions_of_their_own():
    for actor, hashes in ((holder("user:read", "user:write"), False), (holder("user:export"), True)):
        with pytest.raises(PermissionDenied):
            exports.start(Actor(user=actor), "csv", {}, with_hashes=hashes)
    assert not Job.objects.exists()
    assert not StoredFile.objects.exists()
    job, data = in_background(Actor(user=administrator()), with_hashes=True)
    assert (job.state, b"password_hash" in data) == ("done", True)


@pytest.mark.django_db(transaction=True)
def test_hashes_stop_when_the_permission_for_them_goes(monkeypatch):
    monkeypatch.setattr(exports, "BATCH", 1)
    RoleFactory(name="all", permissions=["user:export", "user:export_hashes"])
    clerk = GrantFactory(user=UserFactory(), role=Role.objects.get(name="all")).user
    UserFactory()
    job = exports.start(Actor(user=clerk), "csv", {}, with_hashes=True)
    jobs.run(job.pk, seconds=0)
    RoleGrant.objects.filter(user=clerk).delete()
    GrantFactory(user=clerk, role=RoleFactory(permissions=["user:export"]))
    job = finished(job)
    assert (job.state, job.reason, job.done) == ("failed", "permission_denied", 1)
    assert not StoredFile.objects.exists(), "what was written so far is gone"


def test_an_empty_answer_has_titles_only():
    assert everything() == ",".join(exports.COLUMNS).encode() + b"\r\n"
    assert everything("jsonl") == b""


def test_the_command_writes_a_file_for_its_owner_only(tmp_path):
    UserFactory(first_name="=1+1")
    file = tmp_path / "users.jsonl"
    call_command("export_users", file)
    assert json.loads(file.read_text())["first_name"] == "=1+1"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]
    assert events("users.exported")[0].details == {
        "by": "export_users",
        "users": 1,
        "with_hashes": False,
        "filtered_by": [],
    }
