"""What operators type: `manage.py createsuperuser`, `users`, `prune`, `doctor`, `sync_permissions`."""

import re
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F

from accounts.management.commands import doctor
from accounts.models import Challenge, Counter, Session, User
from accounts.services import heartbeat
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.scene import administrator, events, letters, log_in, nothing_changes
from audit.models import Event
from core import redis
from mail.models import OutgoingMail
from mail.tests.factories import OutgoingMailFactory
from mail.tests.servers import Mailbox, free_port, smtp_server
from rbac.builtin import PERMISSIONS
from rbac.models import Permission, Role, RoleGrant
from rbac.tests.factories import GrantFactory, RoleFactory

pytestmark = pytest.mark.django_db


def run(*arguments, **options):
    """What the command prints."""
    out = StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


def refused(*arguments, **options):
    """Why the command refuses."""
    with pytest.raises(CommandError) as refusal:
        run(*arguments, **options)
    return str(refusal.value)


@pytest.fixture
def user(db):
    return UserFactory(email="Ann@example.org", username="ann", first_name="Анна")


# --- createsuperuser ---------------------------------------------------------------------------------------------


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_EMAIL", "Root@example.org")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)


def test_an_administrator_is_made_from_the_environment(api, told):
    printed = run("createsuperuser", "--noinput")
    assert PASSWORD not in printed
    user = User.objects.get(email="Root@example.org")
    assert (user.is_verified, user.is_staff, user.is_active, user.is_superuser) == (True, True, True, True)
    assert user.joined_by == "command"
    assert "admin" in [role["name"] for role in log_in(api, user)["user"]["roles"]]
    assert letters(user.email) == []
    [event] = events("user.created")
    assert (event.actor_id, event.target_id, event.details["by"]) == (None, user.pk, "createsuperuser")
    assert user.pk in [e.target_id for e in events("role.granted")]


def test_a_username_may_come_with_it(told, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_USERNAME", "root")
    run("createsuperuser", "--noinput")
    assert User.objects.get().username == "root"


@pytest.mark.parametrize("missing", ["DJANGO_SUPERUSER_EMAIL", "DJANGO_SUPERUSER_PASSWORD"])
def test_what_is_missing_is_named(told, monkeypatch, missing):
    monkeypatch.delenv(missing)
    with nothing_changes():
        assert missing in refused("createsuperuser", "--noinput")


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("DJANGO_SUPERUSER_PASSWORD", "short", "password"),
        ("DJANGO_SUPERUSER_PASSWORD", "password1", "password"),
        ("DJANGO_SUPERUSER_EMAIL", "x", "address"),
    ],
)
def test_a_weak_password_or_no_address_is_refused_in_words(told, monkeypatch, name, value, word):
    monkeypatch.setenv(name, value)
    with nothing_changes():
        assert word in refused("createsuperuser", "--noinput")


def test_a_taken_address_is_refused(told, user):
    with nothing_changes():
        assert "email" in refused("createsuperuser", "--noinput", email="ANN@example.org")


def test_the_first_administrator_gets_a_random_password_printed_once(api):
    printed = run("createsuperuser", "--first")
    found = re.search(r"Password, shown only this once: (\S{20,})\n", printed)
    assert found
    assert log_in(api, User.objects.get(email="admin@example.com"), found[1])
    assert found[1] not in str(list(Event.objects.values())) + str(list(User.objects.values()))


def test_first_does_nothing_where_there_is_an_administrator():
    administrator()
    with nothing_changes():
        assert run("createsuperuser", "--first") == ""


@pytest.mark.parametrize("lacking", [{"is_active": False}, {"is_verified": False}, {"password": None}])
def test_first_helps_where_no_administrator_can_act(lacking):
    administrator(**lacking)
    assert "Password" in run("createsuperuser", "--first")


def test_two_firsts_give_two_different_passwords():
    one = run("createsuperuser", "--first")
    RoleGrant.objects.all().delete()
    two = run("createsuperuser", "--first", email="second@example.org")
    assert one.splitlines()[1] != two.splitlines()[1]


