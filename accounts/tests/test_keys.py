"""The keys of tokens: rotated with nobody logged out, revoked with everybody out, of no use in a dump."""

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from io import StringIO
from itertools import cycle

import jwt
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken

from accounts import keys, tokens
from accounts.management.commands import doctor
from accounts.models import Session, SigningKey
from accounts.services import cleanup
from accounts.services.keys import revoke, rotate
from accounts.tests.clock import time_passes
from accounts.tests.factories import UserFactory
from accounts.tests.scene import events, log_in, nothing_changes, refusal
from core.actor import Actor
from core.errors import NotFound

pytestmark = pytest.mark.django_db

ACTOR = Actor.system("test")
ALGORITHMS = ["HS256", "EdDSA", "RS256"]
OTHER_SECRET = "another-key-" + "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def rsa():
    """Real ones, but few: each takes a second or two."""
    return [keys.generated("RS256") for _ in range(3)]


@pytest.fixture(autouse=True)
def one_rsa_key_after_another(rsa, monkeypatch):
    really, made = keys.generated, cycle(rsa)
    monkeypatch.setattr(keys, "generated", lambda algorithm: next(made) if algorithm == "RS256" else really(algorithm))


@pytest.fixture(autouse=True)
def a_process_that_has_just_begun(monkeypatch):
    monkeypatch.setattr(keys, "_known", {})
    monkeypatch.setattr(keys, "_absent", {})
    monkeypatch.setattr(tokens, "_verified", {})


@pytest.fixture
def user(db):
    return UserFactory()


@pytest.fixture
def pair(api, user):
    return log_in(api, user)


def as_another_process():
    """Forgets what this one has seen."""
    tokens._verified.clear()
    keys._known.clear()
    keys._absent.clear()
    keys._latest = ""


