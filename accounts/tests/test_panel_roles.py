"""Roles and permissions in the panel: by the services of the API, so by its guard rails."""

import pytest

from accounts.tests.scene import administrator, events, holder, nothing_changes
from accounts.tests.test_panel import Browser
from rbac.models import Permission, Role
from rbac.tests.factories import RoleFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(db):
    return Browser().sign_in(administrator(is_staff=True))


def form(name="editor", description="", *permissions):
    return {"name": name, "description": description, "permissions": permissions}


def test_a_role_is_created_changed_and_deleted(browser):
    assert browser.post("rbac/role/add/", form("editor", "Edits", "user:read")).status_code == 302
    role = Role.objects.get(name="editor")
    assert role.permission_names() == ["user:read"]
    page = browser.get(f"rbac/role/{role.pk}/change/").content.decode()
    assert 'value="Edits"' in page
    assert browser.post(f"rbac/role/{role.pk}/change/", form("writer", "", "audit:read")).status_code == 302
    role.refresh_from_db()
    assert (role.name, role.description, role.permission_names()) == ("writer", "", ["audit:read"])
    with nothing_changes():
        assert browser.get(f"rbac/role/{role.pk}/delete/").status_code == 200
    assert browser.post(f"rbac/role/{role.pk}/delete/").status_code == 302
    assert not Role.objects.filter(pk=role.pk).exists()
    assert [len(events(f"role.{what}")) for what in ("created", "changed", "deleted")] == [1, 2, 1]


def test_a_permission_is_created_and_deleted(browser):
    made = {"resource": "order", "action": "refund", "description": "Give money back"}
    assert browser.post("rbac/permission/add/", made).status_code == 302
    permission = Permission.objects.get(resource="order")
    assert f"{permission.pk}/delete/" in browser.get("rbac/permission/").content.decode()
    assert browser.post(f"rbac/permission/{permission.pk}/delete/").status_code == 302
    assert not Permission.objects.filter(resource="order").exists()


@pytest.mark.parametrize(
    ("path", "sent", "told"),
    [
        ("rbac/role/add/", form("admin"), "This is taken."),
        ("rbac/role/add/", form("a b"), "Use letters"),
        ("rbac/role/add/", form("x", "", "no:such"), "no:such is not one of the available choices"),
        ("rbac/permission/add/", {"resource": "user", "action": "read"}, "This is taken."),
        ("rbac/permission/add/", {"resource": "A B", "action": "read"}, "Use a-z"),
    ],
)
def test_what_the_service_refuses_is_told_at_its_field(browser, path, sent, told):
    with nothing_changes():
        page = browser.post(path, sent)
    assert page.status_code == 200
    assert told in page.content.decode()


def test_a_system_role_keeps_its_name_and_a_built_in_permission_stays(browser):
    user, read = Role.objects.get(name="user"), Permission.objects.get(resource="user", action="read")
    with nothing_changes():
        assert b"belongs to the system" in browser.post(f"rbac/role/{user.pk}/change/", form("people")).content
        assert browser.post(f"rbac/role/{user.pk}/delete/").status_code == 200
        assert browser.post(f"rbac/permission/{read.pk}/delete/").status_code == 200


def test_the_role_admin_can_only_be_looked_at(browser):
    role = Role.objects.get(name="admin")
    assert b"user:read" in browser.get(f"rbac/role/{role.pk}/change/").content
    with nothing_changes():
        assert browser.post(f"rbac/role/{role.pk}/change/", form("admin")).status_code == 403
        assert browser.post(f"rbac/role/{role.pk}/delete/").status_code == 200


def test_nobody_gives_a_role_more_than_they_hold():
    role = RoleFactory(permissions=["role:read"])
    browser = Browser().sign_in(holder("role:read", "role:write", is_staff=True))
    for path in ("rbac/role/add/", f"rbac/role/{role.pk}/change/"):
        with nothing_changes("guard.refused"):
            page = browser.post(path, form("stronger", "", "user:delete"))
        assert b"above their own permissions" in page.content


def test_nobody_takes_away_what_they_do_not_hold():
    role = RoleFactory(permissions=["user:delete"])
    browser = Browser().sign_in(holder("role:read", "role:write", is_staff=True))
    with nothing_changes("guard.refused", "guard.refused"):
        answers = [
            browser.post(f"rbac/role/{role.pk}/change/", form(role.name)),
            browser.post(f"rbac/role/{role.pk}/delete/"),
        ]
    assert all(b"above their own permissions" in answer.content for answer in answers)


def test_whoever_may_only_look_has_no_button_and_a_forged_post_is_refused():
    role, permission = RoleFactory(), Permission.objects.create(resource="order", action="refund")
    browser = Browser().sign_in(holder("role:read", "permission:read", is_staff=True))
    pages = [browser.get(path) for path in ("rbac/role/", f"rbac/role/{role.pk}/change/", "rbac/permission/")]
    assert all(page.status_code == 200 for page in pages)
    for page in pages:
        assert b"/delete/" not in page.content
        assert b"/add/" not in page.content
    with nothing_changes():
        for path in (
            *("rbac/role/add/", f"rbac/role/{role.pk}/change/", f"rbac/role/{role.pk}/delete/"),
            *("rbac/permission/add/", f"rbac/permission/{permission.pk}/delete/"),
        ):
            assert browser.post(path, form("stolen")).status_code == 403, path


def test_whoever_may_write_roles_but_not_read_them_sees_none():
    role = RoleFactory()
    browser = Browser().sign_in(holder("role:write", is_staff=True))
    with nothing_changes():
        assert browser.get("rbac/role/").status_code == 403
        assert browser.get(f"rbac/role/{role.pk}/change/").status_code == 403
        assert browser.post(f"rbac/role/{role.pk}/change/", form("stolen")).status_code == 403


@pytest.mark.parametrize("place", ["x", "01a1ff16-0000-7000-8000-000000000000", "%00"])
@pytest.mark.parametrize("page", ["rbac/role/{}/change/", "rbac/role/{}/delete/", "rbac/permission/{}/delete/"])
def test_what_is_not_there_is_told(browser, page, place):
    assert browser.get(page.format(place)).status_code in (302, 404)
