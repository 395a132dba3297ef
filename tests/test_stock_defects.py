"""What the stock stack was measured to do wrong (E1-E40 of the security reference), and what must hold instead.

One test for each, or a line in `ELSEWHERE` that says where it is.
"""

import ast
import base64
import hmac
import json
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.utils import timezone

from accounts import keys, tokens
from accounts.models import FailedLogIns, Session, User
from accounts.services import users
from accounts.services.cleanup import delete_unverified
from accounts.tests.factories import PASSWORD, UserFactory, signed_in
from audit.models import Event
from core.actor import Actor
from mail.models import OutgoingMail
from rbac.models import Role
from rbac.tests.factories import GrantFactory
from tests.snapshot import nothing_changes
from tests.world import FORM, is_problem, send

ROOT = Path(__file__).resolve().parent.parent
ME = "/api/v1/users/me"
LOG_IN = "/api/v1/auth/login"
REFRESH = "/api/v1/auth/refresh"

# Rows that need processes, sockets or a fault, and the tests that show them.
ELSEWHERE = {
    "E1": "tests/races/test_sessions.py::test_a_hundred_refreshes_of_one_token_give_one_successor",
    "E14": "tests/races/test_registration.py::test_a_hundred_sign_ups_of_one_address_make_one_user",
    "E16": "tests/races/test_limits.py::test_ten_of_a_hundred_guesses_are_looked_at",
    "E22": "tests/test_serve.py::test_it_reads_a_chunked_body",
    "E30": "tests/test_redis_away.py::test_limits_stay_enforced_in_the_database",
    "E31": "mail/tests/test_notifier.py::test_a_hung_broker_holds_nobody_up",
    "E33": "tests/races/test_administrators.py::test_two_last_administrators_leave_one",
    "E34": "tests/races/test_registration.py::test_a_hundred_sign_ups_of_one_address_make_one_user",
    "E35": "tests/test_serve.py::test_a_thousand_slow_clients_keep_nobody_out",
    "E36": "tests/test_serve.py::test_sigterm_answers_everything_that_was_asked",
    "E37": "tests/test_serve.py::test_nothing_outlives_a_supervisor_that_is_killed",
}
# Of these the code has no such thing any more.
WITHOUT_OBJECT = {"E39": "gunicorn's control socket: the server is another"}


def test_every_row_has_its_test() -> None:
    here = {f"E{number}" for number in re.findall(r"^def test_e(\d+)_", Path(__file__).read_text(), re.MULTILINE)}
    assert here | set(ELSEWHERE) | set(WITHOUT_OBJECT) == {f"E{number}" for number in range(1, 41)}


@pytest.mark.parametrize("place", sorted(set(ELSEWHERE.values())))
def test_the_tests_elsewhere_exist(place: str) -> None:
    path, _, name = place.partition("::")
    functions = [
        node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)
    ]
    assert name in functions


# --- Tokens: an attacker's workshop --------------------------------------------------------------------------------


@pytest.fixture
def user(db: None) -> User:
    return UserFactory(email="ann@example.org")


@pytest.fixture
def pair(user: User) -> tokens.TokenPair:
    return signed_in(user).pair


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})


def key() -> bytes:
    """The real one, which an attacker has not."""
    return keys.current().private.encode()


def forged(token: str, header: dict[str, Any] | None = None, *, digest: str = "sha256", **claims: Any) -> str:
    """The token with other words, rightly signed. A claim of `...` is left out."""
    old_header, payload = parts(token)
    payload = {name: value for name, value in {**payload, **claims}.items() if value is not ...}
    head = {name: value for name, value in {**old_header, **(header or {})}.items() if value is not ...}
    text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(payload).encode())}"
    return f"{text}.{b64(hmac.digest(key(), text.encode(), digest))}"


def get_me(token: str) -> Any:
    return send("GET", ME, token=token)


def is_invalid(response: Any) -> None:
    is_problem(response, 401, "invalid_token")
    assert 'error="invalid_token"' in response["WWW-Authenticate"]