# --- users -------------------------------------------------------------------------------------------------------


def test_people_are_listed_with_their_state(user):
    UserFactory(email="gone@example.org", is_active=False, is_verified=False, first_name="", last_name="")
    lines = [line.split("\t") for line in run("users", "list").splitlines()]
    assert [line[1:] for line in lines] == [
        ["gone@example.org", "", "", "inactive unverified"],
        ["Ann@example.org", "ann", "Анна Lee", ""],
    ]
    assert lines[1][0] == str(user.pk)


def test_people_are_searched(user):
    UserFactory()
    assert run("users", "list", "--search", "АНН").count("\n") == 1


def test_an_account_is_made_and_invited():
    printed = run("users", "create", "New@example.org")
    user = User.objects.get(email="New@example.org")
    assert str(user.pk) in printed
    assert letters("New@example.org") == ["invitation"]
    assert [role.role.name for role in user.grants.all()] == ["user"]
    assert events("user.created")[0].details["by"] == "users"


def test_an_account_that_cannot_be_made_is_refused(user):
    with nothing_changes():
        assert "no e-mail address" in refused("users", "create", "x")
        assert "email" in refused("users", "create", "ann@example.org")


@pytest.mark.parametrize("key", ["ANN@example.org", "ANN", None])
def test_somebody_is_named_by_address_username_or_id(api, user, key):
    pair = log_in(api, user)
    run("users", "deactivate", key or str(user.pk))
    user.refresh_from_db()
    assert not user.is_active
    assert api.get("/users/me", token=pair["access"]).status_code == 401
    run("users", "restore", key or str(user.pk))
    assert log_in(api, user)
    assert [e.details["by"] for e in events("user.deactivated") + events("user.restored")] == ["users", "users"]


@pytest.mark.parametrize("verb", ["deactivate", "restore", "sessions", "end-sessions"])
@pytest.mark.parametrize("key", ["nobody", "nobody@example.org", "", "01890000-0000-7000-8000-000000000000"])
def test_nobody_is_told_so(user, verb, key):
    with nothing_changes():
        assert "Nobody has" in refused("users", verb, key)


def test_a_long_name_that_nobody_has_is_told_so(user):
    with nothing_changes():
        assert "Nobody has" in refused("users", "deactivate", "x" * 36)


def test_sessions_are_shown_and_ended(api, user):
    pair = log_in(api, user)
    session = Session.objects.get()
    assert run("users", "sessions", "ann").split("\t")[:3] == [str(session.pk), "Unknown device", "192.0.2.1"]
    run("users", "end-sessions", "ann")
    assert api.get("/users/me", token=pair["access"]).status_code == 401
    assert run("users", "sessions", "ann") == ""


def test_roles_are_granted_for_a_time_and_revoked(user):
    role = RoleFactory(name="editor")
    run("users", "grant", "ann", "Editor", "--until", "2040-01-31T00:00Z")
    grant = RoleGrant.objects.get(role=role)
    assert (grant.user, grant.expires_at) == (user, datetime(2040, 1, 31, tzinfo=UTC))
    run("users", "revoke", "ann", "editor")
    assert not RoleGrant.objects.exists()
    assert [e.details["by"] for e in events("role.granted") + events("role.withdrawn")] == ["users", "users"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["grant", "ann", "nonsense"], "no role"),
        (["grant", "nobody", "admin"], "Nobody has"),
        (["grant", "ann", "admin", "--until", "someday"], "no moment"),
        (["grant", "ann", "admin", "--until", "2020-01-01T00:00Z"], "future"),
        (["revoke", "ann", "admin"], ""),
        (["revoke", "ann", "nonsense"], "no role"),
    ],
)
def test_a_grant_that_cannot_be_is_refused_in_words(user, arguments, word):
    with nothing_changes():
        assert word in refused("users", *arguments)


@pytest.mark.parametrize("arguments", [["deactivate", "root"], ["revoke", "root", "admin"]])
def test_the_last_administrator_stays_whoever_asks(arguments):
    administrator(username="root")
    with nothing_changes("guard.refused"):
        assert "Nobody would be left" in refused("users", *arguments)
    administrator()
    run("users", *arguments)


