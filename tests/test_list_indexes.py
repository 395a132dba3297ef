"""The indexes of the panel's lists, on a real PostgreSQL: made while others write, taken away, made anew."""

import pytest

from tests.test_search_index import ask, migrate, url

__all__ = ["url"]
pytestmark = [pytest.mark.slow, pytest.mark.service]

NAMES = {
    *("users_staff", "users_inactive", "users_unverified", "sessions_by_ip"),
    *("outgoing_mail_expired", "outgoing_mail_letter", "user_roles_role", "user_roles_ending"),
}
VALID = "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indisvalid"
BEFORE = (("accounts", "0013"), ("mail", "0002"), ("rbac", "0001"))


def there(url: str) -> set[object]:
    return {name for (name,) in ask(url, VALID)} & NAMES


def test_they_go_and_come_back_and_interrupted_ones_are_made_anew(url, tmp_path):
    migrate(url, tmp_path)
    assert there(url) == NAMES
    for target in BEFORE:
        migrate(url, tmp_path, *target)
    assert there(url) == set()
    ask(url, "CREATE INDEX users_staff ON users (email)")
    ask(url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_staff'::regclass")
    migrate(url, tmp_path)
    assert there(url) == NAMES
    assert "is_staff" in str(ask(url, "SELECT pg_get_indexdef('users_staff'::regclass)"))