def refresh(token: Any) -> Any:
    return send("POST", REFRESH, {"refresh": token})


def test_the_workshop_makes_tokens_that_work(pair: tokens.TokenPair) -> None:
    """Else the refusals below would prove nothing."""
    assert get_me(forged(pair.access)).status_code == 200
    assert refresh(forged(pair.refresh)).status_code == 200


BAD_CLAIMS: list[tuple[str, Any]] = [
    *(("sub", value) for value in ("1", 1, {}, {"a": 1}, [], ["x"], None, True, "\x00", "x" * 300, "", ...)),
    *(("sid", value) for value in ("1", 1, {}, {"a": 1}, [], ["x"], None, True, "\x00", "x" * 300, "", ...)),
    *(("exp", value) for value in (1e20, 1e308, "9999999999", {}, [], None, True, -1, 0, 1.5, ...)),
    *(("gen", value) for value in ("1", 1.0, -1, 0, 2, 10**30, {}, [], None, True, ...)),
    *(("jti", value) for value in ("x" * 300, "\x00", 1, {}, [], None, True, "", ...)),
    *(("iss", value) for value in ("https://other.example", "", None, ["http://127.0.0.1:8000"], {}, ...)),
    *(("aud", value) for value in ("other", "", None, {}, [], 1, ["other"], ...)),
    *(("token_type", value) for value in ("refresh", "", None, {}, ["access"], ...)),
    *(("scope", value) for value in ("refresh_token", "", None, {}, "access_token refresh_token", ...)),
    *(("nbf", value) for value in ("x", {}, [], 1e308)),
    *(("iat", value) for value in ("x", {}, [])),
]


@pytest.mark.parametrize(
    ("claim", "value"),
    BAD_CLAIMS,
    ids=lambda v: repr(v)[:20],
)
def test_e9_a_rightly_signed_token_with_odd_claims_is_401(user: User, claim: str, value: Any) -> None:
    pair = signed_in(user).pair
    with nothing_changes():
        is_invalid(get_me(forged(pair.access, **{claim: value})))
        kind = {"token_type": "access", "scope": "access_token"}
        refused = {claim: value} if claim not in kind else {claim: kind[claim]}
        is_problem(refresh(forged(pair.refresh, **refused)), 401, "invalid_refresh_token")


@pytest.mark.parametrize(
    "jti", ["x" * 300, "\x00", "", "\ud800", "' OR 1=1", None, 1, {}, []], ids=lambda v: repr(v)[:9]
)
def test_e10_a_refresh_token_with_an_odd_jti_is_401(pair: tokens.TokenPair, jti: Any) -> None:
    with nothing_changes():
        is_problem(refresh(forged(pair.refresh, jti=jti)), 401, "invalid_refresh_token")
        is_problem(send("POST", "/api/v1/auth/logout", {"refresh": forged(pair.refresh, jti=jti)}), 401)


BAD_HEADERS: list[dict[str, Any]] = [
    {"typ": "logout+jwt"},
    {"typ": "at+jwt"},
    {"typ": "jwt"},
    {"typ": ...},
    {"kid": "1"},
    {"kid": "../../../../dev/null"},
    {"kid": "' UNION SELECT 'x"},
    {"jku": "https://evil.example/jwks.json"},
    {"x5u": "https://evil.example/x.pem"},
    {"jwk": {"kty": "oct", "k": "eA"}},
    {"crit": ["b64"], "b64": False},
    {"crit": ["exp"]},
    {"cty": "JWT"},
    {"zip": "DEF"},
    {"alg": ["HS256"]},
    {"alg": {}},
    {"alg": None},
    {"alg": "hs256"},
    {"alg": ...},
]


