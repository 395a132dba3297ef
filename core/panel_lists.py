"""Lists of the panel whose pages cost the same, however many rows there are: by key, as the API's, never counted."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import connection, models
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.errors import BadRequest, Problem
from core.pagination import beyond, flipped, key_value, read_cursor, write_cursor
from core.panel_look import ChangeList, LookOnly

CURSOR = "cursor"
COUNTED = 5_000  # rows that are worth counting
PEOPLE = 100  # whom a search in a list of something else may mean
SEARCH_LENGTH = 254


class KeysetChangeList(ChangeList):
    """One page of a list: the rows beyond a key, and whether there are more on either side."""

    next_page = previous_page = ""
    about: int | None = None

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        query = request.GET.copy()
        self.cursor = query.pop(CURSOR, [None])[-1]  # no filter, and no part of the links to other orders
        request.GET = query  # type: ignore[assignment]
        super().__init__(request, *args, **kwargs)

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[str]:
        """The columns asked for, if the list knows them by a key; no other, since no index would serve it."""
        self.keys = list(self.model_admin.ordering)
        orderings, asked = self.model_admin.orderings, self.params.get(ORDER_VAR, "").split(".")[0]
        column = asked.removeprefix("-")
        name = {str(place): name for place, name in enumerate(self.list_display)}.get(column)
        if name in orderings:
            self.keys = [f"-{key}" if asked.startswith("-") else key for key in orderings[name]]
        return self.keys

    def get_results(self, request: HttpRequest) -> None:
        list_name = f"{request.path} {self.keys}"
        backwards, position = self.where(list_name)
        keys = [flipped(key) for key in self.keys] if backwards else self.keys
        page = self.queryset if position is None else self.queryset.filter(beyond(keys, position))
        rows = self.model_admin.first(request, page, keys, self.list_per_page + 1)
        has_more, rows = len(rows) > self.list_per_page, rows[: self.list_per_page]
        if backwards:
            rows.reverse()
        if rows and (has_more or backwards):
            self.next_page = self.link(rows[-1], False, list_name)
        if rows and (has_more if backwards else position is not None):
            self.previous_page = self.link(rows[0], True, list_name)
        self.model_admin.complete(rows)
        self.tell(request, rows)

    def where(self, list_name: str) -> tuple[bool, list[Any] | None]:
        try:
            return read_cursor(self.cursor, list_name) if self.cursor else (False, None)
        except Problem:
            return False, None  # of another order, or made up: from the beginning

    def link(self, row: Any, backwards: bool, list_name: str) -> str:
        values = [key_value(row, key.lstrip("-")) for key in self.keys]
        return str(self.get_query_string({CURSOR: write_cursor(backwards, values, list_name)}))

    def tell(self, request: HttpRequest, rows: list[Any]) -> None:
        """What Django's templates ask of a list. `result_count` beyond the rows says only that there are more."""
        is_all = not (self.next_page or self.previous_page)
        self.result_list = rows
        self.result_count = len(rows) if is_all else len(rows) + 1
        if not is_all and not (self.query or self.has_active_filters):
            self.about = about_how_many(self.model)
        self.full_result_count = None
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True
        self.paginator = Paginator(rows, self.list_per_page)


class AskedFilter(admin.SimpleListFilter):
    """A filter at the side. `asked` says what was chosen, in the words of the API's filters of the same list."""

    choices_: ClassVar[tuple[tuple[str, Any], ...]] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return self.choices_

    def asked(self) -> dict[str, str]:
        value = self.value()
        if value is None:
            return {}
        if value not in {str(choice) for choice, _words in self.lookup_choices}:
            raise IncorrectLookupParameters(f"{self.parameter_name}={value!r}")
        return self.said(value)

    def said(self, value: str) -> dict[str, str]:
        return {str(self.parameter_name): value}

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return self.narrowed(queryset, self.asked()) if self.value() is not None else queryset

    def narrowed(self, queryset: Any, asked: dict[str, str]) -> Any:
        return queryset.filter(**asked)


class AgeFilter(AskedFilter):
    """The last day, week or month, or what is older; `column` is a moment with an index."""

    column = ""
    DAYS: ClassVar[dict[str, int]] = {"1": 1, "7": 7, "30": 30}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return (
            ("1", _("The last 24 hours")),
            ("7", _("The last 7 days")),
            ("30", _("The last 30 days")),
            ("older", _("Longer ago")),
        )

    def said(self, value: str) -> dict[str, str]:
        since = timezone.now() - timedelta(days=self.DAYS.get(value, 30))
        return {f"{self.column}__{'lt' if value == 'older' else 'gte'}": since.isoformat()}


class PanelList(LookOnly):
    """A list by key. `ordering` is the key; `orderings` are those that a click on a column gives.

    Only the list's own filters narrow it: Django's would take any column, and letter by letter that tells a hash.
    """

    orderings: ClassVar[dict[str, tuple[str, ...]]] = {}
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return KeysetChangeList

    def get_sortable_by(self, request: HttpRequest) -> Any:
        return list(self.orderings)

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        return lookup in {filter_.parameter_name for filter_ in self.list_filter}

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if request.method == "POST":
            self.refuse_forged(request)
        return super().changelist_view(request, extra_context)

    def refuse_forged(self, request: HttpRequest) -> None:
        """Django would take an action that one may not do for a slip, and stumble over what is no id."""
        if request.POST.get("action") not in self.get_actions(request):
            raise PermissionDenied
        if request.POST.get("select_across") != "1":
            try:
                for ticked in request.POST.getlist(ACTION_CHECKBOX_NAME):
                    self.model._meta.pk.to_python(ticked)
            except ValidationError:
                raise BadRequest from None

    def first(self, request: HttpRequest, rows: Any, keys: list[str], number: int) -> list[Any]:
        return list(rows.order_by(*keys)[:number])

    def complete(self, rows: list[Any]) -> None:
        """Fetch what the rows of a page need beside themselves, in as many questions as one row would take."""

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        text = search_term.strip()
        if len(text) > SEARCH_LENGTH or "\x00" in text:
            messages.error(request, _("That is too long or cannot be searched for."))
            return queryset.none(), False
        return (self.found(queryset, text) if text else queryset), False

    def found(self, queryset: Any, text: str) -> Any:
        return queryset.none()


def people(text: str) -> list[Any]:
    """The ids of whom a search may mean, the newest first; so that lists of other things find by their owners."""
    users: Any = get_user_model()._default_manager
    return list(users.search(text).order_by("-created_at", "-id").values_list("pk", flat=True)[:PEOPLE])


def addresses_of(ids: Iterable[Any]) -> dict[Any, str]:
    """Whom the rows of a page speak of, in one question."""
    users: Any = get_user_model()._default_manager
    return dict(users.filter(pk__in=set(ids) - {None}).values_list("pk", "email"))


def about_how_many(model: type[models.Model]) -> int:
    """Exactly while counting is quick; beyond that what the database remembers, which may be a little behind."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [table])
        else:
            cursor.execute(f"SELECT max(rowid) FROM {connection.ops.quote_name(table)}")  # noqa: S608
        remembered = int(cursor.fetchone()[0] or 0)
    # PostgreSQL remembers nothing before it has first looked at a table, however large.
    return remembered if remembered > COUNTED else model._default_manager.values("pk")[: COUNTED + 1].count()
