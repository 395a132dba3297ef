"""Nothing that we say to people stays English for somebody who reads Russian."""

import ast
import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polib
import pytest
from django.conf import settings
from django.contrib.auth.password_validation import get_default_password_validators, validate_password
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import translation
from rest_framework import serializers

from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.scene import administrator
from core.errors import Problem
from tests.operations import Operation, operations, schema
from tests.test_docs import all_problems
from tests.world import World, build, holder, send

ROOT = Path(settings.BASE_DIR)
SCRIPT = ROOT / "scripts" / "words.py"
APPS = ("config", "accounts", "rbac", "mail", "audit", "core")
NOT_FOR_PEOPLE = {"tests", "migrations", "management"}  # commands speak to operators, in English
SOURCES = [f for app in APPS for f in sorted((ROOT / app).rglob("*.py")) if not NOT_FOR_PEOPLE & set(f.parts)]


def load() -> Any:
    spec = importlib.util.spec_from_file_location("words", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


words = load()


# --- The catalogs ---------------------------------------------------------------------------------------------------


def test_every_text_is_in_its_catalog_translated_and_compiled() -> None:
    assert list(words.faults()) == []


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An app of its own for the script, with one text in Python and two in a template."""
    monkeypatch.setattr(words, "ROOT", tmp_path)
    monkeypatch.setattr(words, "APPS", ("shop",))
    (tmp_path / "shop" / "templates").mkdir(parents=True)
    (tmp_path / "shop" / "views.py").write_text('told = _("Tea is ready")\nplain = "not a text"\n')
    template = '{% load i18n %}{% translate "Pour (it)" %}{% blocktranslate %}For {{ name }}{% endblocktranslate %}'
    (tmp_path / "shop" / "templates" / "tea.html").write_text(template)
    return tmp_path / "shop"


def fill(shop: Path, **changes: Any) -> polib.POFile:
    path = words.path_of("shop", "ru")
    catalog = polib.pofile(str(path))
    for entry in catalog:
        entry.msgstr = f"по-русски: {entry.msgid}"
    path.write_text(f"{catalog}")
    words.write()
    return catalog


def test_it_finds_texts_in_python_and_in_templates(shop: Path) -> None:
    words.write()
    assert [fault.partition(": not translated: ")[2] for fault in words.faults()] == [
        "Tea is ready",
        "Pour (it)",
        "For %(name)s",
    ]
    fill(shop)
    assert list(words.faults()) == []


def test_it_finds_a_text_that_no_catalog_has(shop: Path) -> None:
    words.write()
    fill(shop)
    (shop / "more.py").write_text('_("And cake")\n')
    assert any("And cake" in fault for fault in words.faults())


def test_it_finds_a_translation_that_was_guessed(shop: Path) -> None:
    words.write()
    fill(shop)
    path = words.path_of("shop", "ru")
    path.write_text(path.read_text().replace('msgid "Tea is ready"', '#, fuzzy\nmsgid "Tea is ready"'))
    assert any("fuzzy: Tea is ready" in fault for fault in words.faults())


def test_it_finds_a_catalog_that_was_compiled_before_the_last_change(shop: Path) -> None:
    words.write()
    fill(shop)
    path = words.path_of("shop", "ru")
    path.write_text(path.read_text().replace("по-русски: Tea", "Чай"))
    assert [fault.partition(": ")[2] for fault in words.faults()] == ["compiled for another text; run scripts/words.py"]


def test_a_text_that_has_gone_leaves_its_catalog(shop: Path) -> None:
    words.write()
    fill(shop)
    (shop / "views.py").write_text("")
    words.write()
    assert "Tea" not in words.path_of("shop", "ru").read_text()


@pytest.mark.parametrize("app", APPS)
def test_a_translation_keeps_what_is_put_into_the_text(app: str) -> None:
    for entry in polib.pofile(str(words.path_of(app, "ru"))):
        for pattern in (r"%\(\w+\)[sd]", r"\{\w+[^}]*\}", r"`[^`]+`"):
            for said in entry.msgstr_plural.values() if entry.msgid_plural else [entry.msgstr]:
                assert set(re.findall(pattern, entry.msgid)) == set(re.findall(pattern, said)), entry.msgid


def test_one_text_has_one_translation() -> None:
    """Django merges the catalogs, so of two the first app's would count everywhere."""
    known: dict[str, str] = {}
    for app in APPS:
        for entry in polib.pofile(str(words.path_of(app, "ru"))):
            assert known.setdefault(entry.msgid, entry.msgstr) == entry.msgstr, entry.msgid


# --- In the source: whatever people read goes through gettext -------------------------------------------------------

SPEAKING = {"field_error": 2, "ValidationError": 0, "ErrorDetail": 0, "told": 0, "RegexValidator": 1}
"""Calls, and the place of the words in them; besides, whatever is raised."""
SPOKEN_KEYS = {"detail", "invalid", "required", "blank"}
SPOKEN_NAMES = {"title", "default_detail", "index_title", "label", "search_help_text", "short_description"}
SPOKEN_KEYWORDS = {"label", "message"}
# Documents of the API, which stay English, and facts for programs.
DOCUMENTS = {"core/openapi.py"}


def bare_words(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each sentence for people that no gettext translates."""
    for node in ast.walk(ast.parse(source)):
        for value in spoken(node):
            if text := sentence(value):
                yield value.lineno, text


def spoken(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions that hold words for people."""
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        place = SPEAKING.get(name, 0 if name in PROBLEMS else None)
        yield from node.args[place : place + 1] if place is not None else ()
        yield from (keyword.value for keyword in node.keywords if keyword.arg in SPOKEN_KEYWORDS)
    elif isinstance(node, ast.Dict):
        yield from (v for k, v in zip(node.keys, node.values, strict=True) if getattr(k, "value", None) in SPOKEN_KEYS)
    elif isinstance(node, ast.Assign):
        targets = {getattr(target, "id", getattr(target, "attr", "")) for target in node.targets}
        yield from [node.value] if targets & SPOKEN_NAMES else ()
    elif isinstance(node, ast.FunctionDef) and node.name == "get_help_text":
        yield from (inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return) and inner.value)


def sentence(value: ast.expr | None) -> str:
    """Its text, if it is one that stands there bare: also within a list or a dict, or with values put in."""
    if isinstance(value, ast.JoinedStr):
        return ast.unparse(value)
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value if re.search(r"[A-Za-z] |\.$", value.value) else ""
    inner = value.elts if isinstance(value, ast.List) else value.values if isinstance(value, ast.Dict) else []
    return next((text for text in map(sentence, inner) if text), "")


PROBLEMS = {kind.__name__ for kind in all_problems()}


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_no_words_for_people_are_left_bare(file: Path) -> None:
    if file.relative_to(ROOT).as_posix() not in DOCUMENTS:
        assert list(bare_words(file.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        'raise NotFound("There is no tea.")',
        'raise ServiceUnavailable(f"Away: {name}.")',
        'raise field_error("tea", "cold", "It is cold.")',
        'raise field_error("tea", "cold", "Cold.")',
        'raise ValidationError({"tea": ["It is cold."]})',
        'raise serializers.ValidationError("It is cold.", "cold")',
        'errors = [{"field": "tea", "code": "cold", "detail": "It is cold."}]',
        'class Cold(Problem):\n    title = "Too cold"',
        'class Cold(Problem):\n    default_detail = "It is cold."',
        'field = RegexField("x", error_messages={"invalid": "Six digits."})',
        'check = RegexValidator("x", "Use letters only.")',
        'def get_help_text(self):\n    return "Not cold."',
        'def get_help_text(self):\n    return f"At most {n} degrees."',
        'self.fields["tea"].label = "Tea or coffee"',
        'return told("Tea is on its way.")',
    ],
)
def test_it_sees_words_that_are_bare(source: str) -> None:
    assert list(bare_words(source))


@pytest.mark.parametrize(
    "source",
    [
        'raise NotFound(_("There is no tea."))',
        'raise field_error("tea", "cold", _("It is %(how)s cold.") % {"how": how})',
        'raise ValidationError({"tea": [_("It is cold.")]})',
        'class Cold(Problem):\n    code = "too_cold"\n    title = _("Too cold")',
        'def get_help_text(self):\n    return gettext("Not cold.")',
    ],
)
def test_it_leaves_words_alone_that_are_wrapped(source: str) -> None:
    assert not list(bare_words(source))


# --- At run time: everything, in Russian ----------------------------------------------------------------------------


def is_russian(text: str) -> bool:
    """Has Russian letters, and no two Latin words in a row but in code, quotations, headers and paths."""
    bare = re.sub(r"`[^`]*`|«[^»]*»|\"[^\"]*\"|\S*[/_]\S*", "…", text)
    return bool(re.search("[а-яё]", bare, re.IGNORECASE)) and not re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", bare)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Пришлите `Authorization: Bearer <access token>`.", True),
        ("Сначала подтвердите адрес: POST /api/v1/auth/verify.", True),
        ("Not found", False),
        ("Заголовок does not fit", False),
        ("Adresse", False),
    ],
)
def test_it_knows_russian_when_it_sees_it(text: str, expected: bool) -> None:
    assert is_russian(text) == expected