@pytest.mark.parametrize("header", BAD_HEADERS, ids=lambda h: json.dumps(h, default=str)[:40])
def test_e11_a_token_whose_header_is_not_exactly_ours_is_401(pair: tokens.TokenPair, header: dict[str, Any]) -> None:
    with nothing_changes():
        is_invalid(get_me(forged(pair.access, header)))
        is_problem(refresh(forged(pair.refresh, header)), 401, "invalid_refresh_token")


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "NONE", "HS384", "HS512", "RS256", "ES256", "EdDSA", "PS256"])
def test_a_token_of_another_algorithm_is_401(pair: tokens.TokenPair, alg: str) -> None:
    """RFC 8725 §3.1; with the right key, and the digest that belongs to the algorithm."""
    digest = {"HS384": "sha384", "HS512": "sha512"}.get(alg, "sha256")
    token = forged(pair.access, {"alg": alg}, digest=digest)
    unsigned = token.rpartition(".")[0]
    with nothing_changes():
        for attempt in (token, f"{unsigned}.", unsigned):
            is_invalid(get_me(attempt))


def test_a_token_changed_in_any_part_is_401(pair: tokens.TokenPair) -> None:
    head, payload, signature = pair.access.split(".")
    swapped = payload[:-2] + ("A" if payload[-2] != "A" else "B") + payload[-1]
    other = "A" if signature[0] != "A" else "B"
    with nothing_changes():
        for attempt in (
            f"{head}.{swapped}.{signature}",
            f"{head}.{payload}.{other}{signature[1:]}",
            f"{head}.{payload}.{signature[:-4]}",
            f"{head}.{payload}.",
            f"{head}.{payload}",
            f".{payload}.{signature}",
            f"{head}..{signature}",
            f"{head}.{payload}.{signature}.{signature}",
            pair.access * 2,
            f"{pair.access}\u00e9",
        ):
            is_invalid(get_me(attempt))


def test_a_token_signed_with_a_guessable_key_is_401(pair: tokens.TokenPair) -> None:
    _, payload = parts(pair.access)
    with nothing_changes():
        for guess in ("", "secret", django_settings.SECRET_KEY, "muster", django_settings.SIMPLE_JWT["SIGNING_KEY"]):
            text = f"{pair.access.split('.')[0]}.{b64(json.dumps(payload).encode())}"
            signature = b64(hmac.digest(guess.encode(), text.encode(), "sha256"))
            is_invalid(get_me(f"{text}.{signature}"))


def test_one_kind_of_token_never_passes_for_the_other(pair: tokens.TokenPair) -> None:
    with nothing_changes():
        is_invalid(get_me(pair.refresh))
        is_problem(refresh(pair.access), 401, "invalid_refresh_token")
        is_problem(send("POST", "/api/v1/auth/logout", {"refresh": pair.access}), 401, "invalid_refresh_token")
        is_problem(send("POST", "/api/v1/auth/logout", token=pair.refresh), 401)


def test_a_token_speaks_for_nobody_but_its_own_session_and_user(pair: tokens.TokenPair) -> None:
    other = UserFactory()
    stranger = signed_in(other)
    sid, gen = stranger.session.pk, stranger.session.gen
    with nothing_changes():
        is_invalid(get_me(forged(pair.access, sub=str(other.pk))))
        is_invalid(get_me(forged(pair.access, sid=str(sid))))
        # Even with the jti that belongs to that session.
        is_invalid(get_me(forged(pair.access, sid=str(sid), jti=tokens.jti_of(sid, gen, "access"))))
        is_problem(refresh(forged(pair.refresh, sub=str(other.pk))), 401)


def test_an_access_token_of_a_generation_that_was_never_made_is_401(user: User) -> None:
    here = signed_in(user)
    jti = tokens.jti_of(here.session.pk, 7, "access")
    with nothing_changes():
        is_invalid(get_me(forged(here.pair.access, gen=7, jti=jti)))


def test_a_token_that_has_just_expired_is_401_without_leeway(user: User, settings: Any) -> None:
    settings.ACCESS_TOKEN_SECONDS = 1
    pair = signed_in(user).pair
    assert get_me(pair.access).status_code == 200
    time.sleep(1.1)
    with nothing_changes():
        is_invalid(get_me(pair.access))


