"""The administration of people: who is listed, made, changed, closed, restored and shown out."""

import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.db import OperationalError, connection
from django.db.models import F

from accounts import user_list
from accounts.etag import etag_of
from accounts.models import Challenge, Session, User
from accounts.services import sessions, users
from accounts.services.users import change_user
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.scene import (
    access_of,
    administrator,
    code_in,
    events,
    holder,
    letter,
    letters,
    link_in,
    log_in,
    nothing_changes,
    refusal,
    wrong_fields,
)
from accounts.views.users import UserViewSet
from core.actor import Actor
from core.errors import PermissionDenied
from core.ids import uuid7
from rbac.builtin import PERMISSIONS
from rbac.models import Role, RoleGrant
from rbac.tests.factories import GrantFactory, RoleFactory
from tests.client import ApiClient

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "Purple-anvil-77"
NOBODY = "/users/01890000-0000-7000-8000-000000000000"


@pytest.fixture
def admin(db):
    return administrator(email="admin@example.net", first_name="Root", last_name="")


@pytest.fixture
def token(api, admin):
    return access_of(api, admin)


@pytest.fixture
def user(db):
    return UserFactory(email="Ann@example.org", username="ann")


@pytest.fixture
def found(api, token):
    """The addresses that a query finds, but the administrator's own."""

    def ask(query=""):
        response = api.get(f"/users?{query}", token=token)
        assert response.status_code == 200, response.content
        return [row["email"] for row in response.json()["results"] if row["email"] != "admin@example.net"]

    return ask


# --- Who may -----------------------------------------------------------------------------------------------------

OPERATIONS = [
    ("GET", "/users", "user:read"),
    ("POST", "/users", "user:write"),
    ("GET", NOBODY, "user:read"),
    ("PATCH", NOBODY, "user:write"),
    ("DELETE", NOBODY, "user:delete"),
    ("POST", f"{NOBODY}/restore", "user:delete"),
    ("POST", f"{NOBODY}/invitation", "user:write"),
    ("GET", f"{NOBODY}/sessions", "session:read"),
    ("DELETE", f"{NOBODY}/sessions", "session:revoke"),
    ("GET", "/sessions", "session:read"),
    ("DELETE", "/sessions", "session:revoke"),
    ("DELETE", f"/sessions/{NOBODY[7:]}", "session:revoke"),
]


@pytest.mark.parametrize(("method", "path", "needed"), OPERATIONS)
def test_permission_comes_before_existence(api, method, path, needed):
    token = access_of(api, holder(*(set(PERMISSIONS) - {needed})))
    with nothing_changes():
        assert refusal(api.call(method, path, {})) == (401, "not_authenticated")
        response = api.call(method, path, {}, token=token)
    assert refusal(response) == (403, "permission_denied")
    assert response.json()["required"] == needed


@pytest.mark.parametrize(("method", "path", "needed"), [op for op in OPERATIONS if NOBODY[7:] in op[1]])
def test_who_may_ask_is_told_that_there_is_nobody(api, method, path, needed):
    token = access_of(api, holder(needed))
    with nothing_changes():
        assert refusal(api.call(method, path, {}, token=token)) == (404, "not_found")


@pytest.mark.parametrize("path", ["/users/me2", "/users/1", "/users/%00", "/users/../users", f"{NOBODY}/"])
def test_what_is_no_id_is_not_there(api, token, path):
    assert refusal(api.get(path, token=token)) == (404, "not_found")


def test_one_sees_oneself_without_any_permission(api, user):
    token = access_of(api, user)
    assert api.get(f"/users/{user.pk}", token=token).json() == api.get("/users/me", token=token).json()
    assert refusal(api.get(f"/users/{UserFactory().pk}", token=token)) == (403, "permission_denied")


# --- The list ----------------------------------------------------------------------------------------------------


def test_the_list_shows_everybody_from_the_first_on(api, token, admin):
    users = [admin, *UserFactory.create_batch(3)]
    body = api.get("/users", token=token).json()
    assert set(body) == {"next", "previous", "results"}
    assert {row["id"] for row in body["results"]} == {str(u.pk) for u in users}
    assert body["results"][0] == api.get(f"/users/{body['results'][0]['id']}", token=token).json()
    assert (body["next"], body["previous"]) == (None, None)


def test_the_list_shows_each_person_letter_by_letter_as_alone(api, token):
    person = UserFactory(username=None, first_name="Жан\u2028на")
    for name in ("zoo-keeper", "editor"):
        GrantFactory(user=person, role=RoleFactory(name=name))
    GrantFactory(user=person, role=RoleFactory(), expires_at=datetime.now(UTC) - timedelta(days=1))
    for fraction in (0, 120000, 123456):
        moment = datetime(2026, 1, 2, 3, 4, 5, fraction, tzinfo=UTC)
        User.objects.filter(pk=person.pk).update(created_at=moment, last_login=moment)
        alone = api.get(f"/users/{person.pk}", token=token).content
        assert b'"roles":[{"id":"' in alone
        assert alone.index(b"editor") < alone.index(b"zoo-keeper")
        for query in ("page_size=1", "page_size=1&is_active=true"):
            page = api.get(f"/users?{query}", token=token).content
            assert page.partition(b'"results":[')[2].removesuffix(b"]}") == alone


def test_a_page_of_fifty_costs_three_queries_at_most(api, token, django_assert_max_num_queries):
    role = RoleFactory()
    for user in UserFactory.create_batch(60):
        GrantFactory(user=user, role=role)
    with django_assert_max_num_queries(3):
        assert len(api.get("/users", token=token).json()["results"]) == 50