def run(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def kid_of(token):
    return jwt.get_unverified_header(token)["kid"]


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def refresh(api, token):
    return api.post("/auth/refresh", {"refresh": token})


def refreshed(api, token):
    response = refresh(api, token)
    assert response.status_code == 200, response.content
    return response.json()


def is_in(api, pair):
    return api.get("/users/me", token=pair["access"]).status_code == 200


def shut_out(api, pair):
    return refusal(api.get("/users/me", token=pair["access"])) == (401, "invalid_token") and refusal(
        refresh(api, pair["refresh"])
    ) == (401, "invalid_refresh_token")


def key_set(api):
    return api.client.get("/.well-known/jwks.json").json()["keys"]


# --- The first key -----------------------------------------------------------------------------------------------


def test_the_first_log_in_makes_the_first_key(api, user):
    assert SigningKey.objects.count() == 0
    pair = log_in(api, user)
    [key] = SigningKey.objects.all()
    assert kid_of(pair["access"]) == kid_of(pair["refresh"]) == key.kid == Session.objects.get().key_id
    assert (key.algorithm, key.retired_at, key.revoked_at) == ("HS256", None, None)
    [event] = events("key.created")
    assert event.details == {"by": "keys", "kid": key.kid, "algorithm": "HS256"}
    log_in(api, user)
    assert SigningKey.objects.count() == 1


def test_the_database_lets_one_key_sign_for_each_secret(pair):
    [row] = SigningKey.objects.values()
    with pytest.raises(IntegrityError), transaction.atomic():
        SigningKey.objects.create(**{**row, "kid": "0" * 32})
    SigningKey.objects.create(**{**row, "kid": "0" * 32, "sealed_under": "0" * 16})
    with pytest.raises(IntegrityError), transaction.atomic():
        SigningKey.objects.filter(kid=row["kid"]).update(revoked_at=row["created_at"])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_setting_says_what_the_first_key_signs_with(api, user, settings, algorithm):
    settings.TOKEN_ALGORITHM = algorithm
    pair = log_in(api, user)
    assert jwt.get_unverified_header(pair["access"]) == {"alg": algorithm, "typ": "JWT", "kid": keys.current().kid}
    assert is_in(api, pair)
    assert is_in(api, refreshed(api, pair["refresh"]))


# --- Rotation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ALGORITHMS)
@pytest.mark.parametrize("before", ALGORITHMS)
def test_a_rotation_logs_nobody_out(api, user, settings, before, after):
    settings.TOKEN_ALGORITHM = before
    pair = log_in(api, user)
    settings.TOKEN_ALGORITHM = after
    new = rotate(ACTOR)
    as_another_process()
    assert is_in(api, pair)
    successor = refreshed(api, pair["refresh"])
    assert kid_of(successor["access"]) == kid_of(successor["refresh"]) == new.kid == Session.objects.get().key_id
    assert jwt.get_unverified_header(successor["access"])["alg"] == after
    assert is_in(api, successor)
    assert is_in(api, pair), "the old access token too, until its own end"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_repeat_across_a_rotation_gives_the_same_letters(api, user, settings, algorithm):
    settings.TOKEN_ALGORITHM = algorithm
    pair = log_in(api, user)
    successor = refreshed(api, pair["refresh"])
    rotate(ACTOR)
    as_another_process()
    again = refreshed(api, pair["refresh"])
    assert (again["access"], again["refresh"]) == (successor["access"], successor["refresh"])
    assert kid_of(again["access"]) != keys.current().kid


def test_a_repeat_whose_first_answer_was_signed_by_the_new_key_gives_the_same_letters(api, pair):
    rotate(ACTOR)
    successor = refreshed(api, pair["refresh"])
    as_another_process()
    again = refreshed(api, pair["refresh"])
    assert (again["access"], again["refresh"]) == (successor["access"], successor["refresh"])


def test_reuse_is_noticed_across_rotations(api, pair):
    second = refreshed(api, pair["refresh"])
    rotate(ACTOR)
    third = refreshed(api, second["refresh"])
    rotate(ACTOR)
    assert refusal(refresh(api, pair["refresh"])) == (401, "invalid_refresh_token")
    assert Session.objects.get().ended_by == "reused"
    assert shut_out(api, third)


def test_a_rotation_is_recorded_and_leaves_one_key_that_signs(pair):
    old = keys.current().kid
    new = rotate(ACTOR)
    [event] = events("key.rotated")
    assert event.details == {"by": "test", "kid": new.kid, "algorithm": "HS256", "retired": old}
    assert list(SigningKey.objects.filter(retired_at=None).values_list("kid", flat=True)) == [new.kid]


def test_a_rotation_before_any_log_in_makes_the_first_key():
    assert rotate(ACTOR).kid == keys.current().kid
    assert events("key.rotated")[0].details["retired"] is None


def test_signing_follows_another_hosts_rotation_at_once(api, user, pair):
    """This process has the old key at hand, and no reason of its own to look for another."""
    cached = dict(keys._known)
    new = rotate(ACTOR)
    keys._known.clear()
    keys._known.update(cached)
    assert kid_of(log_in(api, user)["access"]) == new.kid


# --- Revocation --------------------------------------------------------------------------------------------------


def test_revoking_a_key_ends_its_sessions_and_no_others(api, user, pair):
    old = keys.current().kid
    rotate(ACTOR)
    other = log_in(api, user)
    assert revoke(ACTOR, old) == 1
    assert shut_out(api, pair)
    assert is_in(api, other)
    session = Session.objects.get(key=old)
    assert (session.ended_by, session.ended_at is not None) == ("key", True)
    [event] = events("key.revoked")
    assert event.details == {"by": "test", "kid": old, "replaced_by": None}
    assert [e.details["why"] for e in events("session.ended")] == ["key"]


def test_revoking_lists_the_refresh_tokens_like_every_ending(api, pair):
    revoke(ACTOR, keys.current().kid)
    [row] = BlacklistedToken.objects.select_related("token")
    assert row.token.jti == claims_of(pair["refresh"])["jti"]
    assert row.token.token == ""


def test_revoking_the_key_that_signs_makes_another_first(api, user, pair):
    old = keys.current().kid
    revoke(ACTOR, old)
    new = keys.current()
    assert new.kid != old
    assert events("key.revoked")[0].details["replaced_by"] == new.kid
    assert is_in(api, log_in(api, user))


def test_the_row_of_the_key_refuses_at_once_however_long_the_ending_of_its_sessions_takes(api, pair, monkeypatch):
    from accounts.services import keys as service

    monkeypatch.setattr(service, "_end_sessions", lambda actor, kid: 0)
    revoke(ACTOR, keys.current().kid)
    assert Session.objects.get().ended_at is None
    with nothing_changes():
        assert shut_out(api, pair)
    monkeypatch.undo()
    cleanup.clean_up()
    assert Session.objects.get().ended_by == "key", "the clean-up ends what was left"


def test_a_page_of_a_revoked_key_is_closed_too(api, user, pair):
    SigningKey.objects.update(retired_at=F("created_at"), revoked_at=F("created_at"))
    assert not Session.objects.live().with_clock().exists()


def test_an_older_token_of_a_revoked_key_is_refused_although_its_session_has_a_new_one(api, pair):
    """Whoever stole the key could prolong any token that it ever signed."""
    old = keys.current()
    rotate(ACTOR)
    successor = refreshed(api, pair["refresh"])
    prolonged = jwt.encode(
        {**claims_of(pair["access"]), "exp": int(time.time()) + 10**6}, old.private, headers={"kid": old.kid}
    )
    assert is_in(api, {"access": prolonged}), "else the refusal below would prove nothing"
    revoke(ACTOR, old.kid)
    with nothing_changes():
        assert refusal(api.get("/users/me", token=prolonged)) == (401, "invalid_token")
        assert shut_out(api, pair)
    assert is_in(api, successor)


def test_a_revoked_key_logs_nobody_out(api, pair):
    old = keys.current()
    rotate(ACTOR)
    successor = refreshed(api, pair["refresh"])
    revoke(ACTOR, old.kid)
    with nothing_changes():
        assert api.post("/auth/logout", {"refresh": pair["refresh"]}).status_code == 204
    assert is_in(api, successor)


def test_revoking_twice_ends_what_is_left_and_records_nothing_more(api, pair):
    kid = keys.current().kid
    assert revoke(ACTOR, kid) == 1
    with nothing_changes():
        assert revoke(ACTOR, kid) == 0


def test_a_key_that_does_not_exist_cannot_be_revoked(pair):
    with nothing_changes(), pytest.raises(NotFound):
        revoke(ACTOR, "0" * 32)


# --- Forgeries ---------------------------------------------------------------------------------------------------


def part(data):
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def refused(api, token):
    with nothing_changes():
        return shut_out(api, {"access": token, "refresh": token})


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256"])
def test_the_public_half_is_no_secret_of_hs256(api, user, settings, algorithm):
    """CVE-2022-29217, and CVE-2026-48526 with the JWK for the PEM."""
    settings.TOKEN_ALGORITHM = algorithm
    pair = log_in(api, user)
    key = keys.current()
    [jwk] = key_set(api)
    rotate(ACTOR)
    settings.TOKEN_ALGORITHM = "HS256"
    hs = rotate(ACTOR)
    for secret in (key.public, key.public.strip(), json.dumps(jwk), jwk.get("x", jwk.get("n"))):
        for kid in (key.kid, hs.kid):
            forged = tokens_by_hand(claims_of(pair["access"]), secret, {"alg": "HS256", "typ": "JWT", "kid": kid})
            assert refused(api, forged)


def tokens_by_hand(claims, secret, header):
    """PyJWT would not sign with a public key."""
    text = f"{part(header)}.{part(claims)}"
    digest = hmac.digest(secret.encode(), text.encode(), hashlib.sha256)
    return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


@pytest.mark.parametrize("first", ALGORITHMS)
@pytest.mark.parametrize("second", ALGORITHMS)
def test_a_key_speaks_for_its_own_name_and_algorithm_only(api, user, settings, first, second):
    settings.TOKEN_ALGORITHM = first
    claims = claims_of(log_in(api, user)["access"])
    mine = keys.current()
    settings.TOKEN_ALGORITHM = second
    other = rotate(ACTOR)
    assert is_in(api, {"access": jwt.encode(claims, mine.private, first, headers={"kid": mine.kid})})
    assert refused(api, jwt.encode(claims, mine.private, first, headers={"kid": other.kid}))
    assert refused(api, jwt.encode(claims, other.private, second, headers={"kid": mine.kid}))
    if first != second:
        head = {"alg": second, "typ": "JWT", "kid": mine.kid}
        signature = jwt.encode(claims, mine.private, first, headers={"kid": mine.kid}).rpartition(".")[2]
        assert refused(api, f"{part(head)}.{part(claims)}.{signature}")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"kid": ""},
        {"kid": "1"},
        {"kid": None},
        {"kid": 1},
        {"kid": ["a"]},
        {"kid": {}},
        {"kid": "é" * 32},
        {"kid": "\x00" * 32},
        {"kid": "../../../../../../../dev/null...."},
        {"kid": "' OR 1=1 --"},
        {"kid": "0" * 32},
        {"kid": "a" * 1000},
        {"jku": "https://evil.example/jwks.json"},
        {"jwk": {"kty": "oct", "k": "eA"}},
        {"x5u": "https://evil.example/x.pem"},
        {"x5c": ["MIIB"]},
        {"crit": ["kid"]},
        {"typ": "at+jwt"},
        {"typ": None},
    ],
    ids=lambda header: json.dumps(header)[:30],
)
def test_a_header_that_we_never_write_is_refused(api, user, settings, algorithm, header):
    settings.TOKEN_ALGORITHM = algorithm
    pair = log_in(api, user)
    key = keys.current()
    head = {"alg": algorithm, "typ": "JWT", "kid": key.kid, **header}
    text = f"{part(head)}.{part(claims_of(pair['access']))}"
    method = jwt.get_algorithm_by_name(algorithm)
    rightly = base64.urlsafe_b64encode(method.sign(text.encode(), method.prepare_key(key.private)))
    for signature in (rightly.rstrip(b"=").decode(), pair["access"].rpartition(".")[2], ""):
        assert refused(api, f"{text}.{signature}")