def test_a_token_holds_no_personal_data_and_no_roles(user: User) -> None:
    GrantFactory(user=user, role=Role.objects.get(name="admin"))
    pair = signed_in(user).pair
    for token, kind in ((pair.access, "access"), (pair.refresh, "refresh")):
        header, payload = parts(token)
        assert header == {"alg": "HS256", "typ": "JWT", "kid": keys.current().kid}
        assert set(payload) == {"iss", "aud", "sub", "sid", "gen", "jti", "iat", "exp", "token_type", "scope"}
        assert payload["scope"] == f"{kind}_token"
        assert UUID(payload["sub"]) == user.pk


# --- Sessions --------------------------------------------------------------------------------------------------------


def test_e2_a_replayed_parent_ends_the_family(user: User, pair: tokens.TokenPair, settings: Any) -> None:
    settings.REFRESH_GRACE_SECONDS = 0
    child = refresh(pair.refresh).json()
    time.sleep(0.01)
    is_problem(refresh(pair.refresh), 401, "invalid_refresh_token")
    is_problem(refresh(child["refresh"]), 401, "invalid_refresh_token")
    is_invalid(get_me(child["access"]))
    assert Session.objects.get(user=user).ended_by == "reused"
    assert Event.objects.filter(action="session.reused", target_id=user.pk).count() == 1
    assert OutgoingMail.objects.filter(template="session_reused", to=user.email).count() == 1


def test_e2_a_token_two_generations_old_ends_the_session_even_within_the_grace(pair: tokens.TokenPair) -> None:
    second = refresh(pair.refresh).json()
    third = refresh(second["refresh"]).json()
    is_problem(refresh(pair.refresh), 401, "invalid_refresh_token")
    is_problem(refresh(third["refresh"]), 401, "invalid_refresh_token")


def test_e2_a_repeat_within_the_grace_is_the_same_pair_letter_by_letter(pair: tokens.TokenPair) -> None:
    first, again = refresh(pair.refresh).json(), refresh(pair.refresh).json()
    assert (first["access"], first["refresh"]) == (again["access"], again["refresh"])
    assert Session.objects.get().gen == 2


def test_e3_refreshing_never_pushes_the_end_beyond_the_absolute_limit(user: User, settings: Any) -> None:
    settings.SESSION_IDLE_SECONDS = settings.SESSION_MAX_SECONDS = 1000
    pair = signed_in(user).pair
    session = Session.objects.get(user=user)
    end = session.created_at + timedelta(seconds=1000)
    Session.objects.update(
        created_at=session.created_at - timedelta(seconds=990), expires_at=end - timedelta(seconds=990)
    )
    exp = parts(refresh(pair.refresh).json()["refresh"])[1]["exp"]
    assert exp <= (end - timedelta(seconds=990)).timestamp()


def test_e4_an_access_token_is_refused_right_after_the_log_out(pair: tokens.TokenPair) -> None:
    assert send("POST", "/api/v1/auth/logout", {"refresh": pair.refresh}).status_code == 204
    is_invalid(get_me(pair.access))
    is_problem(refresh(pair.refresh), 401, "invalid_refresh_token")


def test_e5_a_new_password_ends_every_other_session(user: User, pair: tokens.TokenPair) -> None:
    here = signed_in(user).pair
    body = {"current_password": PASSWORD, "new_password": "Wholly-new-horse-7"}
    assert send("PUT", f"{ME}/password", body, here.access).status_code == 204
    is_invalid(get_me(pair.access))
    is_problem(refresh(pair.refresh), 401, "invalid_refresh_token")
    assert get_me(here.access).status_code == 200


def test_e6_neither_a_deactivated_user_nor_the_wrong_kind_passes_for_signed_in(
    user: User, pair: tokens.TokenPair
) -> None:
    is_invalid(get_me(pair.refresh))
    users.delete_user(Actor.system("test"), user)
    is_invalid(get_me(pair.access))
    is_problem(refresh(pair.refresh), 401, "invalid_refresh_token")


