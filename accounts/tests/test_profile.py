"""Myself: profile, password, address, and the end of the account."""

import pytest

from accounts import challenges
from accounts.limits import FAILURES_BEFORE_WAITING, MAILS_PER_ADDRESS
from accounts.models import Challenge, Session, User
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
    wrong_code,
    wrong_fields,
)
from mail.models import OutgoingMail
from rbac.tests.factories import RoleFactory

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "Purple-anvil-77"
NEW = "new.ann@example.net"
FIELDS = {
    *("id", "email", "username", "first_name", "middle_name", "last_name", "language"),
    *("is_active", "is_verified", "is_staff", "roles", "created_at", "updated_at", "last_login"),
}


@pytest.fixture
def user(db):
    return UserFactory(email="Ann@example.org", username="ann")


@pytest.fixture
def token(api, user):
    return access_of(api, user)


# --- Me ----------------------------------------------------------------------------------------------------------


def test_i_see_myself(api, user, token):
    role = RoleFactory(name="editor")
    user.grants.create(role=role)
    response = api.get("/users/me", token=token)
    body = response.json()
    assert set(body) == FIELDS
    assert (body["id"], body["email"], body["username"]) == (str(user.pk), "Ann@example.org", "ann")
    assert body["roles"] == [{"id": str(role.pk), "name": "editor"}]
    assert all(body[name].endswith("Z") for name in ("created_at", "updated_at", "last_login"))
    assert response["Cache-Control"] == "no-store"


def test_strangers_are_told_to_sign_in(api):
    for method in ("GET", "PATCH", "DELETE"):
        assert refusal(api.call(method, "/users/me", {})) == (401, "not_authenticated")


def test_asking_for_myself_costs_two_queries(api, token, django_assert_max_num_queries):
    with django_assert_max_num_queries(2):
        api.get("/users/me", token=token)


def test_i_change_my_names_username_and_language(api, user, token):
    changes = {
        "username": "Ann_2",
        "first_name": "Анна",
        "middle_name": "d'Arc",
        "last_name": "李",
        "language": "ru",
    }
    response = api.patch("/users/me", changes, token=token)
    assert response.status_code == 200
    assert {name: response.json()[name] for name in changes} == changes
    assert api.get("/users/me", token=token).json() == response.json()
    [event] = events("user.changed")
    assert (event.actor_id, event.target_id) == (user.pk, user.pk)
    assert event.details == {"fields": sorted(changes)}


def test_a_change_moves_updated_at_and_only_that(api, user, token):
    before = api.get("/users/me", token=token).json()
    after = api.patch("/users/me", {"first_name": "Bea"}, token=token).json()
    assert after["updated_at"] > before["updated_at"]
    assert {k for k in after if after[k] != before[k]} == {"first_name", "updated_at"}


def test_what_is_not_mine_to_change_is_ignored(api, user, token):
    ignored = {
        "id": "x",
        "email": "other@example.org",
        "is_active": False,
        "is_verified": False,
        "is_staff": True,
        "is_superuser": True,
        "password": "x",
        "roles": ["admin"],
        "created_at": "2000-01-01T00:00:00Z",
        "colour": "green",
    }
    with nothing_changes():
        response = api.patch("/users/me", ignored, token=token)
    assert response.status_code == 200
    assert api.patch(f"/users/{user.pk}", ignored, token=token).status_code == 200
    assert User.objects.get(pk=user.pk).email == "Ann@example.org"


def test_a_change_to_what_is_already_so_writes_nothing(api, token):
    with nothing_changes():
        assert api.patch("/users/me", {"first_name": "Ann", "username": "ann"}, token=token).status_code == 200
        assert api.patch("/users/me", {}, token=token).status_code == 200


def test_a_username_can_be_given_up(api, token):
    assert api.patch("/users/me", {"username": None}, token=token).json()["username"] is None


def test_one_may_change_the_case_of_ones_username(api, token):
    assert api.patch("/users/me", {"username": "ANN"}, token=token).json()["username"] == "ANN"