def test_a_made_up_kid_asks_nobody_and_a_real_one_that_has_gone_asks_seldom(api, pair):
    key = keys.current()
    claims = claims_of(pair["access"])
    with CaptureQueriesContext(connection) as asked:
        for number in range(50):
            made_up = jwt.encode(claims, key.private, headers={"kid": f"{number:032x}"})
            assert api.get("/users/me", token=made_up).status_code == 401
    assert len(asked) == 0
    SigningKey.objects.all().delete()
    as_another_process()
    with CaptureQueriesContext(connection) as asked:
        for _ in range(50):
            assert api.get("/users/me", token=pair["access"]).status_code == 401
    assert len(asked) == 1


def test_a_known_key_costs_no_question_and_one_from_another_host_one_once(api, pair):
    for expected in (0, 1, 0):
        if expected:
            as_another_process()
        with CaptureQueriesContext(connection) as asked:
            assert tokens.read(pair["access"], "access")
        assert len(asked) == expected


# --- A dump, and another SECRET_KEY ------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_table_holds_no_key_that_can_be_used(api, user, settings, algorithm):
    settings.TOKEN_ALGORITHM = algorithm
    pair = log_in(api, user)
    key, row = keys.current(), SigningKey.objects.get()
    sealed = bytes(row.sealed)
    if algorithm == "HS256":
        assert bytes.fromhex(key.private) not in sealed
    else:
        der = base64.b64decode("".join(key.private.splitlines()[1:-1]))
        assert len(der) > 32
        assert not any(der[n : n + 16] in sealed for n in range(len(der) - 16))
        with pytest.raises((ValueError, jwt.InvalidKeyError)):
            jwt.get_algorithm_by_name(algorithm).prepare_key(sealed)
    for guess in (sealed, sealed[12:], sealed[12:-16], sealed.hex().encode(), row.kid.encode()):
        forged = tokens_by_hand(
            claims_of(pair["access"]), guess.decode("latin-1"), jwt.get_unverified_header(pair["access"])
        )
        assert refused(api, forged)
    settings.SECRET_KEY = OTHER_SECRET
    assert keys.opened(row) is None