def test_e7_a_refresh_of_a_deleted_user_is_401(user: User, pair: tokens.TokenPair) -> None:
    user.delete()
    with nothing_changes():
        is_problem(refresh(pair.refresh), 401, "invalid_refresh_token")
        is_invalid(get_me(pair.access))
        assert send("POST", "/api/v1/auth/logout", {"refresh": pair.refresh}).status_code in (204, 401)


def test_a_new_account_of_an_old_address_is_another(user: User, pair: tokens.TokenPair) -> None:
    """OWASP ASVS 10.3.3."""
    user.delete()
    UserFactory(email="ann@example.org")
    is_invalid(get_me(pair.access))


def test_e8_logging_out_twice_is_204_twice(pair: tokens.TokenPair) -> None:
    assert send("POST", "/api/v1/auth/logout", {"refresh": pair.refresh}).status_code == 204
    with nothing_changes():
        assert send("POST", "/api/v1/auth/logout", {"refresh": pair.refresh}).status_code == 204
        assert send("POST", "/api/v1/auth/logout", token=pair.access).status_code == 204


# --- HTTP ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_e12_the_scheme_is_taken_in_any_case(pair: tokens.TokenPair, scheme: str) -> None:
    assert send("GET", ME, headers={"Authorization": f"{scheme} {pair.access}"}).status_code == 200


def test_e13_the_challenge_says_error_only_when_there_was_a_token(db: None) -> None:
    """RFC 6750 §3."""
    with nothing_changes():
        without = send("GET", ME)
        broken = send("GET", ME, token="x")
    is_problem(without, 401, "not_authenticated")
    assert without["WWW-Authenticate"].startswith("Bearer ")
    assert "error" not in without["WWW-Authenticate"]
    is_invalid(broken)


def test_a_token_in_the_query_is_no_token(pair: tokens.TokenPair) -> None:
    with nothing_changes():
        for name in ("access_token", "token", "access", "jwt"):
            is_problem(send("GET", f"{ME}?{name}={pair.access}"), 401, "not_authenticated")


def test_a_public_call_ignores_a_broken_token(user: User) -> None:
    body = {"email": user.email, "password": PASSWORD}
    for token in ("x", "a.b.c", "e30.e30.", "x" * 5000):
        assert send("POST", LOG_IN, body, token).status_code == 200


def test_e15_an_address_is_one_whatever_its_case(db: None) -> None:
    for address in ("Case@ex.com", "case@ex.com", "CASE@EX.COM", " case@Ex.Com "):
        assert send("POST", "/api/v1/auth/signup", {"email": address, "password": PASSWORD}).status_code == 202
    assert User.objects.count() == 1


def test_e17_a_forwarded_header_makes_nobody_another_client(user: User) -> None:
    Client(HTTP_HOST="127.0.0.1")
    for number in range(12):
        for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "CF-Connecting-IP"):
            send("POST", LOG_IN, {"email": user.email, "password": "wrong"}, headers={header: f"203.0.113.{number}"})
    answer = send(
        "POST", LOG_IN, {"email": user.email, "password": PASSWORD}, headers={"X-Forwarded-For": "203.0.113.99"}
    )
    is_problem(answer, 429, "too_many_attempts")
    assert set(FailedLogIns.objects.values_list("network", flat=True)) == {"", "192.0.2.77"}


@pytest.mark.parametrize("depth", [900, 10_000, 100_000])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_e18_json_of_any_depth_is_400(db: None, depth: int, opening: str) -> None:
    client = Client(HTTP_HOST="127.0.0.1", raise_request_exception=False)
    with nothing_changes():
        response = client.post(LOG_IN, opening * depth, "application/json")
    is_problem(response, 400)


LISTS = ["/users", "/sessions", "/permissions", "/roles", "/audit/events"]


@pytest.fixture
def admin(db: None) -> str:
    return signed_in(GrantFactory(user=UserFactory(), role=Role.objects.get(name="admin")).user).pair.access