def test_the_last_administrators_grant_does_not_become_one_for_a_day():
    administrator(username="root")
    with nothing_changes("guard.refused"):
        assert "Nobody would be left" in refused("users", "grant", "root", "admin", "--until", "2040-01-31T00:00Z")


# --- prune -------------------------------------------------------------------------------------------------------


def test_prune_deletes_what_has_had_its_time_and_nothing_else(api, user):
    log_in(api, user)
    log_in(api, user)
    first = Session.objects.earliest("id")
    Session.objects.filter(pk=first.pk).update(refresh_expires_at=F("created_at") - timedelta(seconds=1))
    api.post("/auth/password/forgot", {"email": user.email})
    Challenge.objects.update(link_expires_at=F("created_at") - timedelta(days=2))
    Counter.objects.create(key="old", count=1, expires_at=datetime(2026, 1, 1, tzinfo=UTC))
    Counter.objects.create(key="new", count=1, expires_at=datetime(2040, 1, 1, tzinfo=UTC))
    OutgoingMailFactory(state="sent", created_at=datetime(2026, 1, 1, tzinfo=UTC))
    waiting = OutgoingMailFactory(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    Event.objects.create(action="long.ago", at=datetime(2020, 1, 1, tzinfo=UTC))
    printed = dict(line.split(": ") for line in run("prune").splitlines())
    assert {name: printed[name] for name in ("sessions", "challenges", "mails", "events")} == dict.fromkeys(
        ("sessions", "challenges", "mails", "events"), "1"
    )
    assert Session.objects.filter(ended_at=None).count() == 1
    assert set(Counter.objects.values_list("key", flat=True)) >= {"new"}
    assert not Counter.objects.filter(key="old").exists()
    assert OutgoingMail.objects.filter(pk=waiting.pk).exists()
    assert not Event.objects.filter(action="long.ago").exists()
    assert events("session.started")


def test_prune_deletes_only_sign_ups_that_were_never_verified_and_hold_nothing(settings):
    old = datetime.now(UTC) - timedelta(days=settings.UNVERIFIED_DAYS, hours=1)
    default = Role.objects.get(name="user")
    lost = UserFactory(is_verified=False)
    GrantFactory(user=lost, role=default)
    kept = [
        UserFactory(),
        UserFactory(is_verified=False, joined_by="administrator"),
        UserFactory(is_verified=False, joined_by="import"),
        UserFactory(is_verified=False, joined_by="command"),
        UserFactory(is_verified=False, is_active=False),
        GrantFactory(user=UserFactory(is_verified=False)).user,
    ]
    User.objects.update(created_at=old)
    fresh = UserFactory(is_verified=False)
    run("prune")
    assert set(User.objects.all()) == {*kept, fresh}
    assert [event.target_id for event in events("user.expired")] == [lost.pk]


def test_prune_keeps_events_as_long_as_asked():
    Event.objects.create(action="last.week", at=datetime.now(UTC) - timedelta(days=7))
    run("prune")
    assert events("last.week")
    run("prune", "--audit-days", "5")
    assert not events("last.week")


def test_prune_twice_finds_nothing_more():
    run("prune")
    assert all(line.endswith(": 0") for line in run("prune").splitlines())


# --- doctor ------------------------------------------------------------------------------------------------------


def diagnosis():
    """Exit code, and the lines without their verdict by verdict."""
    out = StringIO()
    code = 0
    try:
        call_command("doctor", stdout=out)
    except SystemExit as ended:
        code = int(ended.code or 0)
    lines = out.getvalue().splitlines()
    assert all(line[:5] in ("ok   ", "BAD  ") for line in lines)
    return code, [line[5:] for line in lines if line.startswith("BAD")], lines


@pytest.fixture
def healthy(db, settings, tmp_path):
    administrator()
    heartbeat.beat()
    settings.DEBUG = False
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)