@pytest.mark.parametrize("kind", all_problems(), ids=lambda kind: kind.__name__)
def test_every_problem_speaks_russian(kind: type[Problem]) -> None:
    problem = kind()
    with translation.override("ru"):
        body = problem.body("x")
    assert is_russian(body["title"])
    assert is_russian(body["detail"].replace("Authorization: Bearer", "")) or "`" in body["detail"]
    assert problem.body("x")["title"] != body["title"], "it is said anew each time"


def all_serializers() -> list[type[serializers.BaseSerializer[Any]]]:
    modules = ("accounts.serializers.auth", "accounts.serializers.users", "accounts.serializers.myself")
    loaded = [importlib.import_module(name) for name in (*modules, "rbac.serializers", "audit.serializers")]
    found = {value for module in loaded for value in vars(module).values() if isinstance(value, type)}
    ours = [f for f in found if issubclass(f, serializers.BaseSerializer) and not f.__module__.startswith("rest_")]
    return sorted(ours, key=lambda found: found.__name__)


def texts_of(field: Any) -> Iterator[str]:
    """All that a field, and those in it, can find wrong."""
    yield from (str(text) for text in field.error_messages.values())
    yield from (str(v.message) for v in field.validators if hasattr(v, "message"))
    for inner in [*getattr(field, "fields", {}).values(), getattr(field, "child", None)]:
        if inner is not None:
            yield from texts_of(inner)


