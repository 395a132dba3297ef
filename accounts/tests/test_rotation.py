"""The one statement of a refresh, and the look at the session that explains its refusals: they must agree."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from accounts import keys, tokens
from accounts.models import Session, SigningKey, User
from accounts.services.rotation import rotate
from accounts.services.sessions import refreshable_session
from accounts.tests.factories import UserFactory, signed_in

pytestmark = pytest.mark.django_db

State = Callable[[Session], Any]


def just_as_it_is(session: Session) -> None:
    """Nothing is wrong with it."""


def without_key(session: Session) -> None:
    """As releases before keys left it."""
    Session.objects.filter(pk=session.pk).update(key=None)


def with_another_key(session: Session) -> None:
    """Whatever signed this token still stands."""
    Session.objects.filter(pk=session.pk).update(key="0" * 32)


def idle_for_long(session: Session) -> None:
    Session.objects.filter(pk=session.pk).update(refresh_expires_at=session.created_at - timedelta(seconds=1))


def ended(session: Session) -> None:
    Session.objects.filter(pk=session.pk).update(ended_at=session.created_at)


def deactivated(session: Session) -> None:
    User.objects.update(is_active=False)


def of_a_revoked_key(session: Session) -> None:
    SigningKey.objects.update(retired_at=session.created_at, revoked_at=session.created_at)
    keys.current()  # another one signs


def listed(session: Session) -> None:
    """Blacklisted alone, by somebody who uses SimpleJWT's tables."""
    tokens.blacklist([session])


def of_somebody_else(session: Session) -> None:
    Session.objects.filter(pk=session.pk).update(user=UserFactory())


@pytest.mark.parametrize(
    ("state", "goes_on"),
    [
        (just_as_it_is, True),
        (without_key, True),
        (with_another_key, True),
        (idle_for_long, False),
        (ended, False),
        (deactivated, False),
        (of_a_revoked_key, False),
        (listed, False),
        (of_somebody_else, False),
    ],
)
def test_both_say_the_same_of_a_session(state: State, goes_on: bool) -> None:
    signed = signed_in(UserFactory())
    claims = tokens.read(signed.pair.refresh, "refresh")
    assert claims is not None
    state(signed.session)
    before = list(Session.objects.values())
    assert (refreshable_session(claims) is not None) == goes_on
    pair = rotate(claims, keys.current().kid, "192.0.2.0")
    assert (pair is not None) == goes_on
    assert (list(Session.objects.values()) != before) == goes_on


def test_times_are_those_of_the_settings_and_never_past_the_absolute_limit(settings: Any) -> None:
    signed = signed_in(UserFactory())
    claims = tokens.read(signed.pair.refresh, "refresh")
    assert claims is not None
    settings.ACCESS_TOKEN_SECONDS, settings.SESSION_IDLE_SECONDS = 60, 3600
    assert rotate(claims, keys.latest(), "192.0.2.0") is not None
    row = Session.objects.get()
    assert (row.gen, row.rotated_from, row.rotated_at) == (2, "192.0.2.0", row.last_used_at)
    moment = timedelta(milliseconds=2)
    assert abs(row.access_expires_at - row.rotated_at - timedelta(seconds=60)) < moment
    assert abs(row.refresh_expires_at - row.rotated_at - timedelta(seconds=3600)) < moment
    Session.objects.update(expires_at=row.rotated_at + timedelta(seconds=30))
    claims = tokens.read(tokens.sign_pair(row, row.rotated_at).refresh, "refresh")
    assert claims is not None
    assert rotate(claims, keys.latest(), "192.0.2.0") is not None
    last = Session.objects.get()
    assert last.access_expires_at == last.refresh_expires_at == last.expires_at


@pytest.mark.parametrize("kid", ["", "0" * 32, "retired"])
def test_only_the_key_that_signs_is_taken(kid: str) -> None:
    signed = signed_in(UserFactory())
    claims = tokens.read(signed.pair.refresh, "refresh")
    assert claims is not None
    if kid == "retired":
        kid = claims.kid
        SigningKey.objects.update(retired_at=signed.session.created_at)
    assert rotate(claims, kid, "192.0.2.0") is None
    assert Session.objects.get().gen == 1
