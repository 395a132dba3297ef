"""Taking people over from another system: all that a row says, nothing that it may not, and each row once."""

import csv
import io
import json

import bcrypt
import pytest

from accounts import stored_files
from accounts.addresses import parse_address
from accounts.job_models import Job, StoredFile, StoredPiece
from accounts.models import User
from accounts.services import import_batches, imports, jobs
from accounts.services.cleanup import clean_up
from accounts.services.registration import sign_up
from accounts.table_files import FileRefused
from accounts.tests.clock import time_passes
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.scene import administrator, events, holder, letters, nothing_changes
from accounts.tests.steps import gets_in
from accounts.tests.test_foreign_hashes import FOREIGN
from accounts.tests.test_foreign_hashes import PASSWORD as KNOWN_PASSWORD
from audit.models import Event
from core.actor import Actor
from core.errors import NotFound, PermissionDenied
from mail.models import OutgoingMail
from rbac.models import RoleGrant
from rbac.tests.factories import RoleFactory

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("test")
BCRYPT = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
IMPORTED = ("user.imported", "user.changed")


def stored(text, name="people.csv", owner=None):
    data = text if isinstance(text, bytes) else text.encode()
    return stored_files.store(owner, name, [data[n : n + 1000] for n in range(0, len(data), 1000)])


def take(text, actor=SYSTEM, mapping=None, name="people.csv", **how):
    """Import it to the end, as the background does."""
    job = imports.start(actor, stored(text, name, actor.user_id), mapping or {}, **how)
    return finished(job)


def finished(job):
    for _ in range(1000):
        jobs.sweep()
        job.refresh_from_db()
        if not job.is_open:
            break
    return job


def report(job):
    text = b"".join(stored_files.pieces(StoredFile.objects.get(pk=job.parameters["report"]))).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def results(job):
    """By row: what became of it, and the codes of what is wrong."""
    found = {}
    for line in report(job):
        found.setdefault(int(line["row"]), [line["result"]]).extend(
            [f"{line['field']}:{line['code']}"] * bool(line["code"])
        )
    return list(found.values())


def count(job):
    return tuple(job.outcome[name] for name in import_batches.RESULTS)


EVERYTHING = f"""\
email,username,first_name,middle_name,last_name,language,is_active,is_verified,roles,external_id,hash,since
Ann@Example.org,ann,Анна,M,<script>,ru,true,true,editor clerk@2099-01-31T00:00Z,x-1,{BCRYPT},2019-05-06T07:08:09+02:00
bob@example.org,,,,,,false,,,,,
"""
THEIRS = {"hash": "password_hash", "since": "created_at"}


def test_all_that_a_row_says_is_taken_over():
    RoleFactory(name="Editor")
    RoleFactory(name="clerk")
    job = take(EVERYTHING, mapping=THEIRS)
    assert count(job) == (2, 0, 0, 0)
    ann = User.objects.get(email_key="ann@example.org")
    assert (ann.email, ann.username, ann.first_name, ann.last_name) == ("Ann@example.org", "ann", "Анна", "<script>")
    assert (ann.language, ann.is_active, ann.is_verified, ann.external_id) == ("ru", True, True, "x-1")
    assert (ann.joined_by, ann.created_at.isoformat()) == ("import", "2019-05-06T05:08:09+00:00")
    grants = {grant.role.name: grant.expires_at for grant in RoleGrant.objects.filter(user=ann).select_related("role")}
    assert (set(grants), grants["clerk"].year, grants["Editor"]) == ({"user", "Editor", "clerk"}, 2099, None)
    assert User.objects.search("анна").get() == ann
    bob = User.objects.get(email_key="bob@example.org")
    assert (bob.username, bob.language, bob.is_active, bob.is_verified) == (None, "en", False, False)
    assert not bob.has_usable_password()


def test_each_account_has_one_event_and_nobody_a_mail():
    RoleFactory(name="editor")
    RoleFactory(name="clerk")
    take(EVERYTHING, mapping=THEIRS)
    assert sorted(Event.objects.values_list("action", flat=True)) == ["user.imported"] * 2
    assert {e.details["by"] for e in events("user.imported")} == {"test"}
    assert not OutgoingMail.objects.exists()


