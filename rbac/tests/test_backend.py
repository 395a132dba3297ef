from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser

from rbac.backend import DJANGO_NAMES, RoleBackend
from rbac.builtin import PERMISSIONS

pytestmark = pytest.mark.django_db


def test_it_answers_for_our_names(holder):
    user = holder("user:read")
    assert RoleBackend().has_perm(user, "user:read")
    assert not RoleBackend().has_perm(user, "user:write")
    assert not RoleBackend().has_perm(user, "no:such")


def test_a_role_counts_for_every_object(holder):
    user = holder("user:read")
    assert RoleBackend().has_perm(user, "user:read", user)


@pytest.mark.parametrize(("django_name", "ours"), DJANGO_NAMES.items())
def test_each_name_of_the_admin_means_one_of_ours(holder, django_name, ours):
    backend = RoleBackend()
    assert ours in PERMISSIONS
    assert backend.has_perm(holder(ours), django_name)
    assert not backend.has_perm(holder(*(set(PERMISSIONS) - {ours})), django_name)


@pytest.mark.parametrize("django_name", DJANGO_NAMES)
def test_each_name_of_the_admin_is_of_a_model_that_exists(django_name):
    app, codename = django_name.split(".")
    assert apps.get_model(app, codename.partition("_")[2])


def test_nobody_may_what_the_table_does_not_name(admin):
    for name in ("accounts.change_session", "auth.view_group", "auth.add_permission", "audit.delete_event"):
        assert not RoleBackend().has_perm(admin, name)


def test_a_module_shows_when_something_in_it_is_allowed(holder):
    backend, user = RoleBackend(), holder("audit:read")
    assert backend.has_module_perms(user, "audit")
    assert not backend.has_module_perms(user, "rbac")
    assert not backend.has_module_perms(user, "auth")


def test_nobody_is_let_in_while_deactivated(admin):
    admin.is_active = False
    assert not RoleBackend().has_perm(admin, "user:read")
    assert not RoleBackend().has_perm(admin, "accounts.view_user")
    assert not RoleBackend().has_module_perms(admin, "accounts")


def test_strangers_hold_nothing():
    assert not RoleBackend().has_perm(AnonymousUser(), "user:read")
    assert not RoleBackend().has_module_perms(AnonymousUser(), "accounts")


def test_it_logs_nobody_in():
    backend: Any = RoleBackend()
    assert backend.authenticate(None, username="a", password="b") is None
    assert backend.get_user("1") is None