def test_all_is_well(healthy):
    code, bad, lines = diagnosis()
    assert (code, bad) == (0, [])
    text = "\n".join(lines)
    for word in ("Configuration", "Database", "Migrations", "Clock", "Redis", "Mail", "Proxies", "Background"):
        assert word in text


def test_no_sign_of_life_is_bad(healthy):
    Counter.objects.all().delete()
    code, bad, _ = diagnosis()
    assert code == 1
    assert [line.split(":")[0] for line in bad] == ["Background work"]


def test_no_administrator_is_bad(healthy):
    RoleGrant.objects.all().delete()
    code, bad, _ = diagnosis()
    assert code == 1
    assert "createsuperuser" in bad[0]


def test_debug_and_plain_http_in_public_are_bad(healthy, settings):
    settings.DEBUG = True
    settings.PUBLIC_URL = "http://id.example.com"
    code, bad, _ = diagnosis()
    assert code == 1
    assert {"DEBUG", "PUBLIC_URL"} <= {line.split()[0] for line in bad}


def test_https_without_a_proxy_is_bad(healthy, settings):
    settings.PUBLIC_URL = "https://id.example.com"
    assert [line.split(":")[0] for line in diagnosis()[1]] == ["Proxies"]
    settings.TRUSTED_PROXIES = 1
    assert diagnosis()[0] == 0


def test_redis_that_is_away_is_bad(healthy, settings):
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    redis._client.cache_clear()
    try:
        code, bad, _ = diagnosis()
    finally:
        redis._client.cache_clear()
    assert code == 1
    assert any(line.startswith("Redis") for line in bad)


def test_a_mail_server_that_is_away_is_bad_and_one_that_is_there_good(healthy, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_FILE_PATH = None
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    code, bad, _ = diagnosis()
    assert code == 1
    assert bad[0].startswith("mail: ConnectionRefusedError")
    with smtp_server(settings.EMAIL_PORT, Mailbox()):
        assert diagnosis()[0] == 0


def test_failed_mails_are_bad(healthy):
    OutgoingMailFactory(state="failed")
    code, bad, _ = diagnosis()
    assert (code, bad) == (1, ["Outbox: 1 mails failed."])


def test_a_clock_far_from_the_databases_is_bad(healthy, monkeypatch):
    monkeypatch.setattr(doctor, "database_now", lambda: datetime.now(UTC) + timedelta(minutes=5))
    code, bad, _ = diagnosis()
    assert code == 1
    assert bad[0].startswith("Clock: 300")


NO_WORDS = "accounts.management.commands.doctor.attempt: an error without words is an IndexError, so a traceback"


@pytest.mark.parametrize("words", ["away\nfor long", pytest.param("")])
def test_a_check_that_fails_is_bad_and_the_others_go_on(healthy, monkeypatch, words):
    def broken():
        raise OSError(*([words] if words else []))
        yield

    monkeypatch.setattr(doctor, "CHECKS", (broken, *doctor.CHECKS))
    code, bad, lines = diagnosis()
    assert (code, len(bad)) == (1, 1)
    assert bad[0].startswith("broken: OSError")
    assert len(lines) > len(doctor.CHECKS)


def test_no_secret_is_printed(healthy, settings):
    settings.EMAIL_HOST_PASSWORD = "mail-secret"
    text = "\n".join(diagnosis()[2])
    assert "mail-secret" not in text
    assert settings.SECRET_KEY not in text


# --- sync_permissions --------------------------------------------------------------------------------------------


def test_what_is_built_in_comes_back_and_what_is_not_stays():
    Permission.objects.filter(resource="user").delete()
    Permission.objects.create(resource="order", action="refund")
    Role.objects.filter(name="user").delete()
    editor = RoleFactory(name="editor", permissions=["order:refund"])
    run("sync_permissions")
    names = {permission.name for permission in Permission.objects.filter(built_in=True)}
    assert names == set(PERMISSIONS)
    assert Role.objects.filter(name="user").exists()
    assert editor.permission_names() == ["order:refund"]


def test_syncing_twice_changes_nothing():
    run("sync_permissions")
    with nothing_changes():
        run("sync_permissions")