@pytest.mark.parametrize("kind", all_serializers(), ids=lambda kind: kind.__name__)
def test_every_error_of_a_serializer_is_russian(kind: Any) -> None:
    with translation.override("ru"):
        assert [text for text in texts_of(kind()) if not is_russian(text)] == []


@pytest.mark.parametrize(
    "password", ["short", "x" * 2000, "with\x00nul-inside", "password1", "annexample1", "trustno1"]
)
def test_every_rule_of_passwords_speaks_russian(password: str) -> None:
    user = UserFactory.build(email="annexample1@example.org", username="annexample1")
    with translation.override("ru"):
        assert all(is_russian(rule.get_help_text()) for rule in get_default_password_validators())
        with pytest.raises(ValidationError) as refused:
            validate_password(password, user)
        assert [text for text in refused.value.messages if not is_russian(text)] == []


WRONG = [None, "", 1, True, "\x00", "\ud800", "x" * 5000, [], [1], {}, "x x", "9999-12-31T23:59:59-14:00", ["a"] * 2000]


def details(response: Any) -> list[str]:
    if not 400 <= response.status_code < 500 or response["Content-Type"] != "application/problem+json":
        return []
    body = response.json()
    assert response["Content-Language"] == "ru"
    return [body["title"], body["detail"], *(entry["detail"] for entry in body.get("errors", []))]


@pytest.mark.django_db
@pytest.mark.parametrize("operation", [o for o in operations() if "requestBody" in o.spec], ids=lambda o: o.name)
def test_whatever_is_wrong_with_a_body_is_said_in_russian(operation: Operation) -> None:
    world: World = build()
    expected = operation.expected
    user, token = holder(world, expected.needs if ":" in expected.needs else None)
    type(user).objects.update(language="ru")
    url, body, heard = operation.url(world, user), expected.body(world, user), []
    for wrong in [{}, *({**body, name: value} for name in properties(operation) for value in WRONG)]:
        if expected.form:
            continue
        response = send(operation.method, url, wrong, token, headers={"Accept-Language": "ru"})
        heard += details(response)
    assert [text for text in heard if not is_russian(text)] == []


