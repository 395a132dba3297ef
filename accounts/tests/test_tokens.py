"""What stands in a token (contract §2), and what else passes for one: nothing (RFC 8725)."""

import base64
import json
import time
from datetime import timedelta

import jwt
import pytest
import time_machine
from django.db.models import F
from django.utils import timezone

from accounts import keys, tokens
from accounts.models import Session
from accounts.services.keys import rotate
from accounts.tests.factories import UserFactory, signed_in
from accounts.tests.scene import log_in, nothing_changes, refusal
from core.actor import Actor
from core.ids import uuid7
from core.secrets import derived_key

pytestmark = pytest.mark.django_db

CLAIMS = {"iss", "aud", "sub", "sid", "gen", "jti", "iat", "exp", "token_type", "scope"}


@pytest.fixture
def user(db):
    return UserFactory()


@pytest.fixture
def pair(api, user):
    return log_in(api, user)


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def part(data):
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def secret():
    """Of the key that signs, which is an HS256 one."""
    return keys.current().private


def signed(claims, key=None, algorithm="HS256", **header):
    return jwt.encode(claims, key or secret(), algorithm, headers={"kid": keys.current().kid, **header})


def refused(api, token):
    """As access and as refresh token alike, and nothing comes of it."""
    with nothing_changes():
        as_access = refusal(api.get("/users/me", token=token))
        as_refresh = refusal(api.post("/auth/refresh", {"refresh": token}))
    return (as_access, as_refresh) == ((401, "invalid_token"), (401, "invalid_refresh_token"))


# --- Claims ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_a_token_claims_what_the_contract_says_and_nothing_else(user, pair, kind, settings):
    claims, session = claims_of(pair[kind]), Session.objects.get()
    assert set(claims) == CLAIMS
    assert claims["iss"] == settings.PUBLIC_URL
    assert claims["aud"] == "muster"
    assert claims["sub"] == str(user.pk)
    assert claims["sid"] == str(session.pk)
    assert claims["gen"] == 1
    assert claims["token_type"] == kind
    assert claims["scope"] == f"{kind}_token"
    assert claims["iat"] == int(session.rotated_at.timestamp())
    assert type(claims["exp"]) is type(claims["iat"]) is int


def test_lifetimes_stand_in_the_tokens(pair, settings):
    access, refresh = claims_of(pair["access"]), claims_of(pair["refresh"])
    assert access["exp"] - access["iat"] == settings.ACCESS_TOKEN_SECONDS
    assert refresh["exp"] - refresh["iat"] == settings.SESSION_IDLE_SECONDS


def test_each_token_has_a_jti_of_its_own(api, user, pair):
    successor = api.post("/auth/refresh", {"refresh": pair["refresh"]}).json()
    other = log_in(api, user)
    found = [claims_of(body[kind])["jti"] for body in (pair, successor, other) for kind in ("access", "refresh")]
    assert len(set(found)) == 6


def test_a_refresh_raises_the_generation_and_keeps_the_session(api, pair):
    successor = claims_of(api.post("/auth/refresh", {"refresh": pair["refresh"]}).json()["refresh"])
    before = claims_of(pair["refresh"])
    assert (successor["gen"], successor["sid"]) == (2, before["sid"])


def test_no_token_tells_who_somebody_is_or_what_they_may(user, pair):
    told = json.dumps(claims_of(pair["access"])) + json.dumps(claims_of(pair["refresh"]))
    assert user.email not in told
    assert "role" not in told
    assert user.first_name not in told


def test_the_header_says_algorithm_type_and_key_only(pair):
    kid = Session.objects.get().key_id
    assert jwt.get_unverified_header(pair["access"]) == {"alg": "HS256", "typ": "JWT", "kid": kid}


# --- Kinds -------------------------------------------------------------------------------------------------------


def test_one_kind_never_passes_for_the_other(api, pair):
    with nothing_changes():
        assert refusal(api.get("/users/me", token=pair["refresh"])) == (401, "invalid_token")
        refreshed = api.post("/auth/refresh", {"refresh": pair["access"]})
        assert refusal(refreshed) == (401, "invalid_refresh_token")