@pytest.mark.parametrize("flag", ["is_active", "is_verified", "is_staff"])
def test_it_filters_by_flag(found, flag):
    yes, no = UserFactory(**{flag: True}), UserFactory(**{flag: False})
    assert found(f"{flag}=true") == [yes.email]
    assert found(f"{flag}=false") == [no.email]


def test_it_filters_by_the_name_of_a_role(found):
    editor, expired = RoleFactory(name="editor"), UserFactory()
    one = GrantFactory(role=editor).user
    GrantFactory(role=RoleFactory(name="author"))
    past = datetime.now(UTC) - timedelta(days=1)
    GrantFactory(user=expired, role=editor, expires_at=past)
    assert found("role=editor") == [one.email]


def test_it_filters_by_time_with_the_first_moment_included(found):
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    for days, name in ((-1, "before"), (0, "then"), (1, "after")):
        one = UserFactory(email=f"{name}@example.org")
        User.objects.filter(pk=one.pk).update(created_at=moment + timedelta(days=days))
    when = quote(moment.isoformat())
    limit = "&created_before=2026-02-01T00:00:00Z"
    assert found(f"created_after={when}{limit}") == ["then@example.org", "after@example.org"]
    assert found(f"created_before={when}") == ["before@example.org"]
    assert found(f"created_after=2026-01-02{limit}") == ["then@example.org", "after@example.org"]


def test_it_finds_those_who_logged_in_long_ago_but_not_those_who_never_did(found):
    old, new, _never = UserFactory(), UserFactory(), UserFactory()
    User.objects.filter(pk=old.pk).update(last_login=datetime(2025, 1, 1, tzinfo=UTC))
    User.objects.filter(pk=new.pk).update(last_login=datetime(2026, 1, 1, tzinfo=UTC))
    assert found("last_login_before=2025-06-01T00:00:00Z") == [old.email]


def test_filters_are_joined_by_and(found):
    UserFactory(is_staff=True)
    wanted = UserFactory(is_staff=True, is_verified=False)
    UserFactory(is_verified=False)
    assert found("is_staff=true&is_verified=false") == [wanted.email]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("is_active", "banana"),
        ("is_active", "1"),
        ("is_active", "True"),
        ("is_verified", "%00"),
        ("is_staff", "null"),
        ("role", "no-such-role"),
        ("role", "%00"),
        ("created_after", "yesterday"),
        ("created_after", "2026-02-30T00:00:00Z"),
        ("created_after", "0001-01-01T00:00:00%2B14:00"),
        ("created_before", "9999-12-31T23:59:59-14:00"),
        ("created_before", "%00"),
        ("last_login_before", "99999999999999999999"),
        ("search", "%00"),
        ("search", "a" * 255),
        ("ordering", "password"),
        ("ordering", "--email"),
        ("ordering", "email,created_at"),
        ("ordering", ""),
        ("ordering", "-"),
        ("cursor", ""),
        ("cursor", "x"),
        ("cursor", "x.y"),
        ("cursor", "%00.é"),
        ("page_size", "0"),
        ("page_size", "-1"),
        ("page_size", "1.5"),
        ("page_size", "ten"),
        ("page_size", ""),
        ("page_size", "٣"),
        ("page_size", "1e400"),
        ("count", "yes"),
        ("count", ""),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_name(api, token, name, value):
    assert list(wrong_fields(api.get(f"/users?{name}={value}", token=token))) == [name]


def test_unknown_parameters_are_ignored(found):
    user = UserFactory()
    assert found("colour=green&_connector=OR&is_active__isnull=1&password__startswith=a&id=x") == [user.email]


# --- Search ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.org",
        "ANN@EX",
        "nn@",
        "ЖАННА",
        "жанна",
        "анн",
        "Ильини",
        "иЛЬИНИЧНА",
        "d'ARC",
        "ann.b-c_d",
        "STRASSE",
    ],
)
def test_any_part_of_address_username_and_names_is_found_in_any_case(found, text):
    UserFactory(email="other@example.net", first_name="Bob", last_name="Ray")
    wanted = UserFactory(
        email="Ann@example.org",
        username="Ann.b-c_D",
        first_name="Жанна",
        middle_name="Ильинична",
        last_name="d'Arc Straße",
    )
    assert found(f"search={quote(text)}") == [wanted.email]


@pytest.mark.parametrize("text", ["%", "_", "\\", "%%", "a%b", "a_b", "\\%", "*", "'", '"', "' OR 1=1 --", "[a]", ".*"])
def test_wildcards_are_letters_like_others(found, text):
    UserFactory(first_name="axb", last_name="Bob")
    assert found(f"search={quote(text)}") == []
    wanted = UserFactory(first_name=f"x{text}y")
    assert found(f"search={quote(text)}") == [wanted.email]


def test_a_search_does_not_run_over_the_edge_of_a_field(found):
    UserFactory(email="ann@example.org", first_name="Ann", last_name="Lee")
    assert found("search=annlee") == []
    assert found("search=" + quote("Ann Lee")) == []


def test_a_changed_name_is_found_at_once_and_the_old_one_no_more(api, found, token, user):
    api.patch(f"/users/{user.pk}", {"first_name": "Ёлка", "email": "elka@example.org"}, token=token)
    assert found("search=" + quote("ёлк")) == ["elka@example.org"]
    assert found("search=ELKA") == ["elka@example.org"]
    assert found("search=ann@") == []


def test_an_empty_search_finds_everybody(found):
    user = UserFactory()
    assert found("search=") == found("search=%20") == [user.email]