@pytest.mark.parametrize("name", ["bob", "BOB"])
def test_a_taken_username_is_refused_in_any_case(api, token, name):
    UserFactory(username="Bob")
    with nothing_changes():
        assert wrong_fields(api.patch("/users/me", {"username": name}, token=token)) == {"username": "taken"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "ab"),
        ("username", "a" * 31),
        ("username", "ann@example.org"),
        ("username", "анна"),
        ("username", "a b c"),
        ("username", "a\nbc"),
        ("username", 123),
        ("first_name", "x" * 151),
        ("first_name", "a\x00b"),
        ("middle_name", "a\nb"),
        ("last_name", "a\u2028b"),
        ("last_name", "a\u202eb"),
        ("last_name", "\ud800"),
        ("first_name", None),
        ("first_name", ["x"]),
        ("language", "de"),
        ("language", None),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_field(api, token, field, value):
    with nothing_changes():
        assert list(wrong_fields(api.patch("/users/me", {"language": "ru", field: value}, token=token))) == [field]


# --- ETag and If-Match -------------------------------------------------------------------------------------------


@pytest.fixture
def tag(api, token):
    return api.get("/users/me", token=token)["ETag"]


def rename(api, token, if_match, name="Bea"):
    return api.patch("/users/me", {"first_name": name}, token=token, If_Match=if_match)


def test_the_tag_is_strong_and_the_same_wherever_i_am_read(api, user, token, tag):
    assert tag.startswith('"')
    assert tag.endswith('"')
    assert api.get(f"/users/{user.pk}", token=token)["ETag"] == tag


def test_a_change_with_the_present_tag_goes_ahead_and_gives_the_next_one(api, token, tag):
    response = rename(api, token, tag)
    assert response.status_code == 200
    assert response["ETag"] != tag
    assert api.get("/users/me", token=token)["ETag"] == response["ETag"]
    assert rename(api, token, response["ETag"], "Cleo").status_code == 200


def test_a_change_with_a_tag_of_the_past_is_refused(api, token, tag):
    rename(api, token, tag)
    with nothing_changes():
        assert refusal(rename(api, token, tag, "Cleo")) == (412, "precondition_failed")


@pytest.mark.parametrize("pattern", ["*", "{0}", '"x", {0}', '{0}, "x"', '"x",{0},"y"', 'W/"x", {0}'])
def test_a_star_and_a_list_that_holds_the_tag_go_ahead(api, token, tag, pattern):
    assert rename(api, token, pattern.format(tag)).status_code == 200


@pytest.mark.parametrize("pattern", ['"x"', "W/{0}", 'W/{0}, "x"', "x", "", '"', "**", ",", "{1}"])
def test_weak_tags_and_others_are_refused(api, token, tag, pattern):
    with nothing_changes():
        response = rename(api, token, pattern.format(tag, tag.strip('"')))
    assert refusal(response) == (412, "precondition_failed")


def test_without_if_match_the_change_goes_ahead(api, token):
    assert api.patch("/users/me", {"first_name": "Bea"}, token=token).status_code == 200


def test_the_tag_does_not_change_with_a_log_in_or_a_refresh(api, user, token, tag):
    pair = log_in(api, user)
    api.post("/auth/refresh", {"refresh": pair["refresh"]})
    assert api.get("/users/me", token=token)["ETag"] == tag
    assert rename(api, token, tag).status_code == 200


def test_the_tag_changes_with_a_role(api, user, token, tag):
    admin = access_of(api, administrator())
    role = RoleFactory()
    assert api.post(f"/users/{user.pk}/roles", {"role": role.name}, token=admin).status_code == 201
    granted = api.get("/users/me", token=token)["ETag"]
    assert granted != tag
    with nothing_changes():
        assert refusal(rename(api, token, tag)) == (412, "precondition_failed")
    api.delete(f"/users/{user.pk}/roles/{role.pk}", token=admin)
    assert api.get("/users/me", token=token)["ETag"] != granted


# --- Password ----------------------------------------------------------------------------------------------------


def change_password(api, token, current=PASSWORD, new=NEW_PASSWORD):
    return api.put("/users/me/password", {"current_password": current, "new_password": new}, token=token)


def test_a_new_password_counts_from_now_on(api, user, token):
    response = change_password(api, token)
    assert (response.status_code, response.content) == (204, b"")
    assert log_in(api, user, NEW_PASSWORD)
    old = api.post("/auth/login", {"email": user.email, "password": PASSWORD})
    assert refusal(old) == (401, "invalid_credentials")


def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(api, user):
    this, other = log_in(api, user), log_in(api, user)
    stranger = log_in(api, UserFactory())
    assert change_password(api, this["access"]).status_code == 204
    assert api.get("/users/me", token=this["access"]).status_code == 200
    assert api.post("/auth/refresh", {"refresh": this["refresh"]}).status_code == 200
    assert refusal(api.get("/users/me", token=other["access"])) == (401, "invalid_token")
    assert refusal(api.post("/auth/refresh", {"refresh": other["refresh"]})) == (401, "invalid_refresh_token")
    assert api.get("/users/me", token=stranger["access"]).status_code == 200