@pytest.mark.parametrize("path", LISTS)
def test_e19_a_page_size_beyond_all_numbers_is_no_crash(admin: str, path: str) -> None:
    for size in ("99999999999999999999", "9" * 5000):
        assert send("GET", f"/api/v1{path}?page_size={size}", token=admin).status_code == 200
    for size in ("-99999999999999999999", "1e400", "NaN", "0"):
        is_problem(send("GET", f"/api/v1{path}?page_size={size}", token=admin), 400, "validation_error")


def test_e20_a_page_holds_at_most_200(admin: str) -> None:
    User.objects.bulk_create(User(email=f"p{n}@x.org", email_key=f"p{n}@x.org", password="!") for n in range(250))
    page = send("GET", "/api/v1/users?page_size=100000", token=admin).json()
    assert len(page["results"]) == 200
    assert page["next"]


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/nothing", "/api/v1/users/", "/static/nothing", "/.git/HEAD"])
def test_e21_what_is_not_there_is_a_problem_and_no_page(db: None, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "TRACE"):
        is_problem(send(method, path), 404, "not_found")


def test_e21_a_body_too_large_and_a_form_of_thousands_are_problems(db: None) -> None:
    client = Client(HTTP_HOST="127.0.0.1", raise_request_exception=False)
    with nothing_changes():
        is_problem(client.post(LOG_IN, b" " * 3_000_000, "application/json"), 413, "body_too_large")
        form = "&".join(f"a{n}=1" for n in range(2000))
        is_problem(client.post("/api/v1/auth/token", form, FORM), 413, "body_too_large")


def test_e21_whatever_breaks_is_a_problem_and_tells_nothing(pair: tokens.TokenPair, monkeypatch: Any) -> None:
    from accounts.views import myself

    def broken(*args: Any) -> Any:
        raise RuntimeError("SELECT secret FROM somewhere")

    monkeypatch.setattr(myself, "answer", broken)
    response = get_me(pair.access)
    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert "secret" not in response.content.decode()
    assert "Traceback" not in response.content.decode()


@pytest.fixture
def an_undeclared_answer_is_meant(answers_are_declared: list[str]) -> Any:
    yield
    answers_are_declared.clear()


test_e21_whatever_breaks_is_a_problem_and_tells_nothing = pytest.mark.usefixtures("an_undeclared_answer_is_meant")(
    test_e21_whatever_breaks_is_a_problem_and_tells_nothing
)


@pytest.mark.parametrize(
    "password", ["  Blank-horse-99  ", "\tTabbed-horse-9\n", "\u00a0Hard-horse-blank\u00a0", "x" * 72 + "yz-9"]
)
def test_e23_a_password_is_taken_byte_for_byte(db: None, password: str) -> None:
    UserFactory(email="ann@example.org", password=password)
    assert send("POST", LOG_IN, {"email": "ann@example.org", "password": password}).status_code == 200
    for other in (password.strip(), password[:72], f" {password}", f"{password} "):
        if other != password:
            with nothing_changes():
                response = send("POST", LOG_IN, {"email": "ann@example.org", "password": other})
            is_problem(response, 401, "invalid_credentials")


@pytest.mark.parametrize("password", ["  Blank-horse-99  ", "x" * 72 + "yz-9"])
def test_e23_it_is_so_at_the_token_endpoint_too(db: None, password: str) -> None:
    UserFactory(email="ann@example.org", password=password)
    body = {"grant_type": "password", "username": "ann@example.org", "password": password}
    assert send("POST", "/api/v1/auth/token", body, form=True).status_code == 200
    refused = send("POST", "/api/v1/auth/token", {**body, "password": password.strip()[:72]}, form=True)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