@pytest.mark.parametrize(
    "change",
    [
        {"token_type": "refresh"},
        {"scope": "refresh_token"},
        {"token_type": "refresh", "scope": "refresh_token"},
        {"token_type": "sliding"},
        {"token_type": None},
        {"scope": "access_token refresh_token"},
    ],
)
def test_a_token_with_the_marks_of_another_kind_is_neither(api, pair, change):
    assert refused(api, signed({**claims_of(pair["access"]), **change}))


# --- Forgeries ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_a_changed_letter_makes_a_token_worthless(api, pair, kind):
    head, body, signature = pair[kind].split(".")
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    assert refused(api, f"{head}.{body}.{flipped}")
    assert refused(api, f"{head}.{part({**claims_of(pair[kind]), 'gen': 2})}.{signature}")


def test_a_signature_by_another_key_is_refused(api, pair, settings):
    claims = claims_of(pair["access"])
    for key in ("x" * 64, settings.SECRET_KEY, derived_key("token").hex(), ""):
        assert refused(api, signed(claims, key or "0" * 32))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_an_unsigned_token_is_refused(api, pair, alg):
    claims = claims_of(pair["access"])
    for signature in ("", "x", pair["access"].rpartition(".")[2]):
        for header in ({"alg": alg, "typ": "JWT"}, {"alg": alg, "typ": "JWT", "kid": keys.current().kid}):
            assert refused(api, f"{part(header)}.{part(claims)}.{signature}")


@pytest.mark.parametrize("alg", ["HS384", "HS512"])
def test_another_algorithm_is_refused_even_with_our_key(api, pair, alg):
    assert refused(api, signed(claims_of(pair["access"]), secret() * 2, alg))
    assert refused(api, signed(claims_of(pair["access"]), secret(), alg))


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "logout+jwt"},
        {"typ": "at+jwt"},
        {"kid": "1"},
        {"kid": "../../x"},
        {"crit": ["b64"], "b64": False},
        {"jku": "https://evil.example/keys"},
        {"jwk": {"kty": "oct", "k": "eA"}},
        {"x5u": "https://evil.example"},
    ],
)
def test_a_header_that_we_never_write_is_refused(api, pair, header):
    assert refused(api, signed(claims_of(pair["access"]), **header))


@pytest.mark.parametrize("change", [{"iss": "https://evil.example"}, {"aud": "other"}, {"aud": ["other"]}, {"iss": ""}])
def test_a_token_of_another_issuer_or_for_somebody_else_is_refused(api, pair, change):
    assert refused(api, signed({**claims_of(pair["access"]), **change}))


@pytest.mark.parametrize("missing", sorted(CLAIMS - {"iat"}))
def test_a_token_that_lacks_a_claim_is_refused(api, pair, missing):
    claims = claims_of(pair["access"])
    del claims[missing]
    assert refused(api, signed(claims))


@pytest.mark.parametrize(
    "change",
    [
        {"sub": "1"},
        {"sub": "\x00"},
        {"sub": {"a": 1}},
        {"sub": None},
        {"sid": "1"},
        {"sid": ""},
        {"sid": "\x00"},
        {"sid": None},
        {"gen": "1"},
        {"gen": 1.0},
        {"gen": True},
        {"gen": -1},
        {"gen": 0},
        {"gen": 2},
        {"gen": 10**30},
        {"gen": None},
        {"jti": ""},
        {"jti": "a" * 300},
        {"jti": "\x00"},
        {"jti": 5},
        {"exp": "tomorrow"},
        {"exp": 1e20},
        {"exp": 10**12},
        {"exp": 10**20},
        {"exp": None},
        {"exp": []},
        {"exp": -1},
        {"exp": 0},
    ],
)
def test_a_claim_of_the_wrong_kind_is_refused_even_when_rightly_signed(api, pair, change):
    assert refused(api, signed({**claims_of(pair["access"]), **change}))
    assert refused(api, signed({**claims_of(pair["refresh"]), **change}))


@pytest.mark.parametrize("sid", [{}, {"a": 1}, 1, 1.5, True, []])
def test_a_session_id_that_is_no_text_is_refused_even_when_rightly_signed(api, pair, sid):
    assert refused(api, signed({**claims_of(pair["access"]), "sid": sid}))