def test_a_new_password_is_told_to_the_owner_and_recorded(api, user, token):
    change_password(api, token)
    assert letters(user.email) == ["password_changed"]
    [event] = events("password.changed")
    assert (event.actor_id, event.target_id) == (user.pk, user.pk)
    assert NEW_PASSWORD not in str(event.details)


def test_a_new_password_voids_the_codes_and_links_of_the_account(api, user, token):
    api.post("/auth/password/forgot", {"email": user.email})
    reset = letter("reset", user.email)
    change_password(api, token)
    by_link = {"token": link_in(reset), "new_password": "Orange-kettle-31"}
    assert refusal(api.post("/auth/password/reset", by_link)) == (400, "invalid_link")
    by_code = {"email": user.email, "code": code_in(reset), "new_password": "Orange-kettle-31"}
    assert refusal(api.post("/auth/password/reset", by_code)) == (400, "invalid_code")


def test_a_wrong_current_password_changes_nothing(api, token):
    with nothing_changes("password.refused"):
        response = change_password(api, token, current="wrong")
    assert wrong_fields(response) == {"current_password": "wrong_password"}


@pytest.mark.parametrize("weak", ["short", "password1", "Ann@example.org", "x" * 1025])
def test_a_weak_new_password_changes_nothing(api, token, weak):
    with nothing_changes():
        assert set(wrong_fields(change_password(api, token, new=weak))) == {"new_password"}


def test_wrong_current_passwords_count_towards_the_limits(api, user, token):
    for _ in range(FAILURES_BEFORE_WAITING):
        assert change_password(api, token, current="wrong").status_code == 400
    with nothing_changes():
        response = change_password(api, token)
        assert refusal(response) == (429, "too_many_attempts")
        assert int(response["Retry-After"]) >= 1
        login = api.post("/auth/login", {"email": user.email, "password": PASSWORD})
        assert refusal(login) == (429, "too_many_attempts")


# --- Address -----------------------------------------------------------------------------------------------------


def ask_change(api, token, new=NEW, password=PASSWORD):
    return api.post("/users/me/email", {"new_email": new, "password": password}, token=token)


def test_both_addresses_are_told_when_i_ask_for_another(api, user, token, settings):
    response = ask_change(api, token)
    assert response.status_code == 202
    assert response.json() == {
        "new_email": NEW,
        "status": "unconfirmed",
        "code_expires_in": settings.CODE_SECONDS,
    }
    assert letters(NEW) == ["email_change"]
    assert letters(user.email) == ["email_change_notice"]
    assert [event.target_id for event in events("email.change_asked")] == [user.pk]


def test_the_old_address_works_until_the_new_one_is_confirmed(api, user, token):
    ask_change(api, token)
    assert api.get("/users/me", token=token).json()["email"] == user.email
    assert log_in(api, user)
    assert refusal(api.post("/auth/login", {"email": NEW, "password": PASSWORD})) == (401, "invalid_credentials")


@pytest.mark.parametrize("how", ["code", "token"])
def test_the_new_address_is_confirmed_by_code_or_token(api, user, token, how):
    ask_change(api, token)
    mail = letter("email_change", NEW)
    proof = code_in(mail) if how == "code" else link_in(mail)
    response = api.post("/users/me/email/confirm", {how: proof}, token=token)
    assert response.status_code == 200
    assert (response.json()["email"], response.json()["is_verified"]) == (NEW, True)
    assert response["ETag"] == api.get("/users/me", token=token)["ETag"]
    assert api.post("/auth/login", {"email": NEW, "password": PASSWORD}).status_code == 200
    old = api.post("/auth/login", {"email": "ann@example.org", "password": PASSWORD})
    assert refusal(old) == (401, "invalid_credentials")
    assert letters("Ann@example.org") == ["email_change_notice", "email_changed"]
    assert [event.target_id for event in events("email.changed")] == [user.pk]


@pytest.mark.parametrize("how", ["code", "token"])
def test_a_proof_of_the_new_address_works_once(api, user, token, how):
    ask_change(api, token)
    mail = letter("email_change", NEW)
    proof = {how: code_in(mail) if how == "code" else link_in(mail)}
    assert api.post("/users/me/email/confirm", proof, token=token).status_code == 200
    with nothing_changes("email.change_failed"):
        assert refusal(api.post("/users/me/email/confirm", proof, token=token))[0] == 400