def test_hashes_of_others_let_their_owners_in_and_are_replaced_by_that():
    people = {f"p{n}@example.org": found for n, found in enumerate(FOREIGN.values())}
    lines = [{"email": email, "is_verified": True, "password_hash": found} for email, found in people.items()]
    assert count(take("\n".join(map(json.dumps, lines)), name="people.jsonl")) == (len(people), 0, 0, 0)
    for email in people:
        taken = User.objects.get(email=email).password
        assert not gets_in(email, "Battery-staple-7")
        assert gets_in(email, KNOWN_PASSWORD)
        assert User.objects.get(email=email).password.startswith("md5$") != taken.startswith("md5$")
        assert gets_in(email, KNOWN_PASSWORD)


@pytest.mark.real_hashing
def test_the_hash_that_replaces_it_is_as_strong_as_any_of_ours():
    take(f"email,is_verified,password_hash\nann@example.org,true,{BCRYPT}\n")
    assert gets_in("ann@example.org")
    assert User.objects.get(email="ann@example.org").password.startswith("bcrypt_sha256$$2b$12$")


def test_whose_address_is_not_proved_must_prove_it_first(api):
    take(f"email,password_hash\nann@example.org,{BCRYPT}\n")
    answer = api.post("/auth/login", {"email": "ann@example.org", "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (403, "email_not_verified")


def test_a_second_run_changes_nothing_at_all():
    RoleFactory(name="editor")
    RoleFactory(name="clerk")
    take(EVERYTHING, mapping=THEIRS)
    with nothing_changes():
        job = take(EVERYTHING, mapping=THEIRS)
    assert count(job) == (0, 0, 2, 0)


def test_a_dry_run_says_the_same_and_changes_nothing():
    UserFactory(email="old@example.org", first_name="Old", external_id=None)
    new = "new@example.org,New,1\n"
    text = f"email,first_name,external_id\n{new}old@example.org,Older,2\nbroken,x,3\n{new}"
    with nothing_changes():
        rehearsal = take(text, dry_run=True)
    job = take(text)
    assert rehearsal.outcome == job.outcome
    assert report(rehearsal) == report(job)
    assert results(job) == [["created"], ["updated"], ["error", "email:invalid_email"], ["unchanged"]]


def test_the_report_names_row_field_code_and_words():
    job = take(
        "email,username,first_name,language,is_active,roles,password_hash,created_at\n"
        ",a b,x\u202ey,de,perhaps,nobody,md5$x,2999-01-01\n"
    )
    lines = report(job)
    assert {(line["field"], line["code"]) for line in lines} == {
        ("email", "required"),
        ("username", "invalid_username"),
        ("first_name", "control_character"),
        ("language", "invalid_choice"),
        ("is_active", "invalid"),
        ("password_hash", "unknown_hash"),
        ("created_at", "future"),
    }
    assert all(line["row"] == "2" and line["detail"] for line in lines)
    assert not User.objects.exists()


def test_formulas_are_harmless_in_the_report():
    job = take("email,first_name\n=1+1@example.org,=cmd\n@broken,x\n")
    text = b"".join(stored_files.pieces(StoredFile.objects.get(pk=job.parameters["report"]))).decode()
    assert all(not cell.startswith(("=", "@", "+", "-")) for line in csv.reader(io.StringIO(text)) for cell in line)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("email,external_id\nold@example.org,other\n", "external_id:other_id"),
        ("email,external_id\nmoved@example.org,x-1\n", "external_id:other_address"),
        ("email,external_id\nsecond@example.org,x-1\n", "external_id:other_address"),
        ("email,username\nold@example.org,TAKEN\n", "username:taken"),
        ("email,username\nnew@example.org,TAKEN\n", "username:taken"),
        ("email,roles\nnew@example.org,nonesuch\n", "roles:unknown"),
    ],
)
def test_what_contradicts_an_account_is_refused(change, code):
    UserFactory(email="old@example.org", external_id="x-1")
    UserFactory(email="second@example.org", username="taken")
    with nothing_changes():
        job = take(change)
    assert results(job) == [["error", code]]


def test_an_existing_account_keeps_password_address_state_and_roles():
    old = UserFactory(email="old@example.org", is_active=False, is_verified=False, joined_by="administrator")
    RoleFactory(name="editor")
    password = old.password
    job = take(
        "email,first_name,is_active,is_verified,roles,password_hash,created_at,external_id\n"
        f"OLD@example.org,Older,true,true,editor,{BCRYPT},2001-01-01,x-9\n"
    )
    assert count(job) == (0, 1, 0, 0)
    old.refresh_from_db()
    assert (old.first_name, old.external_id) == ("Older", "x-9")
    assert (old.email, old.password, old.is_active, old.is_verified) == ("old@example.org", password, False, False)
    assert not RoleGrant.objects.filter(user=old).exists()
    assert events("user.changed")[0].details["fields"] == ["external_id", "first_name"]


