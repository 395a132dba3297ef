"""What is let go of after its time, and above all what never is."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session as PageSession
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts import limits
from accounts.addresses import parse_address
from accounts.models import Challenge, Counter, FailedLogIns, Session, User
from accounts.services import cleanup
from accounts.services.cleanup import clean_up, delete_unverified
from accounts.services.users import change_user, create_user, delete_user
from accounts.tests.clock import time_passes
from accounts.tests.factories import UserFactory, signed_in
from accounts.tests.mailbox import token_in_mail
from accounts.tests.steps import ANN, gets_in, invited, log_in, sign_up, signed_up, verify
from accounts.tests.witness import events, nothing_changes
from audit.models import Event
from core.actor import Actor
from core.clock import database_now
from mail.models import OutgoingMail
from rbac.models import RoleGrant
from rbac.tests.factories import GrantFactory, RoleFactory
from tests.client import ApiClient

pytestmark = pytest.mark.django_db

SYSTEM = Actor.system("test")


@pytest.fixture(autouse=True)
def windows_in_the_database(settings: Any) -> None:
    settings.REDIS_URL = ""


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(cleanup, "BATCH", 2)
    return 2


def years_pass() -> None:
    time_passes(days=800)


# Sign-ups that were never verified


def test_a_sign_up_that_nobody_verified_goes_after_two_days(api):
    user = signed_up(api)
    time_passes(days=1, hours=23, minutes=59)
    assert delete_unverified() == 0
    time_passes(minutes=2)
    assert delete_unverified() == 1
    assert not User.objects.exists()
    assert not Challenge.objects.exists()
    assert not RoleGrant.objects.exists()
    event = Event.objects.get(action="user.expired")
    assert (event.target_id, event.actor_id, event.details) == (user.pk, None, {"by": "clean-up"})


def test_how_many_days_is_a_setting(api, settings):
    settings.UNVERIFIED_DAYS = 10
    signed_up(api)
    time_passes(days=9, hours=23)
    assert delete_unverified() == 0
    time_passes(hours=2)
    assert delete_unverified() == 1


def test_its_address_username_and_link_are_free_and_dead_afterwards(api):
    signed_up(api, username="ann")
    token = token_in_mail(ANN)
    time_passes(days=3)
    delete_unverified()
    assert api.post("/auth/verify", {"token": token}).json()["code"] == "invalid_link"
    assert log_in(api).json()["code"] == "invalid_credentials"
    signed_up(api, username="ann")
    assert verify(api).status_code == 200


def verified() -> User:
    user = signed_up(ApiClient())
    verify(ApiClient())
    return user


def verified_by_a_reset() -> User:
    user = signed_up(ApiClient())
    ApiClient().post("/auth/password/forgot", {"email": ANN})
    body = {"token": token_in_mail(ANN, "reset"), "new_password": "Third-password-3"}
    assert ApiClient().post("/auth/password/reset", body).status_code == 204
    return user


def never_verified_but_deactivated() -> User:
    user = signed_up(ApiClient())
    delete_user(SYSTEM, user)
    return user


def invited_and_never_came() -> User:
    return invited()


def made_by_an_administrator_with_a_password() -> User:
    return invited(password="Correct-horse-9")


def made_by_a_command() -> User:
    return create_user(SYSTEM, parse_address(ANN), None, {}, joined_by=User.JoinedBy.COMMAND)


def imported() -> User:
    return UserFactory(email=ANN, is_verified=False, joined_by=User.JoinedBy.IMPORT)


def trusted_with_a_role() -> User:
    user = signed_up(ApiClient())
    GrantFactory(user=user, role=RoleFactory(permissions=["order:refund"]))
    return user


def trusted_with_a_role_that_expired() -> User:
    user = signed_up(ApiClient())
    GrantFactory(user=user, role=RoleFactory(permissions=["order:refund"]), expires_at=database_now())
    return user


@pytest.mark.parametrize(
    "person",
    [
        verified,
        verified_by_a_reset,
        never_verified_but_deactivated,
        invited_and_never_came,
        made_by_an_administrator_with_a_password,
        made_by_a_command,
        imported,
        trusted_with_a_role,
        trusted_with_a_role_that_expired,
    ],
)
def test_nobody_else_ever_goes(person):
    user = person()
    before = User.objects.values().get()
    years_pass()
    assert clean_up()["users"] == 0
    after = User.objects.values().get(pk=user.pk)
    assert {**after, "created_at": 0, "updated_at": 0, "last_login": 0} == {
        **before,
        "created_at": 0,
        "updated_at": 0,
        "last_login": 0,
    }


READDRESSED = (
    "UserQuerySet.pending() takes a verified person whose address an administrator changed for a sign-up that was "
    "never verified"
)


def readdressed() -> User:
    """Signed up and verified long ago; now an administrator corrects the address."""
    user = verified()
    time_passes(days=100)
    change_user(SYSTEM, user, {"email": parse_address("moved@example.org")})
    return user


def test_somebody_whose_address_an_administrator_changed_does_not_go():
    user = readdressed()
    assert clean_up()["users"] == 0
    assert User.objects.filter(pk=user.pk).exists()


def test_somebody_whose_address_an_administrator_changed_is_no_sign_up_to_be_replaced():
    user = readdressed()
    before = User.objects.values().get(pk=user.pk)
    assert sign_up(ApiClient(), "moved@example.org", "Mallorys-horse-1", first_name="Mallory").status_code == 202
    assert User.objects.values().get(pk=user.pk) == before


def test_somebody_whose_address_an_administrator_changed_still_holds_it():
    user = readdressed()
    bob = UserFactory(email="bob@example.org")
    token = signed_in(bob).pair.access
    ApiClient().post("/users/me/email", {"new_email": "moved@example.org", "password": "Correct-horse-9"}, token=token)
    mail = OutgoingMail.objects.filter(template="email_change", to="moved@example.org").last()
    if mail:
        code = {"token": token_in_mail("moved@example.org", "email_change")}
        ApiClient().post("/users/me/email/confirm", code, token=token)
    assert User.objects.filter(pk=user.pk).exists()


def test_verifying_at_the_last_moment_saves_the_account(api):
    signed_up(api)
    time_passes(days=3)
    api.post("/auth/verify/resend", {"email": ANN})
    assert verify(api).status_code == 200
    assert delete_unverified() == 0
    assert gets_in()


def test_somebody_who_is_verified_while_the_clean_up_looks_is_spared(api, monkeypatch):
    """The rows that are deleted are those that still qualify under the lock."""
    signed_up(api)
    signed_up(api, "bob@example.org")
    time_passes(days=3)
    User.objects.filter(email=ANN).update(is_verified=True)
    assert delete_unverified() == 1
    assert list(User.objects.values_list("email", flat=True)) == [ANN]


# Sessions and the blacklist


def test_sessions_go_when_their_refresh_token_has_expired_and_not_before():
    ann = UserFactory(email=ANN)
    signed_in(ann)
    time_passes(days=13, hours=23)
    assert clean_up()["sessions"] == 0
    pair = signed_in(ann).pair
    time_passes(hours=2)
    assert clean_up()["sessions"] == 1
    assert Session.objects.live().count() == 1
    assert ApiClient().post("/auth/refresh", {"refresh": pair.refresh}).status_code == 200


def test_a_session_that_ended_stays_until_its_tokens_would_have_expired():
    """So that a token of it is known for what it is."""
    pair = signed_in(UserFactory(email=ANN)).pair
    ApiClient().post("/auth/logout", {"refresh": pair.refresh})
    time_passes(days=13)
    assert clean_up()["sessions"] == 0
    time_passes(days=2)
    assert clean_up()["sessions"] == 1
    assert ApiClient().post("/auth/refresh", {"refresh": pair.refresh}).status_code == 401


def test_the_blacklist_forgets_tokens_that_have_expired_and_no_others():
    ann = UserFactory(email=ANN)
    for _ in range(2):
        ApiClient().post("/auth/logout", {"refresh": signed_in(ann).pair.refresh})
    OutstandingToken.objects.filter(pk=OutstandingToken.objects.first().pk).update(
        expires_at=database_now() - timedelta(seconds=1)
    )
    assert clean_up()["blacklisted"] == 1
    assert OutstandingToken.objects.count() == 1
    assert BlacklistedToken.objects.count() == 1


def test_sessions_of_pages_go_too():
    PageSession.objects.create(session_key="k" * 32, session_data="", expire_date=database_now() - timedelta(days=1))
    PageSession.objects.create(session_key="l" * 32, session_data="", expire_date=database_now() + timedelta(days=1))
    clean_up()
    assert PageSession.objects.count() == 1


# Challenges, counters, failures


def test_challenges_go_a_day_after_their_link_has_expired():
    UserFactory(email=ANN)
    ApiClient().post("/auth/password/forgot", {"email": ANN})
    invited("bob@example.org")
    time_passes(hours=47, minutes=59)
    assert clean_up()["challenges"] == 0
    time_passes(minutes=2)
    assert clean_up()["challenges"] == 1
    assert [challenge.purpose for challenge in Challenge.objects.all()] == ["invitation"]


def test_counters_go_with_their_window():
    limits.count("short", "a", 60)
    limits.count("long", "a", 3600)
    time_passes(seconds=61)
    assert clean_up()["counters"] == 1
    assert limits.peek("long", "a")[0] == 1


def test_failures_are_forgotten_after_a_month_and_long_series_after_a_year():
    UserFactory(email=ANN)
    log_in(ApiClient(), ANN, "wrong")
    log_in(ApiClient(), "nobody@example.org", "wrong")
    FailedLogIns.objects.filter(pk__in=FailedLogIns.objects.values("pk")[:2]).update(count=100)
    time_passes(days=29)
    assert clean_up()["failures"] == 0
    time_passes(days=2)
    assert clean_up()["failures"] == 2
    time_passes(days=335)
    assert clean_up()["failures"] == 2
    assert not FailedLogIns.objects.exists()


def test_what_is_still_needed_stays():
    ann = UserFactory(email=ANN)
    signed_in(ann)
    ApiClient().post("/auth/password/forgot", {"email": ANN})
    log_in(ApiClient(), ANN, "wrong")
    signed_up(ApiClient(), "bob@example.org")
    counters = Counter.objects.count()
    failures = FailedLogIns.objects.count()
    with nothing_changes():
        assert not any(clean_up().values())
    assert (Counter.objects.count(), FailedLogIns.objects.count()) == (counters, failures)


# How it goes about it


def plenty() -> None:
    for number in range(5):
        signed_up(ApiClient(), f"p{number}@example.org")
        signed_in(UserFactory())
    time_passes(days=40)


def test_it_works_in_small_batches_until_nothing_is_left(small_batches):
    plenty()
    with CaptureQueriesContext(connection) as queries:
        done = clean_up()
    assert (done["users"], done["sessions"], done["challenges"]) == (5, 5, 5)
    deletions = [query["sql"] for query in queries if query["sql"].startswith('DELETE FROM "users"')]
    assert len(deletions) == 3, "two, two and one"
    assert not User.objects.filter(is_verified=False).exists()
    assert events("user.expired") == ["user.expired"] * 5


def test_each_batch_is_a_transaction_of_its_own(small_batches, monkeypatch):
    """What was deleted stays deleted when a later batch fails."""
    plenty()
    recorded = cleanup.record
    calls: list[str] = []

    def failing(actor: Actor, action: str, *args: Any) -> None:
        calls.append(action)
        if len(calls) == 4:
            raise RuntimeError("the third account of the second batch")
        recorded(actor, action, *args)

    monkeypatch.setattr(cleanup, "record", failing)
    with pytest.raises(RuntimeError):
        delete_unverified()
    assert User.objects.filter(is_verified=False).count() == 3
    assert events("user.expired") == ["user.expired"] * 2


def test_a_second_run_finds_nothing_to_do():
    plenty()
    clean_up()
    with nothing_changes():
        assert not any(clean_up().values())
    assert events("user.expired") == ["user.expired"] * 5


def test_running_twice_at_once_is_harmless(monkeypatch):
    """Another run deletes everything between this one's look at the clock and its deletions."""
    plenty()
    ApiClient().post("/auth/logout", {"refresh": signed_in(UserFactory()).pair.refresh})
    time_passes(days=40)
    OutstandingToken.objects.update(expires_at=database_now() - timedelta(days=1))
    looks: list[int] = []

    def overtaken() -> Any:
        now = database_now()
        looks.append(1)
        if len(looks) == 1:
            clean_up()
        return now

    monkeypatch.setattr(cleanup, "database_now", overtaken)
    clean_up()
    assert len(looks) > 2
    assert events("user.expired") == ["user.expired"] * 5
    for model in (Session, Challenge, Counter, OutstandingToken):
        assert not model._default_manager.exists()


def test_a_batch_that_another_run_deleted_is_no_error(monkeypatch, small_batches):
    """Between choosing the ids and deleting them."""
    plenty()
    choose, chosen = cleanup._repeat, []

    def overtaken(batch: Any) -> int:
        chosen.append(1)
        if len(chosen) == 1:
            Session.objects.all().delete()
        return choose(batch)

    monkeypatch.setattr(cleanup, "_repeat", overtaken)
    assert clean_up()["sessions"] == 0
    assert not Session.objects.exists()


def test_the_command_tells_what_went(capsys, api):
    signed_up(api)
    time_passes(days=3)
    call_command("prune")
    out = capsys.readouterr().out
    assert "users: 1" in out
    assert not User.objects.exists()