@pytest.mark.parametrize("how", ["code", "token"])
def test_somebody_else_cannot_confirm_my_new_address(api, user, token, how):
    ask_change(api, token)
    mail = letter("email_change", NEW)
    thief = access_of(api, UserFactory())
    with nothing_changes("email.change_failed"):
        proof = {how: code_in(mail) if how == "code" else link_in(mail)}
        response = api.post("/users/me/email/confirm", proof, token=thief)
    assert refusal(response) == (400, "invalid_code" if how == "code" else "invalid_link")
    assert api.post("/users/me/email/confirm", {"code": code_in(mail)}, token=token).status_code == 200


def test_five_wrong_tries_void_the_code_but_not_the_link(api, token):
    ask_change(api, token)
    mail = letter("email_change", NEW)
    for _ in range(Challenge.MAX_ATTEMPTS):
        wrong = api.post("/users/me/email/confirm", {"code": wrong_code(mail)}, token=token)
        assert refusal(wrong) == (400, "invalid_code")
    right = api.post("/users/me/email/confirm", {"code": code_in(mail)}, token=token)
    assert refusal(right) == (400, "invalid_code")
    assert api.post("/users/me/email/confirm", {"token": link_in(mail)}, token=token).status_code == 200


def test_proofs_of_another_kind_confirm_no_address(api, user, token):
    api.post("/auth/password/forgot", {"email": user.email})
    reset = letter("reset", user.email)
    with nothing_changes("email.change_failed", "email.change_failed"):
        assert refusal(api.post("/users/me/email/confirm", {"token": link_in(reset)}, token=token))[0] == 400
        assert refusal(api.post("/users/me/email/confirm", {"code": code_in(reset)}, token=token))[0] == 400


@pytest.mark.parametrize(
    "body", [{}, {"code": ""}, {"code": "12345"}, {"code": "1234567"}, {"code": "12345x"}, {"token": 5}]
)
def test_a_confirmation_needs_a_code_or_a_token(api, token, body):
    ask_change(api, token)
    with nothing_changes():
        assert refusal(api.post("/users/me/email/confirm", body, token=token)) == (400, "validation_error")


def test_asking_for_a_second_address_voids_the_first(api, user, token):
    ask_change(api, token)
    first = letter("email_change", NEW)
    ask_change(api, token, "other@example.net")
    assert refusal(api.post("/users/me/email/confirm", {"token": link_in(first)}, token=token))[0] == 400
    second = letter("email_change", "other@example.net")
    assert api.post("/users/me/email/confirm", {"token": link_in(second)}, token=token).json()["email"] == (
        "other@example.net"
    )


def test_a_taken_address_gets_the_same_answer_and_its_owner_is_told(api, user, token):
    owner = UserFactory(email="owner@example.net")
    free, taken = ask_change(api, token, "free@example.net"), ask_change(api, token, "owner@example.net")
    assert taken.status_code == free.status_code == 202
    assert {**taken.json(), "new_email": ""} == {**free.json(), "new_email": ""}
    assert letters(owner.email) == ["email_taken"]
    assert not OutgoingMail.objects.filter(to=owner.email, challenge_id__isnull=False).exists()


def test_an_address_taken_meanwhile_is_a_conflict(api, user, token):
    ask_change(api, token)
    mail = letter("email_change", NEW)
    UserFactory(email=NEW)
    with nothing_changes():
        response = api.post("/users/me/email/confirm", {"token": link_in(mail)}, token=token)
    assert refusal(response) == (409, "address_taken")


def test_a_sign_up_that_was_never_verified_does_not_block_the_address(api, user, token):
    squatter = UserFactory(email=NEW, is_verified=False)
    ask_change(api, token)
    mail = letter("email_change", NEW)
    assert api.post("/users/me/email/confirm", {"code": code_in(mail)}, token=token).status_code == 200
    assert not User.objects.filter(pk=squatter.pk).exists()


@pytest.mark.parametrize("same", ["Ann@example.org", "ann@example.org"])
def test_ones_own_address_is_no_change(api, token, same):
    with nothing_changes():
        assert wrong_fields(ask_change(api, token, same)) == {"new_email": "unchanged"}