def properties(operation: Operation) -> list[str]:
    [media] = operation.spec["requestBody"]["content"].values()
    component = media["schema"]["$ref"].rpartition("/")[2]
    return list(schema()["components"]["schemas"][component]["properties"])


@pytest.mark.django_db
@pytest.mark.parametrize("operation", [o for o in operations() if o.parameters("query")], ids=lambda o: o.name)
def test_whatever_is_wrong_with_a_query_is_said_in_russian(operation: Operation) -> None:
    world: World = build()
    user, token = holder(world, operation.expected.needs)
    heard = []
    for parameter in operation.parameters("query"):
        for value in ("", "banana", "%00", "-1", "9" * 500):
            url = f"{operation.url(world, user)}?{parameter['name']}={value}"
            type(user).objects.update(language="ru")
            heard += details(send(operation.method, url, None, token))
    assert heard
    assert [text for text in heard if not is_russian(text)] == []


# --- The panel ------------------------------------------------------------------------------------------------------


@pytest.fixture
def panel(db: None) -> Client:
    user = administrator(is_staff=True, language="ru")
    client = Client(HTTP_HOST="127.0.0.1")
    client.post("/admin/login/?next=/admin/", {"username": user.email, "password": PASSWORD})
    return client


def visible(page: Any) -> str:
    """What is read: without markup, scripts, and what is data."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", page.content.decode(), flags=re.DOTALL)
    return re.sub(r"<[^>]+>", "\n", text)


def labels(page: Any) -> list[str]:
    """Headings, labels, columns and links of lists in a page of the panel."""
    html = page.content.decode()
    parts = re.findall(r'<(h1|h2|th(?=[^>]* scope="col")|label|caption)\b[^>]*>(.*?)</', html, re.DOTALL)
    found = [re.sub(r"<[^>]+>", " ", part).strip() for _, part in parts]
    return [text for text in found if text and text != settings.SITE_NAME]


def test_the_door_of_the_panel_is_russian_for_a_russian_browser(db: None) -> None:
    client = Client(HTTP_HOST="127.0.0.1", headers={"Accept-Language": "ru"})
    page = client.post("/admin/login/", {"username": "nobody@example.org", "password": "x"})
    assert "Учётной записи с таким именем и паролем нет." in visible(page)
    assert "Адрес электронной почты или имя пользователя" in visible(page)


def test_the_door_of_the_panel_is_english_for_anybody_else(db: None) -> None:
    page = Client(HTTP_HOST="127.0.0.1").post("/admin/login/", {"username": "nobody@example.org", "password": "x"})
    assert "No account fits this name and password." in visible(page)
    assert "E-mail or username" in visible(page)


LISTS = [
    *("accounts/user", "accounts/session", "accounts/challenge", "accounts/knownplace", "accounts/failedlogins"),
    *("accounts/counter", "rbac/role", "rbac/permission", "rbac/rolegrant", "audit/event", "mail/outgoingmail"),
]


@pytest.mark.parametrize("path", ["", *(f"{name}/" for name in LISTS)])
def test_every_heading_and_column_of_the_panel_is_russian(panel: Client, path: str) -> None:
    page = panel.get(f"/admin/{path}")
    assert page.status_code == 200
    found = [text for text in labels(page) if text.lower() not in {"id", "jti"}]
    assert found
    assert [text for text in found if not re.search("[а-яё]", text, re.IGNORECASE)] == []


def test_every_label_of_a_person_in_the_panel_is_russian(panel: Client) -> None:
    user = UserFactory(language="ru", first_name="Анна", last_name="Ли")
    page = panel.get(f"/admin/accounts/user/{user.pk}/change/")
    found = [text for text in labels(page) if text not in {"Id", "Id:", user.email}]
    assert len(found) > 10
    assert [text for text in found if not re.search("[а-яё]", text, re.IGNORECASE)] == []


def test_a_wrong_password_is_refused_in_russian(panel: Client) -> None:
    page = panel.post(
        "/admin/password_change/",
        {"old_password": "x", "new_password1": "Purple-anvil-77", "new_password2": "Purple-anvil-77"},
    )
    assert "Это не ваш нынешний пароль." in visible(page)