@pytest.mark.parametrize("way", [(10**9, (1,)), (-1, (1, 2)), (-1, (10**6,))])
@pytest.mark.parametrize("ordering", ["created_at", "-created_at", "email", "-email", "last_login", "-last_login"])
def test_whichever_way_a_search_goes_it_finds_the_same_in_the_same_order(api, token, monkeypatch, way, ordering):
    """By the index, along the order until the page is full, and along it in vain and then by the index."""
    monkeypatch.setattr(user_list, "FEW", way[0])
    monkeypatch.setattr(user_list, "STEPS", way[1])
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for number, name in enumerate("zoe ann zoe ann ann ann ann zoe zoe".split()):
        person = UserFactory(email=f"{name}{number}@example.org", is_staff=number == 7)
        seen = moment - timedelta(days=number // 2) if number % 3 else None
        User.objects.filter(pk=person.pk).update(created_at=moment + timedelta(days=number // 2), last_login=seen)
    key = UserViewSet.orderings[ordering.removeprefix("-")]
    found = User.objects.sortable().filter(email__startswith="zoe").order_by(*key)
    expected = [str(pk) for pk in found.values_list("pk", flat=True)]
    expected = expected[::-1] if ordering.startswith("-") else expected
    pages = list(walk(api, token, f"/users?search=ZOE&ordering={ordering}&page_size=1"))
    assert [row["id"] for body in pages for row in body["results"]] == expected
    back = list(walk(api, token, pages[-1]["previous"], "previous"))
    assert [row["id"] for body in back for row in body["results"]] == expected[-2::-1]
    staff = forwards(api, token, f"/users?search=zoe&is_staff=true&ordering={ordering}")
    assert [row["email"] for page in staff for row in page] == ["zoe7@example.org"]


# --- Ordering ----------------------------------------------------------------------------------------------------


@pytest.fixture
def three(db, admin):
    """Ann, Bob and Cid: made, last seen and called in different orders."""
    base = datetime(2026, 1, 1, tzinfo=UTC)
    User.objects.update(created_at=base)
    for name, made, seen in (("bob", 1, 3), ("ann", 2, None), ("cid", 3, 1)):
        one = UserFactory(email=f"{name}@example.org")
        User.objects.filter(pk=one.pk).update(
            created_at=base + timedelta(days=made), last_login=seen and base + timedelta(days=seen)
        )


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [
        ("", "bob ann cid"),
        ("ordering=created_at", "bob ann cid"),
        ("ordering=-created_at", "cid ann bob"),
        ("ordering=email", "ann bob cid"),
        ("ordering=-email", "cid bob ann"),
        ("ordering=last_login", "ann cid bob"),
        ("ordering=-last_login", "bob cid ann"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 50])
@pytest.mark.usefixtures("three")
def test_it_orders_and_pages_in_that_order(api, token, ordering, expected, size):
    pages = forwards(api, token, f"/users?{ordering}&page_size={size}")
    seen = [row["email"].split("@")[0] for page in pages for row in page if row["email"] != "admin@example.net"]
    assert seen == expected.split()


# --- Paging ------------------------------------------------------------------------------------------------------


def page(api, token, url):
    response = api.get(url[url.index("/api/") :] if "/api/" in url else url, token=token)
    assert response.status_code == 200, response.content
    return response.json()


def walk(api, token, url, way="next"):
    """Each page from `url` on. A way without end would be one that repeats somebody."""
    for _ in range(50):
        body = page(api, token, url)
        yield body
        url = body[way]
        if not url:
            return
    pytest.fail(f"{way} leads on for ever")


def forwards(api, token, url):
    return [body["results"] for body in walk(api, token, url)]


def ids(rows):
    return [row["id"] for row in rows]


def seconds_apart(users):
    """Make them one second apart, in this order, and older than anybody else."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    User.objects.update(created_at=start + timedelta(days=1))
    for n, user in enumerate(users):
        User.objects.filter(pk=user.pk).update(created_at=start + timedelta(seconds=n))


def test_forwards_and_back_again_is_the_same_way(api, token):
    seconds_apart(UserFactory.create_batch(6))
    pages = list(walk(api, token, "/users?page_size=2"))
    assert [len(body["results"]) for body in pages] == [2, 2, 2, 1]
    assert pages[0]["previous"] is None
    back = list(walk(api, token, pages[-1]["previous"], "previous"))
    assert [ids(body["results"]) for body in back] == [ids(body["results"]) for body in reversed(pages[:-1])]
    assert back[-1]["previous"] is None
    again = page(api, token, back[-1]["next"])
    assert ids(again["results"]) == ids(pages[1]["results"])


def test_links_keep_what_was_asked_for_and_name_this_host(api, token):
    UserFactory.create_batch(3, first_name="Жанна")
    body = page(api, token, "/users?search=%D0%B6%D0%B0%D0%BD&ordering=-email&page_size=2&count=exact")
    link = urlsplit(body["next"])
    assert (link.scheme, link.netloc, link.path) == ("http", "127.0.0.1", "/api/v1/users")
    query = parse_qs(link.query)
    assert query.pop("cursor")
    assert query == {"search": ["жан"], "ordering": ["-email"], "page_size": ["2"], "count": ["exact"]}
    assert body["count"] == page(api, token, body["next"])["count"] == 3


@pytest.mark.parametrize("ordering", ["created_at", "-created_at", "last_login", "-last_login", "email", "-email"])
def test_equal_moments_written_by_python_lose_and_repeat_nobody(api, token, ordering):
    UserFactory.create_batch(6)
    moment = datetime(2026, 1, 1, 1, 1, 1, 120000, tzinfo=UTC)
    User.objects.update(created_at=moment, last_login=moment)
    check_round_trip(api, token, f"/users?ordering={ordering}&page_size=2", 7)


@pytest.mark.parametrize("ordering", ["created_at", "-created_at"])
def test_people_as_they_were_made_are_neither_lost_nor_repeated(api, token, ordering):
    for _ in range(6):
        UserFactory()
        time.sleep(0.002)
    check_round_trip(api, token, f"/users?page_size=2&ordering={ordering}", 7)


def check_round_trip(api, token, url, total):
    pages = list(walk(api, token, url))
    seen = [row["id"] for body in pages for row in body["results"]]
    assert len(seen) == len(set(seen)) == total
    back = list(walk(api, token, pages[-1]["previous"], "previous"))
    assert [ids(body["results"]) for body in reversed(back)] == [ids(body["results"]) for body in pages[:-1]]


def test_nobody_is_lost_or_repeated_while_people_come_and_go(api, token):
    users = UserFactory.create_batch(6)
    seconds_apart(users)
    first = page(api, token, "/users?page_size=2")
    late = UserFactory()
    User.objects.filter(pk=late.pk).update(created_at=datetime(2025, 1, 1, tzinfo=UTC))  # before the first page
    users[0].delete()
    users[2].delete()
    rest = [row for body in walk(api, token, first["next"]) for row in body["results"]]
    assert ids(rest)[:3] == [str(users[n].pk) for n in (3, 4, 5)]
    assert not {str(late.pk), str(users[1].pk)} & set(ids(rest))


def test_the_row_that_a_cursor_names_may_be_gone(api, token):
    users = UserFactory.create_batch(4)
    seconds_apart(users)
    first = page(api, token, "/users?page_size=2")
    users[1].delete()
    assert ids(page(api, token, first["next"])["results"]) == [str(users[2].pk), str(users[3].pk)]


def test_a_page_after_everybody_left_is_empty(api, token):
    users = UserFactory.create_batch(4)
    seconds_apart(users)
    first = page(api, token, "/users?page_size=2&search=person")
    users[2].delete()
    users[3].delete()
    assert page(api, token, first["next"])["results"] == []


@pytest.mark.parametrize(
    ("asked", "given"), [("", 50), ("page_size=1", 1), ("page_size=007", 7), ("page_size=200", 200)]
)
def test_the_page_size_is_as_asked(api, token, asked, given):
    people(210)
    assert len(page(api, token, f"/users?{asked}")["results"]) == given


@pytest.mark.parametrize("asked", ["201", "1000", "99999999999999999999", "9" * 5000])
def test_more_than_two_hundred_counts_as_two_hundred(api, token, asked):
    people(210)
    assert len(page(api, token, f"/users?page_size={asked}")["results"]) == 200


def people(count):
    User.objects.bulk_create(
        User(email=f"many{n}@example.org", email_key=f"many{n}@example.org", search_text=f"many{n}@example.org")
        for n in range(count)
    )


def test_a_count_is_exact_when_asked_for_and_absent_otherwise(api, token):
    UserFactory.create_batch(4, is_staff=True)
    assert "count" not in page(api, token, "/users")
    assert page(api, token, "/users?count=exact&page_size=1")["count"] == 5
    assert page(api, token, "/users?count=exact&is_staff=true")["count"] == 4


def cursor(api, token, url):
    return parse_qs(urlsplit(page(api, token, url)["next"]).query)["cursor"][0]


def test_a_cursor_that_was_touched_is_refused(api, token):
    UserFactory.create_batch(3)
    good = cursor(api, token, "/users?page_size=1")
    for bad in (good[:-1], good + "0", "A" + good, good.replace(".", ""), good.split(".", maxsplit=1)[0]):
        assert wrong_fields(api.get(f"/users?cursor={bad}", token=token)) == {"cursor": "invalid"}


def test_a_cursor_of_another_ordering_is_refused(api, token):
    UserFactory.create_batch(3)
    good = cursor(api, token, "/users?page_size=1")
    assert wrong_fields(api.get(f"/users?cursor={good}&ordering=email", token=token)) == {"cursor": "invalid"}


@pytest.mark.parametrize("path", ["/sessions", "/permissions", "/roles", "/audit/events"])
def test_a_cursor_of_another_list_is_refused(api, token, path):
    UserFactory.create_batch(3)
    good = cursor(api, token, "/users?page_size=1")
    assert wrong_fields(api.get(f"{path}?cursor={good}", token=token)) == {"cursor": "invalid"}


# --- Create ------------------------------------------------------------------------------------------------------


def test_a_made_account_can_log_in_at_once_when_password_and_address_are_vouched_for(api, token, admin):
    body = {
        "email": "New@example.org",
        "password": NEW_PASSWORD,
        "is_verified": True,
        "username": "new.one",
        "first_name": "Ольга",
        "middle_name": "М",
        "last_name": "Li",
        "language": "ru",
    }
    response = api.post("/users", body, token=token)
    assert response.status_code == 201
    made = response.json()
    assert {name: made[name] for name in body if name != "password"} == {
        k: v for k, v in body.items() if k != "password"
    }
    assert [role["name"] for role in made["roles"]] == ["user"]
    assert (made["is_active"], made["is_staff"]) == (True, False)
    assert letters("New@example.org") == []
    assert log_in(api, User.objects.get(pk=made["id"]), NEW_PASSWORD)
    [event] = events("user.created")
    assert (event.actor_id, str(event.target_id)) == (admin.pk, made["id"])


def test_location_and_tag_lead_to_the_made_account(api, token):
    response = api.post("/users", {"email": "new@example.org"}, token=token)
    assert response["Location"] == f"/api/v1/users/{response.json()['id']}"
    read = api.get(response["Location"], token=token)
    assert read.json() == response.json()
    assert read["ETag"] == response["ETag"]
    changed = api.patch(response["Location"], {"first_name": "X"}, token=token, If_Match=response["ETag"])
    assert changed.status_code == 200


def test_without_a_password_the_address_gets_an_invitation(api, token):
    made = api.post("/users", {"email": "new@example.org", "language": "ru"}, token=token).json()
    assert made["is_verified"] is False
    assert letters("new@example.org") == ["invitation"]
    mail = letter("invitation", "new@example.org")
    assert mail.language == "ru"
    login = api.post("/auth/login", {"email": "new@example.org", "password": ""})
    assert refusal(login) == (400, "validation_error")
    accept = {"token": link_in(mail), "new_password": NEW_PASSWORD}
    assert api.post("/auth/password/reset", accept).status_code == 204
    assert log_in(api, User.objects.get(pk=made["id"]), NEW_PASSWORD)["user"]["is_verified"] is True
    assert [str(e.target_id) for e in events("user.invitation_accepted")] == [made["id"]]


def test_an_invitation_lives_for_seven_days(api, token):
    api.post("/users", {"email": "new@example.org"}, token=token)
    challenge = Challenge.objects.get()
    assert challenge.link_expires_at - challenge.created_at == timedelta(days=7)


def test_with_a_password_but_unproved_the_address_gets_a_code(api, token):
    api.post("/users", {"email": "new@example.org", "password": NEW_PASSWORD}, token=token)
    assert letters("new@example.org") == ["verify"]
    user = User.objects.get(email="new@example.org")
    login = api.post("/auth/login", {"email": user.email, "password": NEW_PASSWORD})
    assert refusal(login) == (403, "email_not_verified")
    proof = {"email": user.email, "code": code_in(letter("verify", user.email))}
    assert api.post("/auth/verify", proof).json()["status"] == "verified"
    assert log_in(api, user, NEW_PASSWORD)


@pytest.mark.parametrize("taken", ["Ann@example.org", "ANN@example.ORG"])
def test_a_taken_address_is_told_to_administrators(api, token, user, taken):
    with nothing_changes():
        assert wrong_fields(api.post("/users", {"email": taken}, token=token)) == {"email": "taken"}


def test_a_taken_username_is_told(api, token, user):
    with nothing_changes():
        response = api.post("/users", {"email": "new@example.org", "username": "ANN"}, token=token)
    assert wrong_fields(response) == {"username": "taken"}


def test_a_sign_up_that_was_never_verified_does_not_block_its_address(api, token):
    squatter = UserFactory(email="new@example.org", is_verified=False)
    response = api.post("/users", {"email": "NEW@example.org"}, token=token)
    assert response.status_code == 201
    assert not User.objects.filter(pk=squatter.pk).exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"email": None}, "email"),
        ({"email": "x"}, "email"),
        ({"email": "n@example.org", "password": "short"}, "password"),
        ({"email": "n@example.org", "password": None}, "password"),
        ({"email": "n@example.org", "password": "x" * 1025}, "password"),
        ({"email": "n@example.org", "is_verified": "yes"}, "is_verified"),
        ({"email": "n@example.org", "is_staff": 1}, "is_staff"),
        ({"email": "n@example.org", "language": "xx"}, "language"),
        ({"email": "n@example.org", "username": "n@example.org"}, "username"),
        ({"email": "n@example.org", "first_name": "a\nb"}, "first_name"),
    ],
)
def test_an_account_that_cannot_be_is_refused_by_field(api, token, body, field):
    with nothing_changes():
        assert list(wrong_fields(api.post("/users", body, token=token))) == [field]


def test_staff_is_made_by_those_who_assign_roles_only(api, token):
    writer = access_of(api, holder("user:write"))
    with nothing_changes():
        response = api.post("/users", {"email": "new@example.org", "is_staff": True}, token=writer)
    assert refusal(response) == (403, "permission_denied")
    assert response.json()["required"] == "role:assign"
    assert api.post("/users", {"email": "new@example.org", "is_staff": True}, token=token).json()["is_staff"] is True


# --- Change ------------------------------------------------------------------------------------------------------


def test_an_administrator_changes_the_profile_of_another(api, token, admin, user):
    response = api.patch(f"/users/{user.pk}", {"first_name": "Bea", "username": None}, token=token)
    assert response.status_code == 200
    assert (response.json()["first_name"], response.json()["username"]) == ("Bea", None)
    [event] = events("user.changed")
    assert (event.actor_id, event.target_id) == (admin.pk, user.pk)


def test_if_match_holds_for_administrators_too(api, token, user):
    tag = api.get(f"/users/{user.pk}", token=token)["ETag"]
    assert api.patch(f"/users/{user.pk}", {"first_name": "B"}, token=token, If_Match=tag).status_code == 200
    with nothing_changes():
        stale = api.patch(f"/users/{user.pk}", {"first_name": "C"}, token=token, If_Match=tag)
        closing = api.patch(f"/users/{user.pk}", {"is_active": False}, token=token, If_Match=tag)
    assert refusal(stale) == refusal(closing) == (412, "precondition_failed")


def test_nobody_sets_a_password_or_the_verification_of_another(api, token, user):
    body = {"password": NEW_PASSWORD, "is_verified": False, "roles": [], "id": "x", "last_login": None}
    with nothing_changes():
        assert api.patch(f"/users/{user.pk}", body, token=token).status_code == 200


def test_a_new_address_of_another_ends_sessions_voids_codes_and_tells_the_old_address(api, token, user):
    pair = log_in(api, user)
    api.post("/auth/password/forgot", {"email": user.email})
    reset = letter("reset", user.email)
    response = api.patch(f"/users/{user.pk}", {"email": "Moved@example.net"}, token=token)
    assert response.status_code == 200
    assert (response.json()["email"], response.json()["is_verified"]) == ("Moved@example.net", False)
    assert refusal(api.get("/users/me", token=pair["access"])) == (401, "invalid_token")
    assert refusal(api.post("/auth/refresh", {"refresh": pair["refresh"]}))[0] == 401
    stale = api.post("/auth/password/reset", {"token": link_in(reset), "new_password": NEW_PASSWORD})
    assert refusal(stale) == (400, "invalid_link")
    assert letters("Ann@example.org")[-1] == "email_changed"
    assert letters("Moved@example.net") == ["verify"]
    assert [e.target_id for e in events("email.changed")] == [user.pk]
    login = api.post("/auth/login", {"email": "moved@example.net", "password": PASSWORD})
    assert refusal(login) == (403, "email_not_verified")
    proof = {"email": "moved@example.net", "code": code_in(letter("verify", "Moved@example.net"))}
    assert api.post("/auth/verify", proof).status_code == 200
    user.refresh_from_db()
    assert log_in(api, user)


def test_a_taken_address_for_another_is_told_and_changes_nothing(api, token, user):
    other = UserFactory()
    with nothing_changes():
        response = api.patch(f"/users/{user.pk}", {"email": other.email.upper(), "first_name": "X"}, token=token)
    assert wrong_fields(response) == {"email": "taken"}


def test_the_same_address_is_no_change(api, token, user):
    with nothing_changes():
        assert api.patch(f"/users/{user.pk}", {"email": "Ann@example.org"}, token=token).status_code == 200


def test_an_administrators_own_address_changes_by_proof_only(api, token, admin):
    with nothing_changes():
        response = api.patch(f"/users/{admin.pk}", {"email": "other@example.net"}, token=token)
    assert response.json()["email"] == "admin@example.net"


def test_deactivating_by_patch_is_deactivating(api, token, user):
    pair = log_in(api, user)
    response = api.patch(f"/users/{user.pk}", {"is_active": False}, token=token)
    assert response.json()["is_active"] is False
    assert refusal(api.get("/users/me", token=pair["access"])) == (401, "invalid_token")
    assert [e.target_id for e in events("user.deactivated")] == [user.pk]
    assert api.patch(f"/users/{user.pk}", {"is_active": True}, token=token).json()["is_active"] is True
    assert [e.target_id for e in events("user.restored")] == [user.pk]
    assert log_in(api, user)


def test_staff_is_changed_by_those_who_assign_roles_only(api, token, user):
    writer = access_of(api, holder("user:write"))
    with nothing_changes():
        response = api.patch(f"/users/{user.pk}", {"is_staff": True, "first_name": "X"}, token=writer)
    assert refusal(response) == (403, "permission_denied")
    assert response.json()["required"] == "role:assign"
    with nothing_changes():
        assert api.patch(f"/users/{user.pk}", {"is_staff": False}, token=writer).status_code == 200
    assert api.patch(f"/users/{user.pk}", {"is_staff": True}, token=token).json()["is_staff"] is True


def test_nobody_makes_staff_of_themselves_without_role_assign(api):
    me = holder("user:write")
    token = access_of(api, me)
    with nothing_changes():
        assert refusal(api.patch(f"/users/{me.pk}", {"is_staff": True}, token=token)) == (403, "permission_denied")


def test_staff_that_was_taken_away_meanwhile_does_not_come_back_by_a_writer(user):
    User.objects.filter(pk=user.pk).update(is_staff=True)
    seen = User.objects.get(pk=user.pk)
    User.objects.filter(pk=user.pk).update(is_staff=False)
    writer = Actor(user=holder("user:write"))
    with nothing_changes(), pytest.raises(PermissionDenied):
        change_user(writer, seen, {"is_staff": True})


# --- Guard rails -------------------------------------------------------------------------------------------------


def test_administrators_do_not_deactivate_themselves(api, token, admin):
    administrator()
    with nothing_changes("guard.refused", "guard.refused"):
        assert refusal(api.delete(f"/users/{admin.pk}", token=token)) == (409, "own_account")
        patch = api.patch(f"/users/{admin.pk}", {"is_active": False, "first_name": "X"}, token=token)
        assert refusal(patch) == (409, "own_account")
    assert api.get("/users/me", token=token).status_code == 200


def test_own_account_comes_before_last_administrator(api, token, admin):
    with nothing_changes("guard.refused"):
        assert refusal(api.delete(f"/users/{admin.pk}", token=token)) == (409, "own_account")


ABOVE = [
    ("PATCH", "", {"first_name": "X"}),
    ("PATCH", "", {"email": "x@example.net"}),
    ("PATCH", "", {"is_active": False}),
    ("DELETE", "", None),
    ("POST", "/restore", None),
    ("POST", "/invitation", None),
    ("DELETE", "/sessions", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ABOVE)
@pytest.mark.parametrize("is_active", [True, False])
@pytest.mark.usefixtures("admin")
def test_nobody_acts_on_somebody_above_them(api, method, path, body, is_active):
    boss = holder("order:refund", is_active=is_active)
    token = access_of(api, holder("user:read", "user:write", "user:delete", "session:revoke"))
    with nothing_changes("guard.refused"):
        response = api.call(method, f"/users/{boss.pk}{path}", body, token=token)
    assert refusal(response) == (403, "privilege_escalation")
    assert events("guard.refused")[0].target_id == boss.pk


def test_nobody_ends_a_session_of_somebody_above_them(api, token, admin):
    revoker = access_of(api, holder("session:revoke", "session:read"))
    session = Session.objects.get(user=admin)
    with nothing_changes("guard.refused", "guard.refused"):
        assert refusal(api.delete(f"/sessions/{session.pk}", token=revoker)) == (403, "privilege_escalation")
        assert refusal(api.delete("/sessions", token=revoker)) == (403, "privilege_escalation")
    assert api.get("/users/me", token=token).status_code == 200


def test_permission_denied_comes_before_all_other_refusals(api, admin):
    boss = holder("order:refund")
    writer = access_of(api, holder("user:write"))
    with nothing_changes():
        response = api.patch(f"/users/{boss.pk}", {"is_staff": True}, token=writer)
    assert refusal(response) == (403, "permission_denied")


def keeper(*permissions):
    """The only administrator left, and somebody who holds as much but for a day: so he could take him away."""
    last = holder(*permissions)
    deputy = UserFactory()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    RoleGrant.objects.create(user=deputy, role=last.grants.get().role, expires_at=tomorrow)
    return last, deputy


@pytest.mark.parametrize(
    ("method", "body"), [("DELETE", None), ("PATCH", {"is_active": False}), ("PATCH", {"email": "x@example.net"})]
)
def test_the_last_administrator_stays(api, method, body):
    last, deputy = keeper("role:assign", "user:delete", "user:write")
    token = access_of(api, deputy)
    with nothing_changes("guard.refused"):
        assert refusal(api.call(method, f"/users/{last.pk}", body, token=token)) == (409, "last_administrator")
    administrator()
    assert api.call(method, f"/users/{last.pk}", body, token=token).status_code in (200, 204)


def test_the_last_administrator_may_change_names(api, token, admin):
    assert api.patch(f"/users/{admin.pk}", {"first_name": "X"}, token=token).status_code == 200


# --- Delete, restore, invite -------------------------------------------------------------------------------------


def test_deleting_is_soft(api, token, admin, user):
    role = RoleFactory()
    GrantFactory(user=user, role=role)
    pair = log_in(api, user)
    response = api.delete(f"/users/{user.pk}", token=token)
    assert (response.status_code, response.content) == (204, b"")
    assert refusal(api.get("/users/me", token=pair["access"])) == (401, "invalid_token")
    shown = api.get(f"/users/{user.pk}", token=token).json()
    assert (shown["is_active"], shown["email"], shown["username"]) == (False, "Ann@example.org", "ann")
    assert [r["name"] for r in shown["roles"]] == [role.name]
    [event] = events("user.deactivated")
    assert (event.actor_id, event.target_id) == (admin.pk, user.pk)


def test_deleting_twice_is_fine_and_recorded_once(api, token, user):
    for _ in range(2):
        assert api.delete(f"/users/{user.pk}", token=token).status_code == 204
    assert len(events("user.deactivated")) == 1


def test_a_deleted_address_stays_taken(api, token, user):
    api.delete(f"/users/{user.pk}", token=token)
    with nothing_changes():
        assert wrong_fields(api.post("/users", {"email": user.email}, token=token)) == {"email": "taken"}


def test_a_deleted_account_is_restored_as_it_was(api, token, user):
    before = api.get(f"/users/{user.pk}", token=token).json()
    api.delete(f"/users/{user.pk}", token=token)
    response = api.post(f"/users/{user.pk}/restore", token=token)
    assert response.status_code == 200
    assert {**response.json(), "updated_at": 0} == {**before, "updated_at": 0}
    assert response["ETag"] == api.get(f"/users/{user.pk}", token=token)["ETag"]
    assert log_in(api, user)
    assert len(events("user.restored")) == 1


def test_restoring_who_is_active_changes_nothing(api, token, user):
    with nothing_changes():
        assert api.post(f"/users/{user.pk}/restore", token=token).status_code == 200


def test_an_invitation_can_be_sent_again(api, token):
    made = api.post("/users", {"email": "new@example.org"}, token=token).json()
    response = api.post(f"/users/{made['id']}/invitation", token=token)
    assert response.status_code == 202
    assert letters("new@example.org") == ["invitation", "invitation"]
    assert len(events("user.invited")) == 1
    first, second = Challenge.objects.first(), Challenge.objects.last()
    assert first == second  # the same link while it lives


def test_an_accepted_invitation_is_not_sent_again(api, token, user):
    with nothing_changes():
        assert refusal(api.post(f"/users/{user.pk}/invitation", token=token)) == (409, "already_accepted")


def test_a_deactivated_account_is_not_invited(api, token):
    gone = UserFactory(password=None, is_active=False)
    with nothing_changes():
        assert refusal(api.post(f"/users/{gone.pk}/invitation", token=token))[0] == 409


# --- Sessions of others ------------------------------------------------------------------------------------------


def test_the_devices_of_another_are_shown(api, token, user):
    log_in(api, user)
    log_in(api, UserFactory())
    body = api.get(f"/users/{user.pk}/sessions", token=token).json()
    assert set(body) == {"results"}
    [device] = body["results"]
    assert set(device) == {"id", "created_at", "last_used_at", "ip", "device", "current"}
    assert device["current"] is False


def test_the_devices_of_another_are_ended(api, token, admin, user):
    pairs = [log_in(api, user), log_in(api, user)]
    other = log_in(api, UserFactory())
    assert api.delete(f"/users/{user.pk}/sessions", token=token).status_code == 204
    assert all(api.get("/users/me", token=pair["access"]).status_code == 401 for pair in pairs)
    assert api.get("/users/me", token=other["access"]).status_code == 200
    ended = events("session.ended")
    assert [(e.actor_id, e.target_id, e.details["why"]) for e in ended] == [(admin.pk, user.pk, "revoked")] * 2


def test_everyones_sessions_are_listed_with_their_people(api, token, admin, user):
    log_in(api, user)
    body = api.get("/sessions", token=token).json()
    assert set(body) == {"next", "previous", "results"}
    assert [(row["user"], row["current"]) for row in body["results"]] == [
        ({"id": str(user.pk), "email": "Ann@example.org"}, False),
        ({"id": str(admin.pk), "email": "admin@example.net"}, True),
    ]


def test_ended_expired_and_deactivated_sessions_are_not_listed(api, token, admin, user):
    pair = log_in(api, user)
    api.post("/auth/logout", {"refresh": pair["refresh"]})
    expired, gone = UserFactory(), UserFactory()
    log_in(api, expired)
    log_in(api, gone)
    Session.objects.filter(user=expired).update(refresh_expires_at=F("created_at"))
    User.objects.filter(pk=gone.pk).update(is_active=False)
    assert [row["user"]["id"] for row in page(api, token, "/sessions")["results"]] == [str(admin.pk)]


def test_sessions_are_filtered_by_person_address_and_last_use(api, token, user):
    log_in(ApiClient("2001:db8::7"), user)
    old = UserFactory()
    log_in(api, old)
    Session.objects.filter(user=old).update(last_used_at=datetime(2026, 1, 1, tzinfo=UTC))

    def people_of(query):
        return [row["user"]["id"] for row in page(api, token, f"/sessions?{query}")["results"]]

    assert people_of(f"user={user.pk}") == [str(user.pk)]
    assert people_of(f"user={uuid7()}") == []
    assert people_of("ip=2001:db8::7") == people_of("ip=2001:DB8:0::7") == [str(user.pk)]
    assert people_of("ip=203.0.113.99") == []
    assert people_of("last_used_before=2026-02-01T00:00:00Z") == [str(old.pk)]


@pytest.mark.parametrize(
    ("name", "value"), [("user", "me"), ("user", "1"), ("last_used_before", "x"), ("ip", "%00"), ("ip", "1" * 46)]
)
def test_a_session_filter_that_means_nothing_is_refused_by_name(api, token, name, value):
    assert list(wrong_fields(api.get(f"/sessions?{name}={value}", token=token))) == [name]


@pytest.mark.parametrize("value", ["banana", "1.2.3", "1.2.3.4/24", "::g", "1.2.3.4, 5.6.7.8"])
def test_an_ip_that_is_none_is_refused(api, token, value):
    assert list(wrong_fields(api.get(f"/sessions?ip={quote(value)}", token=token))) == ["ip"]


def test_sessions_are_paged(api, token, admin):
    for user in UserFactory.create_batch(4):
        log_in(api, user)
    check_round_trip(api, token, "/sessions?page_size=2", 5)


def test_a_page_of_sessions_costs_the_same_however_long(api, token, django_assert_max_num_queries):
    for user in UserFactory.create_batch(8):
        log_in(api, user)
    with django_assert_max_num_queries(3):
        api.get("/sessions", token=token)


def test_one_session_of_anybody_can_be_ended(api, token, user):
    kept, ended = log_in(api, user), log_in(api, user)
    session = Session.objects.filter(user=user).latest("id")
    assert api.delete(f"/sessions/{session.pk}", token=token).status_code == 204
    assert api.get("/users/me", token=ended["access"]).status_code == 401
    assert api.get("/users/me", token=kept["access"]).status_code == 200
    with nothing_changes():
        assert refusal(api.delete(f"/sessions/{session.pk}", token=token)) == (404, "not_found")


def test_everyones_sessions_end_and_the_callers_own_stay(api, token, admin, user):
    others = [log_in(api, user), log_in(api, UserFactory())]
    second_of_mine = log_in(api, admin)
    assert api.delete("/sessions", token=token).status_code == 204
    assert all(api.get("/users/me", token=pair["access"]).status_code == 401 for pair in others)
    assert api.get("/users/me", token=token).status_code == 200
    assert api.get("/users/me", token=second_of_mine["access"]).status_code == 200
    assert len(events("session.ended")) == 2


def test_ending_everyones_sessions_does_not_ask_for_each_person(api, token, django_assert_max_num_queries):
    role = Role.objects.get(name="user")
    for user in UserFactory.create_batch(20):
        GrantFactory(user=user, role=role)
        log_in(api, user)
    with django_assert_max_num_queries(20 + 20):  # one event each, and the rest
        assert api.delete("/sessions", token=token).status_code == 204


def test_ending_everyones_sessions_goes_on_where_it_was_cut_short(api, token, monkeypatch):
    pairs = [log_in(api, user) for user in UserFactory.create_batch(5)]
    monkeypatch.setattr(users, "ENDING_BATCH", 2)
    end, batches = sessions.end, []

    def end_two_batches(*arguments):
        if len(batches) == 2:
            raise OperationalError("canceling statement due to statement timeout")
        batches.append(end(*arguments))
        return batches[-1]

    monkeypatch.setattr(sessions, "end", end_two_batches)
    assert api.delete("/sessions", token=token).status_code == 503
    assert Session.objects.filter(ended_by="revoked").count() == len(events("session.ended")) == 4
    monkeypatch.setattr(sessions, "end", end)
    assert api.delete("/sessions", token=token).status_code == 204
    assert all(api.get("/users/me", token=pair["access"]).status_code == 401 for pair in pairs)
    assert len(events("session.ended")) == 5


def test_a_username_is_found_in_any_case_and_by_its_index():
    user = UserFactory(username="Ann.Kay")
    found = User.objects.called("aNN.kAY")
    assert list(found) == [user]
    assert not User.objects.called("ann_kay").exists()
    assert str(found.query).count("LOWER(") == 2  # by the same rules, also where the lower I has no dot
    assert not User.objects.called("ann.\N{KELVIN SIGN}ay").exists()
    if connection.vendor == "postgresql":  # which would read a table of one row
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    assert "users_username_any_case" in found.explain()


def test_a_name_that_reads_none_has_another_entity_tag_than_no_name():
    user = UserFactory(username=None)
    without = etag_of(user)
    user.username = "None"
    assert etag_of(user) != without