def test_somebody_elses_session_is_refused(api, pair):
    other = log_in(api, UserFactory())
    mixed = {**claims_of(pair["access"]), "sid": claims_of(other["access"])["sid"]}
    assert refused(api, signed(mixed))
    session = Session.objects.get(pk=mixed["sid"])
    assert refused(api, signed({**mixed, "jti": tokens.jti_of(session.pk, 1, "access")}))


def test_a_session_that_does_not_exist_is_refused(api, pair):
    session_id = uuid7()
    claims = {**claims_of(pair["access"]), "sid": str(session_id), "jti": tokens.jti_of(session_id, 1, "access")}
    assert refused(api, signed(claims))


@pytest.mark.parametrize(
    "token",
    ["a", "a.b", "a.b.c.d", "..", "{}.{}.{}", "\x7f" * 10, "a" * 10_000, f"{'e30.' * 500}e30", "null.null.null"],
)
def test_what_is_no_token_is_refused(api, user, token):
    with nothing_changes():
        assert refusal(api.get("/users/me", token=token)) == (401, "invalid_token")


def test_a_payload_nested_without_end_is_refused(api, user):
    deep = base64.urlsafe_b64encode(b"[" * 5000).rstrip(b"=").decode()
    with nothing_changes():
        assert refusal(api.get("/users/me", token=f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{deep}.x"))[0] == 401
        assert refusal(api.get("/users/me", token=f"{deep}.e30.x"))[0] == 401


# --- Time --------------------------------------------------------------------------------------------------------


def test_exp_has_no_leeway(api, pair):
    assert api.get("/users/me", token=pair["access"]).status_code == 200
    claims = claims_of(pair["access"])
    assert refused(api, signed({**claims, "exp": int(time.time())}))
    assert refused(api, signed({**claims, "exp": int(time.time()) - 1}))


def test_a_token_is_good_until_the_very_second_of_its_exp(api, pair):
    claims = {**claims_of(pair["access"]), "exp": int(time.time()) + 2}
    assert api.get("/users/me", token=signed(claims)).status_code == 200


@pytest.mark.parametrize("hours", [-48, 48])
def test_the_clock_of_this_host_does_not_matter(api, user, pair, hours):
    with time_machine.travel(timezone.now() + timedelta(hours=hours), tick=True):
        assert api.get("/users/me", token=pair["access"]).status_code == 200
        successor = api.post("/auth/refresh", {"refresh": pair["refresh"]})
        assert successor.status_code == 200
        late = log_in(api, user)
    for token in (successor.json()["access"], late["access"]):
        assert abs(claims_of(token)["iat"] - time.time()) < 60
        assert api.get("/users/me", token=token).status_code == 200


@pytest.mark.parametrize("seconds", [5, 3600, 86400 * 365])
def test_an_iat_in_the_future_is_fine(api, pair, seconds):
    claims = claims_of(pair["access"])
    assert api.get("/users/me", token=signed({**claims, "iat": claims["iat"] + seconds})).status_code == 200


def test_a_row_that_was_put_forward_gives_tokens_that_work(api, pair):
    """As after a step back of the database's clock: `iat` lies in the future."""
    Session.objects.update(rotated_at=F("rotated_at") + timedelta(hours=1))
    successor = api.post("/auth/refresh", {"refresh": pair["refresh"]})
    assert successor.status_code == 200
    assert api.get("/users/me", token=successor.json()["access"]).status_code == 200


def test_the_same_row_signs_the_same_letters(user, pair):
    session = Session.objects.get()
    again = tokens.sign_pair(session, session.rotated_at)
    assert (again.access, again.refresh) == (pair["access"], pair["refresh"])


@pytest.mark.parametrize("algorithm", ["HS256", "EdDSA", "RS256"])
def test_a_token_is_written_as_pyjwt_writes_it(algorithm, settings):
    settings.TOKEN_ALGORITHM = algorithm
    rotate(Actor.system("test"))
    token = signed_in(UserFactory(last_name="Zoë")).pair.refresh
    key = keys.current()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert jwt.encode(claims, key.private, key.algorithm, headers={"kid": key.kid}) == token
