"""Whatever is looked for, in whichever order, page by page and back: it is what plain Python finds and sorts."""

from datetime import UTC, datetime, timedelta
from random import Random
from urllib.parse import urlencode

import pytest
from django.db import connection

from accounts import user_list
from accounts.models import User
from accounts.tests.scene import access_of, administrator
from accounts.tests.test_users import ids, walk
from accounts.views.users import UserViewSet
from rbac.tests.factories import GrantFactory, RoleFactory

pytestmark = pytest.mark.django_db

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = [
    *("Zoe", "O'Neil", 'say "hi"', "100%", "a_b", "back\\slash", "\\%", "Straße", "STRASSE", "İstanbul", "ıstanbul"),
    *("Istanbul", "Ёлка", "ΣΊΣΥΦΟΣ", "ﬁn", "FIN", "a\u0301", "á", "😀", "日本語", "%s", "%(a)s", "{}", "a\tb", ""),
]
MAILBOXES = ["zoe", "Пётр", "p", "a_b", "100%", "o'n"]
TEXTS = [
    *("", "ZOE", "a", "example", "%", "_", "\\", "\\%", "'", '"', "100%", "a_b", "ss", "ß", "STRASSE", "i", "İ", "ı"),
    *(
        "istanbul",
        "ёл",
        "Ж",
        "ς",
        "ﬁ",
        "FI",
        "a\u0301",
        "á",
        "😀",
        "本",
        "%s",
        "%(a)s",
        "{}",
        "a\tb",
        "\n",
        "@",
        "nobody",
    ),
    *("zoe7", "p12@example.org", "9p1@EXAMPLE.org", "o'n1", "ёлка\nstr", "%1", "e.org\nu1"),  # needles, and hay
]
FILTERS = [{}, {}, {"is_active": "true"}, {"role": "editor"}, {"created_after": "2026-01-02T00:00:00Z"}]
# All by the index; along the order until the page is full; in vain, and then by the index; in two goes.
WAYS = [(10**9, (1,)), (-1, (10**6,)), (-1, (0, 1)), (0, (1, 3))]


def people(dice):
    """Made in two days, of whom many never logged in and many have no username: ties wherever there is an order."""
    for number in range(300):
        address = f"{dice.choice(MAILBOXES)}{dice.randrange(100)}p{number}@example.org"
        person = User(
            email=address,
            email_key=address.casefold(),
            username=f"u{number}" if dice.random() < 0.3 else None,
            first_name=dice.choice(NAMES),
            last_name=dice.choice(NAMES),
            is_active=dice.random() < 0.7,
            last_login=dice.choice([None, BEGIN, BEGIN + timedelta(microseconds=1)]),
            created_at=BEGIN + timedelta(days=dice.randrange(3), microseconds=dice.randrange(2)),
        )
        person.fill_search_text()
        yield person


@pytest.fixture
def token(api):
    admin, editor = administrator(), RoleFactory(name="editor")
    for person in User.objects.bulk_create(people(Random(1)))[::4]:
        GrantFactory(user=person, role=editor)
    if connection.vendor == "postgresql":  # which takes so small a table for an empty one, and reads it through
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE users")
            cursor.execute("SET LOCAL enable_seqscan = off")
    user_list.common_threes.cache_clear()
    return access_of(api, admin)


def everybody():
    """Each with what they are sorted by. Only the database knows how it sorts addresses."""
    for place, person in enumerate(User.objects.sortable().order_by("email_key").prefetch_related("grants__role")):
        person.keys = {"created_at": person.created_at, "email": place, "last_login": person.last_login_key}
        yield person


def passes(person, filters):
    return (
        ("is_active" not in filters or person.is_active)
        and ("role" not in filters or "editor" in {grant.role.name for grant in person.grants.all()})
        and ("created_after" not in filters or person.created_at >= BEGIN + timedelta(days=1))
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_every_walk_meets_exactly_those_who_are_asked_for_in_their_order(api, token, monkeypatch, way):
    monkeypatch.setattr(user_list, "FEW", way[0])
    monkeypatch.setattr(user_list, "STEPS", way[1])
    known, dice = list(everybody()), Random(repr(way))
    for text in TEXTS:
        order, sign, filters = dice.choice(list(UserViewSet.orderings)), dice.choice(["", "-"]), dice.choice(FILTERS)
        right = [person for person in known if text.casefold() in person.search_text and passes(person, filters)]
        right.sort(key=lambda person: (person.keys[order], person.pk), reverse=bool(sign))
        size = dice.choice([1, 2, 7, 200]) + len(right) // 6
        query = urlencode({"search": text, "ordering": sign + order, "page_size": size, "count": "exact", **filters})
        pages = list(walk(api, token, f"/users?{query}"))
        assert [row["id"] for body in pages for row in body["results"]] == [str(person.pk) for person in right], query
        assert {body["count"] for body in pages} == {len(right)}
        back = list(walk(api, token, pages[-1]["previous"], "previous")) if len(pages) > 1 else []
        assert [ids(body["results"]) for body in reversed(back)] == [ids(body["results"]) for body in pages[:-1]], query


COMMON = frozenset(["@ex", "exa", "xam", "amp", "mpl", "ple", "ann"])


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("lee@example", "lee@e"),
        ("@example", ""),
        ("example7", "le7"),
        ("ann.lee@example.org", "nn.lee@e"),
        ("lee@example.ort", "le.ort"),
        ("q@example.org", "le.org"),
        ("nobody", ""),
        ("ann", ""),
        ("le", ""),
        ("", ""),
    ],
)
def test_the_index_is_asked_for_the_longest_part_that_few_have(text, needle):
    assert user_list.rare_part(text, COMMON) == needle


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has that index and a sample")
def test_what_many_have_is_no_needle(token, monkeypatch):
    """A needle that finds thousands would cost more than it saves."""

    def needle(text):
        return user_list.Page(User.objects.sortable(), ("id",), (), 50, text).needle()

    address = User.objects.filter(email__startswith="zoe").values_list("email", flat=True)[0]
    assert len(needle(address)) >= 3
    assert needle(address) in address.partition("example")[0] + "e"
    monkeypatch.setattr(user_list, "FEW", -1)
    assert needle(address) == ""


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has a sample")
def test_a_table_that_was_never_analysed_has_no_common_letters():
    user_list.common_threes.cache_clear()
    assert user_list.common_threes("default", 0) == frozenset()
    user_list.common_threes.cache_clear()