def test_no_sealed_key_passes_for_another(api, pair):
    """Neither under the name of another key, nor as one of another algorithm."""
    rotate(ACTOR)
    first, second = SigningKey.objects.order_by("created_at")
    first.sealed, second.algorithm = second.sealed, "RS256"
    assert keys.opened(first) is None
    assert keys.opened(second) is None


def test_nothing_tells_a_key_by_accident(pair):
    key = keys.current()
    assert key.private not in repr(key)
    assert key.private not in str(SigningKey.objects.values())


def test_with_another_secret_everybody_signs_in_again_and_with_the_old_one_back_nobody_need(api, user, pair, settings):
    old_secret = settings.SECRET_KEY
    settings.SECRET_KEY = OTHER_SECRET
    as_another_process()
    with nothing_changes():
        assert shut_out(api, pair)
    meanwhile = log_in(api, user)
    assert is_in(api, meanwhile)
    assert SigningKey.objects.filter(retired_at=None).count() == 2
    settings.SECRET_KEY = old_secret
    as_another_process()
    assert is_in(api, pair)
    assert shut_out(api, meanwhile)
    assert kid_of(log_in(api, user)["access"]) == kid_of(pair["access"])


def test_a_damaged_key_is_replaced_at_the_next_log_in(api, user, pair):
    SigningKey.objects.update(sealed=b"damaged")
    as_another_process()
    with nothing_changes():
        assert shut_out(api, pair)
    assert is_in(api, log_in(api, user))
    assert SigningKey.objects.exclude(retired_at=None).count() == 1