def test_a_change_of_address_needs_the_password(api, token):
    with nothing_changes("password.refused"):
        assert wrong_fields(ask_change(api, token, password="wrong")) == {"password": "wrong_password"}
    with nothing_changes():
        assert wrong_fields(api.post("/users/me/email", {"new_email": NEW}, token=token)) == {"password": "required"}


@pytest.mark.parametrize("address", ["", "x", "a@b@c.org", "a@[127.0.0.1]", "a\n@example.org", "x" * 250 + "@a.org", 5])
def test_what_is_no_address_is_refused(api, token, address):
    with nothing_changes():
        assert list(wrong_fields(ask_change(api, token, address))) == ["new_email"]


def test_a_confirmed_change_voids_every_other_code_of_the_account(api, user, token):
    api.post("/auth/password/forgot", {"email": user.email})
    reset = letter("reset", user.email)
    ask_change(api, token)
    api.post("/users/me/email/confirm", {"code": code_in(letter("email_change", NEW))}, token=token)
    body = {"token": link_in(reset), "new_password": NEW_PASSWORD}
    assert refusal(api.post("/auth/password/reset", body)) == (400, "invalid_link")
    assert not challenges.open_challenges(user).exists()


def test_over_five_mails_an_hour_the_answer_stays_and_nothing_is_sent(api, user, token):
    for _ in range(MAILS_PER_ADDRESS):
        ask_change(api, token)
    sent = OutgoingMail.objects.count()
    assert ask_change(api, token).status_code == 202
    assert OutgoingMail.objects.count() == sent


# --- Closing the account -----------------------------------------------------------------------------------------


def close(api, token, password=PASSWORD):
    return api.delete("/users/me", {"password": password}, token=token)


def test_closing_the_account_deactivates_it_and_ends_its_sessions(api, user):
    this, other = log_in(api, user), log_in(api, user)
    response = close(api, this["access"])
    assert (response.status_code, response.content) == (204, b"")
    for pair in (this, other):
        assert refusal(api.get("/users/me", token=pair["access"])) == (401, "invalid_token")
        assert refusal(api.post("/auth/refresh", {"refresh": pair["refresh"]})) == (401, "invalid_refresh_token")
    user.refresh_from_db()
    assert not user.is_active
    assert user.email == "Ann@example.org"
    assert set(Session.objects.values_list("ended_by", flat=True)) == {"deactivated"}
    assert [(e.actor_id, e.target_id) for e in events("user.deactivated")] == [(user.pk, user.pk)]
    assert refusal(api.post("/auth/login", {"email": user.email, "password": PASSWORD}))[0] == 401


def test_closing_the_account_needs_the_password(api, token):
    with nothing_changes("password.refused"):
        assert wrong_fields(close(api, token, "wrong")) == {"password": "wrong_password"}
    with nothing_changes():
        assert wrong_fields(api.delete("/users/me", {}, token=token)) == {"password": "required"}
        assert wrong_fields(api.delete("/users/me", token=token)) == {"password": "required"}


def test_the_last_administrator_cannot_close_the_account(api):
    token = access_of(api, administrator())
    with nothing_changes("guard.refused"):
        assert refusal(close(api, token)) == (409, "last_administrator")
    assert api.get("/users/me", token=token).status_code == 200


def test_one_of_two_administrators_can(api):
    administrator()
    assert close(api, access_of(api, administrator())).status_code == 204


@pytest.mark.parametrize("lacking", [{"is_verified": False}, {"is_active": False}, {"password": None}])
def test_an_administrator_who_cannot_act_does_not_count(api, lacking):
    administrator(**lacking)
    token = access_of(api, administrator())
    with nothing_changes("guard.refused"):
        assert refusal(close(api, token)) == (409, "last_administrator")


def test_whoever_assigns_roles_for_ever_is_an_administrator_too(api):
    holder("role:assign")
    assert close(api, access_of(api, administrator())).status_code == 204


def test_a_closed_account_gets_no_way_back_by_mail(api, user, token):
    close(api, token)
    assert api.post("/auth/password/forgot", {"email": user.email}).status_code == 202
    assert api.post("/auth/verify/resend", {"email": user.email}).status_code == 202
    assert letters(user.email) == ["account_closed"]
    assert not Challenge.objects.filter(user=user, voided_at=None, used_at=None).exists()


def test_my_permissions_are_told_with_my_roles(api):
    user = holder("user:read", "order:refund")
    name = user.grants.get().role.name
    body = api.get("/users/me/permissions", token=access_of(api, user)).json()
    assert (body["roles"], sorted(body["permissions"])) == ([name], ["order:refund", "user:read"])