NO_ADDRESSES = [
    "a@[127.0.0.1]", "a@[IPv6:::1]", "ı@ex.com", "ß@ex.com", "a@ex", "a@", "@ex.com", "a b@ex.com", '"a b"@ex.com',
    "a@ex.com,b@ex.com", "a@ex.com\r\nBcc: b@ex.com", "a@ex..com", "a@-ex.com", "a@ex.com.", "аdmin@ex.com",
    "a\u200b@ex.com", "a@ex\u200b.com", "a@ex.com\u202e", "(x)a@ex.com", "a@ex.com(x)", "<a@ex.com>", "A <a@ex.com>",
    "a@" + "x" * 300 + ".com", "a@xn--zzzzzzzz.com", "mailto:a@ex.com", "a@ex.com\x00",
]  # fmt: skip


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_e24_an_address_that_is_none_is_400(db: None, address: str) -> None:
    with nothing_changes():
        response = send("POST", "/api/v1/auth/signup", {"email": address, "password": PASSWORD})
    is_problem(response, 400, "validation_error")
    assert [error["field"] for error in response.json()["errors"]] == ["email"]


def test_e24_a_local_part_that_smtp_cannot_take_is_400(db: None) -> None:
    """RFC 5321 §4.5.3.1.1: 64 octets."""
    response = send("POST", "/api/v1/auth/signup", {"email": "x" * 65 + "@ex.com", "password": PASSWORD})
    is_problem(response, 400, "validation_error")


def test_e24_a_domain_in_any_script_is_kept_in_the_one_form_that_mail_takes(db: None) -> None:
    for domain in ("bücher.example", "BÜCHER.example", "xn--bcher-kva.example", "bu\u0308cher.example"):
        send("POST", "/api/v1/auth/signup", {"email": f"a@{domain}", "password": PASSWORD})
    assert [user.email_key for user in User.objects.all()] == ["a@xn--bcher-kva.example"]


def test_e25_signing_up_again_looks_the_same(user: User) -> None:
    taken = send("POST", "/api/v1/auth/signup", {"email": user.email, "password": PASSWORD})
    new = send("POST", "/api/v1/auth/signup", {"email": "bob@example.org", "password": PASSWORD})
    assert taken.status_code == new.status_code == 202
    assert {**taken.json(), "email": ""} == {**new.json(), "email": ""}


def test_e26_a_refused_log_in_looks_the_same_for_everybody(user: User) -> None:
    """The time too: see test_no_enumeration."""
    UserFactory(email="closed@example.org", is_active=False)
    UserFactory(email="invited@example.org", password=None)
    answers = []
    for name in (user.email, "closed@example.org", "invited@example.org", "nobody@example.org", "nobody"):
        password = PASSWORD if name == "closed@example.org" else "wrong"
        body = {"username": name, "password": password}
        answers.append({**send("POST", LOG_IN, body).json(), "request_id": ""})
    assert all(answer == answers[0] for answer in answers)


# --- Stores and packages ---------------------------------------------------------------------------------------------


def test_e27_a_pooled_connection_is_checked_before_it_is_used() -> None:
    from config.settings import postgresql

    assert postgresql("DATABASE_URL", "postgres://host/x", "postgres://")["CONN_HEALTH_CHECKS"] is True


def test_e28_a_database_that_is_away_is_503_with_a_time_to_wait(pair: tokens.TokenPair, monkeypatch: Any) -> None:
    from accounts import authentication

    def away(*args: Any) -> Any:
        raise OperationalError("could not connect to server")

    monkeypatch.setattr(authentication, "live_session", away)
    response = get_me(pair.access)
    is_problem(response, 503, "service_unavailable")
    assert int(response["Retry-After"]) >= 1
    assert "server" not in response.json()["detail"]


def test_e29_every_wait_for_the_database_has_an_end() -> None:
    from config.settings import postgresql, sqlite

    options = postgresql("DATABASE_URL", "postgres://host/x", "postgres://")["OPTIONS"]
    assert options["connect_timeout"] <= 5
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        assert re.search(rf"-c {name}=\d{{1,2}}s", options["options"])
    assert sqlite({"NAME": "x"})["OPTIONS"]["timeout"] <= 10