def test_a_repeat_whose_key_was_damaged_can_be_tried_later(api, pair):
    """The one call that must sign with the very key of the row."""
    rotate(ACTOR)
    refreshed(api, pair["refresh"])
    SigningKey.objects.filter(retired_at=None).update(sealed=b"damaged")
    as_another_process()
    with nothing_changes():
        assert refusal(refresh(api, pair["refresh"])) == (503, "service_unavailable")


# --- The public halves -------------------------------------------------------------------------------------------


def test_with_hs256_there_is_nothing_to_publish(api, pair):
    assert key_set(api) == []


@pytest.mark.parametrize(("algorithm", "members"), [("EdDSA", {"crv", "x"}), ("RS256", {"n", "e"})])
def test_others_verify_by_the_key_set_alone(api, user, settings, algorithm, members):
    settings.TOKEN_ALGORITHM = algorithm
    before = log_in(api, user)
    rotate(ACTOR)
    after = log_in(api, user)
    response = api.client.get("/.well-known/jwks.json")
    assert response["Cache-Control"] == "public, max-age=60"
    assert response["Content-Type"] == "application/json"
    published = jwt.PyJWKSet.from_dict(response.json())
    for token in (before["access"], after["access"]):
        key = published[kid_of(token)]
        claims = jwt.decode(token, key, [algorithm], audience="muster", issuer=settings.PUBLIC_URL)
        assert (claims["sub"], claims["token_type"]) == (str(user.pk), "access")
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(token, published[({k.key_id for k in published.keys} - {kid_of(token)}).pop()], [algorithm],
                       audience="muster")  # fmt: skip
    for jwk in response.json()["keys"]:
        assert set(jwk) == {"kty", "use", "alg", "kid", *members}, "and no private member"


def test_a_stale_token_keeps_nobody_from_the_key_set(api):
    response = api.client.get("/.well-known/jwks.json", headers={"Authorization": "Bearer x.y.z"})
    assert response.status_code == 200


def test_revoked_keys_and_those_of_another_secret_are_not_published(api, user, settings):
    settings.TOKEN_ALGORITHM = "EdDSA"
    log_in(api, user)
    gone = keys.current().kid
    revoke(ACTOR, gone)
    [jwk] = key_set(api)
    assert jwk["kid"] == keys.current().kid != gone
    settings.SECRET_KEY = OTHER_SECRET
    as_another_process()
    assert key_set(api) == []


# --- Clean-up ----------------------------------------------------------------------------------------------------


def test_a_retired_key_goes_when_its_last_token_has_ended(api, user, pair, settings):
    old = keys.current().kid
    rotate(ACTOR)
    time_passes(seconds=settings.SESSION_MAX_SECONDS - 60)
    assert cleanup.clean_up()["signing_keys"] == 0
    time_passes(seconds=120)
    assert cleanup.clean_up()["signing_keys"] == 1
    assert not SigningKey.objects.filter(kid=old).exists()
    assert is_in(api, log_in(api, user))


