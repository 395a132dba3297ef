"""Indexes of migrations that are not atomic: whatever a run that was cut short has done, the next one goes through."""

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.state import ProjectState

from core.indexes import AddIndexWhileServing

NAME = "users_staff"


def indexes():
    with connection.cursor() as cursor:
        return [name for name in connection.introspection.get_constraints(cursor, "users") if name == NAME]


@pytest.mark.django_db(transaction=True)
def test_an_index_is_made_anew_where_it_stands_already_and_taken_away_where_it_does_not():
    state = ProjectState.from_apps(apps)
    [index] = [index for index in apps.get_model("accounts.User")._meta.indexes if index.name == NAME]
    operation = AddIndexWhileServing("user", index)
    for there, run in ((1, "forwards"), (0, "backwards"), (0, "backwards"), (1, "forwards")):
        with connection.schema_editor(atomic=False) as editor:
            getattr(operation, f"database_{run}")("accounts", editor, state, state)
        assert len(indexes()) == there
