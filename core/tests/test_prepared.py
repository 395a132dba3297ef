"""Questions that are compiled and planned once must answer as if they were not."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import Session, User
from accounts.tests.factories import UserFactory, signed_in
from core.ids import uuid7
from core.prepared import Part, Prepared, planned_row
from rbac.holdings import live_roles_of
from rbac.models import RoleGrant
from rbac.tests.factories import GrantFactory, RoleFactory

needs_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite keeps no plans")


def with_roles():
    return Session.objects.with_clock().annotate(roles=live_roles_of("user_id"))


def of_session() -> Prepared[Session]:
    return Prepared(
        lambda pk: Session.objects.with_clock().annotate(roles=live_roles_of("user_id")).filter(pk=pk), UUID
    )


@pytest.mark.django_db
def test_it_answers_as_the_orm_does_for_one_value_after_the_other():
    question = of_session()
    for _ in range(3):
        session = signed_in(UserFactory()).session
        GrantFactory(user=session.user, role=RoleFactory())
        by_orm = with_roles().get(pk=session.pk)
        found = question.one(session.pk)
        names = [field.attname for field in Session._meta.concrete_fields]
        assert [getattr(found, name) for name in names] == [getattr(by_orm, name) for name in names]
        names = [field.attname for field in User._meta.concrete_fields]
        assert [getattr(found.user, name) for name in names] == [getattr(by_orm.user, name) for name in names]
        assert found.roles == by_orm.roles
        assert abs(found.now - by_orm.now) < timedelta(seconds=30)
    assert question.one(uuid4()) is None


@pytest.mark.django_db
def test_it_gives_tuples_of_python_s_types_where_the_queryset_does():
    grant = GrantFactory(expires_at=timezone.now() + timedelta(days=1))
    question = Prepared(lambda u: RoleGrant.objects.filter(user_id=u).values_list("role_id", "expires_at"), UUID)
    assert list(question.rows(grant.user_id)) == [(grant.role_id, grant.expires_at)]


@pytest.mark.django_db
def test_it_takes_text_as_a_value_and_not_as_sql():
    user = UserFactory()
    question = Prepared(lambda key: User.objects.filter(email_key=key), str)
    assert question.one(user.email_key) == user
    assert question.one("' OR ''='") is None
    assert question.one("%s") is None


@pytest.mark.django_db
def test_it_takes_moments_to_the_microsecond():
    moment = timezone.now().replace(microsecond=120000)
    user = UserFactory(created_at=moment)
    question = Prepared(lambda at: User.objects.filter(created_at__gte=at, created_at__lte=at), datetime)
    assert question.one(moment) == user
    assert question.one(moment - timedelta(microseconds=1)) is None
    assert question.one(moment + timedelta(microseconds=1)) is None


@pytest.mark.django_db
@pytest.mark.parametrize("is_planned", [True, False])
def test_it_takes_part_of_a_text_letter_by_letter(is_planned):
    user = UserFactory(first_name="100%_a\\b'c")
    UserFactory(first_name="100xxa")
    question = Prepared(lambda text: User.objects.filter(first_name__contains=text), Part, is_planned=is_planned)
    for text in ("100%", "%_a", "a\\b", "b'c"):
        assert list(question.rows(Part(text))) == [user]
    assert list(question.rows(Part("0_"))) == []


@needs_postgresql
@pytest.mark.service
@pytest.mark.django_db
def test_what_hangs_on_its_values_is_planned_each_time():
    connection.connection.prepare_threshold = 0
    for is_planned in (True, False):
        question = Prepared(lambda key: User.objects.filter(email_key=key), str, is_planned=is_planned)
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
            connection.connection._prepared.clear()
            question.one("ann@example.org")
            cursor.execute("SELECT count(*) FROM pg_prepared_statements")
            assert cursor.fetchone() == (is_planned,)


@pytest.mark.django_db
def test_a_statement_of_ours_gives_its_first_row_with_moments_as_such():
    session, other = (signed_in(UserFactory()).session for _ in range(2))
    sql = "UPDATE sessions SET rotated_from = %(network)s, rotated_at = %(at)s WHERE id = %(id)s RETURNING rotated_at"
    at = timezone.now() + timedelta(days=1)
    assert planned_row(sql, {"id": session.pk, "at": at, "network": "%s' OR ''='"}) == (at,)
    assert planned_row(sql, {"id": uuid7(), "at": at, "network": ""}) is None
    session.refresh_from_db()
    assert (session.rotated_from, session.rotated_at) == ("%s' OR ''='", at)
    other.refresh_from_db()
    assert other.rotated_at < at


@pytest.mark.django_db
def test_the_clock_is_read_each_time_and_not_compiled_in():
    question = Prepared(lambda pk: User.objects.filter(pk=pk, created_at__lt=Now()), UUID)
    user = UserFactory(created_at=timezone.now() + timedelta(hours=1))
    assert question.one(user.pk) is None
    User.objects.update(created_at=timezone.now() - timedelta(hours=1))
    assert question.one(user.pk) == user


@needs_postgresql
@pytest.mark.service
@pytest.mark.django_db
def test_postgresql_plans_it_once_for_a_connection_and_never_behind_a_pooler():
    question, plans = of_session(), "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s"
    for threshold, kept in ((0, 1), (None, 0)):
        connection.connection.prepare_threshold = threshold
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
            connection.connection._prepared.clear()
            for _ in range(7):
                question.one(uuid4())
            cursor.execute(plans, ["%STRING_AGG%"])
            assert cursor.fetchone() == (kept,)
    connection.connection.prepare_threshold = 0


@needs_postgresql
@pytest.mark.service
@pytest.mark.django_db(transaction=True)
def test_a_plan_that_a_migration_has_made_stale_is_made_anew():
    user = UserFactory()
    question = Prepared(lambda pk: User.objects.filter(pk=pk), UUID)
    assert question.one(user.pk) == user
    with connection.copy().cursor() as cursor:
        cursor.execute("ALTER TABLE users ALTER first_name TYPE varchar(160)")
    try:
        assert question.one(user.pk) == user
        with transaction.atomic():
            assert question.one(user.pk) == user
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE users ALTER first_name TYPE varchar(150)")
