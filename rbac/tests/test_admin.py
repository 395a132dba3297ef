from typing import Any

import pytest
from django.contrib.admin import site
from django.core.exceptions import PermissionDenied
from django.test import RequestFactory

from rbac.builtin import PERMISSIONS
from rbac.models import Permission, Role, RoleGrant
from rbac.tests.factories import GrantFactory, PermissionFactory, RoleFactory

pytestmark = pytest.mark.django_db
NEEDED = {Permission: "permission:read", Role: "role:read", RoleGrant: "role:read"}


def panel_of(model: Any) -> Any:
    return site.get_model_admin(model)


def asking(user):
    request = RequestFactory().get("/admin/")
    request.user = user
    return request


@pytest.mark.parametrize("model", NEEDED)
def test_the_panel_shows_it_to_whoever_may_read_it(holder, model):
    request, panel = asking(holder(NEEDED[model])), panel_of(model)
    factories: dict[Any, Any] = {
        Permission: PermissionFactory,
        Role: RoleFactory,
        RoleGrant: GrantFactory,
    }
    one = factories[model]()
    assert str(one.pk).encode() in panel.changelist_view(request).render().content
    assert panel.change_view(request, str(one.pk)).render().status_code == 200


@pytest.mark.parametrize("model", NEEDED)
def test_the_panel_hides_it_from_everybody_else(holder, model):
    request = asking(holder(*(set(PERMISSIONS) - {NEEDED[model]})))
    with pytest.raises(PermissionDenied):
        panel_of(model).changelist_view(request)


def test_grants_are_changed_on_a_persons_page_only(admin):
    """What the panel does to roles and permissions: accounts/tests/test_panel_roles.py."""
    request, panel = asking(admin), panel_of(RoleGrant)
    assert panel.has_view_permission(request)
    assert not panel.has_add_permission(request)
    assert not panel.has_change_permission(request)
    assert not panel.has_delete_permission(request)


def test_the_panel_shows_what_admin_holds(admin):
    role = Role.objects.get(name="admin")
    page = panel_of(Role).change_view(asking(admin), str(role.pk)).render()
    assert b"audit:read" in page.content


def test_a_page_of_grants_costs_the_same_however_long(admin, django_assert_max_num_queries):
    GrantFactory.create_batch(20)
    with django_assert_max_num_queries(8):
        panel_of(RoleGrant).changelist_view(asking(admin)).render()