def test_an_empty_cell_says_nothing():
    UserFactory(email="old@example.org", first_name="Ann", username="ann")
    with nothing_changes():
        assert count(take("email,first_name,username\nold@example.org,,\n")) == (0, 0, 1, 0)


def test_a_sign_up_that_nobody_proved_gives_way():
    sign_up(Actor(ip="192.0.2.1"), parse_address("ann@example.org"), PASSWORD, {"username": "ann"})
    job = take("email,username,is_verified\nann@example.org,ann,true\n")
    assert count(job) == (1, 0, 0, 0)
    ann = User.objects.get(email="ann@example.org")
    assert (ann.joined_by, ann.has_usable_password(), ann.username) == ("import", False, "ann")
    assert len(events("user.gave_way")) == 1


def test_who_was_taken_over_is_never_cleaned_up():
    take("email\nann@example.org\n")
    time_passes(days=30)
    clean_up()
    assert User.objects.filter(email="ann@example.org").exists()


def test_invitations_go_to_whoever_cannot_come_in_without():
    job = take(
        "email,is_active,is_verified,password_hash\n"
        f"ready@example.org,true,true,{BCRYPT}\n"
        f"unproved@example.org,true,false,{BCRYPT}\n"
        "nopassword@example.org,true,true,\n"
        "gone@example.org,false,true,\n",
        invite=True,
    )
    assert count(job) == (4, 0, 0, 0)
    mails = {who: letters(f"{who}@example.org") for who in ("ready", "unproved", "nopassword", "gone")}
    assert mails == {"ready": [], "unproved": ["verify"], "nopassword": ["invitation"], "gone": []}


def test_people_need_a_permission_of_its_own():
    clerk = holder("user:write", "user:read")
    file = stored("email\nann@example.org\n", owner=clerk.pk)
    with nothing_changes(), pytest.raises(PermissionDenied):
        imports.start(Actor(user=clerk), file, {})
    assert not Job.objects.exists()


def test_nobody_imports_somebody_elses_file():
    file = stored("email\nann@example.org\n", owner=administrator().pk)
    with pytest.raises(NotFound):
        imports.start(Actor(user=holder("user:import")), file, {})


def test_nobody_touches_who_is_above_them_or_gives_what_they_do_not_hold():
    boss = administrator(email="boss@example.org", first_name="Boss")
    RoleFactory(name="auditor", permissions=["audit:read"])
    RoleFactory(name="importer", permissions=["user:import"])
    clerk = holder("user:import", "role:assign")
    job = take(
        "email,first_name,roles\n"
        "boss@example.org,Fool,\n"
        "a@example.org,A,auditor\n"
        "b@example.org,B,importer\n"
        "c@example.org,C,admin\n",
        Actor(user=clerk),
    )
    assert results(job) == [
        ["error", "row:privilege_escalation"],
        ["error", "roles:privilege_escalation"],
        ["created"],
        ["error", "roles:privilege_escalation"],
    ]
    boss.refresh_from_db()
    assert boss.first_name == "Boss"
    assert events("guard.refused")[0].target_id == boss.pk
    given = RoleGrant.objects.get(role__name="importer", user__email="b@example.org")
    assert given.granted_by_id == clerk.pk


def test_without_role_assign_no_role_is_given():
    RoleFactory(name="importer", permissions=["user:import"])
    job = take("email,roles\na@example.org,importer\nb@example.org,user\n", Actor(user=holder("user:import")))
    assert results(job) == [["error", "roles:privilege_escalation"], ["created"]]


def test_an_import_stops_when_its_owner_may_no_more(monkeypatch):
    monkeypatch.setattr(imports, "BATCH", 3)
    clerk = holder("user:import")
    file = stored("email\n" + "".join(f"p{n}@example.org\n" for n in range(10)), owner=clerk.pk)
    job = imports.start(Actor(user=clerk), file, {})
    jobs.run(job.pk, seconds=0)
    RoleGrant.objects.filter(user=clerk).delete()
    job = finished(job)
    assert (job.state, job.reason, job.done) == ("failed", "permission_denied", 3)
    assert User.objects.filter(joined_by="import").count() == 3