def test_e32_what_must_be_remembered_survives_the_refusal(user: User, pair: tokens.TokenPair, settings: Any) -> None:
    """DRF rolls back on any error under ATOMIC_REQUESTS."""
    assert not connection.settings_dict["ATOMIC_REQUESTS"]
    settings.REFRESH_GRACE_SECONDS = 0
    send("POST", LOG_IN, {"email": user.email, "password": "wrong"})
    assert FailedLogIns.objects.filter(count=1).count() == 2
    assert Event.objects.filter(action="session.refused").count() == 1
    refresh(pair.refresh)
    time.sleep(0.01)
    assert refresh(pair.refresh).status_code == 401
    assert Session.objects.get(user=user).ended_at


def test_e38_the_documents_are_public_by_decision_and_can_be_switched_off() -> None:
    from config.views import SchemaView

    assert django_settings.SPECTACULAR_SETTINGS["SERVE_PERMISSIONS"] == ["core.access.Public"]
    assert SchemaView.authentication_classes == []
    assert isinstance(django_settings.DOCS, bool)


def test_e40_celery_comes_with_the_transport_that_it_needs() -> None:
    assert re.search(r"^celery\[redis\]", (ROOT / "requirements.in").read_text(), re.MULTILINE)
    assert "gunicorn" not in (ROOT / "requirements.txt").read_text()
    __import__("kombu.transport.redis")


# --- Others' defects (§4 of the reference) ----------------------------------------------------------------------------


def test_an_array_of_addresses_resets_nobodys_password(user: User) -> None:
    """CVE-2023-7028."""
    for value in ([user.email, "thief@example.org"], {"email": user.email}, f"{user.email},thief@example.org"):
        with nothing_changes():
            is_problem(send("POST", "/api/v1/auth/password/forgot", {"email": value}), 400, "validation_error")


def test_mail_goes_to_the_stored_address_and_no_look_alike(user: User) -> None:
    """CVE-2019-19844."""
    for typed in ("ANN@EXAMPLE.ORG", "ann@examplé.org", "ann@EXAMPLE.ORG"):
        send("POST", "/api/v1/auth/password/forgot", {"email": typed})
    assert set(OutgoingMail.objects.values_list("to", flat=True)) == {"ann@example.org"}


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "Origin", "Referer"])
def test_no_header_finds_its_way_into_a_mail(user: User, header: str) -> None:
    from mail.rendering import render

    values = {"Host": "localhost", "Forwarded": "host=evil.example;proto=gopher"}
    send(
        "POST",
        "/api/v1/auth/password/forgot",
        {"email": user.email},
        headers={header: values.get(header, "evil.example")},
    )
    [mail] = OutgoingMail.objects.all()
    text = render(mail).message().as_string()
    assert "evil.example" not in text
    assert "http://localhost" not in text
    assert f"{django_settings.PUBLIC_URL}/account/reset?token=" in str(render(mail).body)


def test_signing_in_never_clears_the_count_of_another_client(user: User) -> None:
    """allauth 65.8.1: a success must not wash an attacker clean."""
    for _ in range(3):
        send("POST", LOG_IN, {"email": user.email, "password": "wrong"})
    signed_in(user, ip="198.51.100.9")
    assert FailedLogIns.objects.get(network="192.0.2.77").count == 3


def test_clean_up_takes_nobody_who_proved_or_was_given_anything(user: User) -> None:
    old = timezone.now() - timedelta(days=30)
    for values in (
        {"is_verified": True},
        {"joined_by": "administrator"},
        {"joined_by": "import"},
        {"is_active": False},
    ):
        UserFactory(**{"is_verified": False, **values})
    GrantFactory(user=UserFactory(is_verified=False), role=Role.objects.get(name="admin"))
    lost = UserFactory(is_verified=False)
    User.objects.update(created_at=old)
    assert delete_unverified() == 1
    assert not User.objects.filter(pk=lost.pk).exists()


def test_no_request_runs_in_one_transaction_around_everything() -> None:
    assert not any(database.get("ATOMIC_REQUESTS") for database in django_settings.DATABASES.values())
    assert transaction.get_autocommit.__module__