def test_a_key_stays_as_long_as_a_session_is_signed_by_it(api, user, pair, settings):
    """As when SESSION_MAX_SECONDS was longer at the time."""
    rotate(ACTOR)
    settings.SESSION_MAX_SECONDS = 1
    SigningKey.objects.exclude(retired_at=None).update(retired_at=F("retired_at") - timedelta(seconds=10))
    assert cleanup.clean_up()["signing_keys"] == 0
    assert is_in(api, pair)


def test_the_key_that_signs_stays_however_old(pair):
    time_passes(days=4000)
    assert cleanup.clean_up()["signing_keys"] == 0
    assert SigningKey.objects.count() == 1


# --- Commands ----------------------------------------------------------------------------------------------------


def test_the_command_lists_rotates_and_revokes(api, user, pair):
    first = keys.current().kid
    told = run("keys", "rotate")
    second = keys.current().kid
    assert second in told
    lines = [line.split("\t") for line in run("keys", "list").splitlines()]
    assert [(kid, state.split()[0], count) for kid, _, _, state, count in lines] == [
        (second, "signs", "0 sessions"),
        (first, "retired", "1 sessions"),
    ]
    assert "1 sessions ended" in run("keys", "revoke", first)
    assert f"{first}\tHS256" in run("keys", "list")
    assert "revoked" in run("keys", "list")
    assert shut_out(api, pair)


def test_the_command_refuses_a_key_that_does_not_exist(pair):
    with nothing_changes(), pytest.raises(CommandError, match="There is no key 'nonsense'"):
        run("keys", "revoke", "nonsense")


def test_no_command_shows_a_key(pair):
    key = keys.current()
    told = run("keys", "list") + run("keys", "rotate") + run("keys", "revoke", key.kid)
    assert key.private not in told
    assert keys.current().private not in told


def test_the_command_says_what_cannot_be_opened_and_lets_it_go(api, pair, settings):
    kid = keys.current().kid
    settings.SECRET_KEY = OTHER_SECRET
    assert "of another SECRET_KEY" in run("keys", "list")
    assert "1 sessions ended" in run("keys", "revoke", kid)
    assert doctors_findings() == [(True, "none signs under this SECRET_KEY yet; the next log-in makes one.")]


def doctors_findings():
    return [(is_good, text.removeprefix("Token keys: ")) for is_good, text in doctor.token_keys()]


def test_the_doctor_is_content_with_a_key_that_opens(pair):
    [(is_good, text)] = doctors_findings()
    assert is_good
    assert text.startswith(f"{keys.current().kid} signs with HS256 since ")


def test_the_doctor_says_when_the_setting_differs_from_the_key(pair, settings):
    settings.TOKEN_ALGORITHM = "EdDSA"
    [(is_good, text)] = doctors_findings()
    assert not is_good
    assert text.endswith("signs with HS256, but TOKEN_ALGORITHM is EdDSA; run manage.py keys rotate.")
    run("keys", "rotate")
    assert doctors_findings()[0][0]


def test_the_doctor_says_which_keys_cannot_be_opened(pair, settings):
    kid = keys.current().kid
    SigningKey.objects.update(sealed=b"damaged")
    assert doctors_findings() == [(False, f"{kid} is damaged and cannot be opened; the next log-in makes another.")]
    settings.SECRET_KEY = OTHER_SECRET
    (is_good, _), (is_bad, text) = doctors_findings()
    assert (is_good, is_bad) == (True, False)
    assert text.startswith(f"{kid} was sealed under another SECRET_KEY")


def test_what_is_remembered_of_a_token_is_its_hash_and_no_more_than_so_many(api, user, monkeypatch):
    monkeypatch.setattr(tokens, "REMEMBERED", 2)
    monkeypatch.setattr(tokens, "_verified", {})
    pairs = [log_in(api, user) for _ in range(3)]
    for pair in pairs:
        assert tokens.read(pair["access"], "access") == tokens.read(pair["access"], "access")
        assert tokens.read(pair["access"], "refresh") is None
        assert tokens.read(pair["access"] + "A", "access") is None
    assert 1 <= len(tokens._verified) <= 2
    assert all(type(name) is bytes and len(name) == 32 for name in tokens._verified)