@pytest.mark.django_db(transaction=True)
def test_the_file_goes_with_its_job_and_the_report_stays(monkeypatch):
    clerk = Actor(user=holder("user:import"))
    file = stored("email\nann@example.org\n", owner=clerk.user_id)
    rehearsal = finished(imports.start(clerk, file, {}, dry_run=True))
    assert StoredFile.objects.filter(pk=file.pk).exists(), "the import follows"
    job = finished(imports.start(clerk, file, {}))
    assert (rehearsal.state, job.state) == ("done", "done")
    assert not StoredPiece.objects.filter(file=file.pk).exists()
    assert results(job) == [["created"]]
    time_passes(days=15)
    clean_up()
    assert not StoredPiece.objects.exists()
    assert not StoredFile.objects.exists()


def test_a_file_that_is_gone_ends_the_job_and_not_the_list():
    file = stored("email\nann@example.org\n")
    job = imports.start(SYSTEM, file, {})
    stored_files.delete(file)
    job = finished(job)
    assert (job.state, job.reason, job.done) == ("failed", "file_gone", 0)


def test_refused_files_leave_nothing_behind():
    for text in ("email\nИван\n".encode("cp1251"), b"email\n\0\n", b""):
        with pytest.raises(FileRefused):
            stored(text)
    with pytest.raises(FileRefused):
        imports.start(SYSTEM, stored("name\nAnn\n"), {"name": "first_name"})
    assert not Job.objects.exists()
    assert StoredFile.objects.count() == 1


def test_a_file_over_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(stored_files, "MOST_BYTES", 5000)
    with pytest.raises(FileRefused) as refusal:
        stored("email\n" + "a@example.org\n" * 1000)
    assert refusal.value.code == "too_large"
    assert not StoredPiece.objects.exists()


@pytest.mark.parametrize("batch", [1, 2, 3, 500])
def test_rows_are_the_same_whatever_stands_together(monkeypatch, batch):
    monkeypatch.setattr(imports, "BATCH", batch)
    text = (
        "email,username,first_name,external_id\n"
        "a@example.org,ann,A,1\n"
        "a@example.org,ann,A2,1\n"
        "b@example.org,ANN,B,2\n"
        "A@EXAMPLE.org,,A2,\n"
        "c@example.org,c.c,C,1\n"
        "broken,,,\n"
        "c@example.org,c.c,C,\n"
    )
    job = take(text)
    assert [found[0] for found in results(job)] == [
        *("created", "updated", "error", "unchanged", "error", "error", "created")
    ]
    assert (job.done, job.failed, job.total) == (7, 3, 7)
    assert User.objects.get(email="a@example.org").first_name == "A2"
    assert len(events("user.imported")) == 2


def test_what_somebody_else_wrote_meanwhile_costs_one_row_only(monkeypatch):
    """The batch is planned, and before it is written the address and the name of two of its rows are taken."""
    plan, meanwhile = import_batches.Batch.plan, []

    def slow_plan(batch):
        verdicts = plan(batch)
        if not meanwhile:
            meanwhile.append(UserFactory(email="p3@example.org", username="p5"))
        return verdicts

    monkeypatch.setattr(import_batches.Batch, "plan", slow_plan)
    insert, tries = import_batches.Batch._insert, []
    monkeypatch.setattr(import_batches.Batch, "_insert", lambda batch: tries.append(1) or insert(batch))
    job = take(
        "email,username\n"
        + "".join(f"p{n}@example.org,p{n}xx\n" for n in range(3))
        + "p3@example.org,\np4@example.org,\n"
    )
    assert count(job)[0] >= 4
    assert job.failed == 0
    assert len(tries) > 1, "it was undone and taken row by row"


def test_events_speak_of_the_person_who_asked():
    clerk = holder("user:import")
    take("email\nann@example.org\n", Actor(user=clerk, ip="192.0.2.9", request_id="r-1"))
    event = events("user.imported")[0]
    assert (event.actor_id, event.ip, event.request_id) == (clerk.pk, "192.0.2.9", "r-1")


def test_the_words_of_a_report_are_in_the_language_of_who_asked():
    job = take("email\nbroken\n", Actor(user=holder("user:import", language="ru")))
    assert report(job)[0]["detail"] != "Not an e-mail address."


def test_an_update_needs_few_questions(django_assert_max_num_queries):
    text = "email,first_name\n" + "".join(f"p{n}@example.org,P{n}\n" for n in range(400))
    take(text)
    job = imports.start(SYSTEM, stored(text), {})
    with django_assert_max_num_queries(60):
        jobs.sweep()
    assert count(finished(job)) == (0, 0, 400, 0)
