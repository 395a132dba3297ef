"""Which language an answer speaks: that of the account, else the browser's, else English."""

from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import translation

from accounts.models import User
from accounts.tests.factories import PASSWORD, UserFactory, signed_in
from accounts.tests.mailbox import code_in_mail
from accounts.tests.scene import letter
from core.language import LanguageMiddleware, preferred
from core.logs import dict_config
from mail.models import OutgoingMail
from tests.world import FORM

pytestmark = pytest.mark.django_db
RUSSIAN = {"Accept_Language": "ru-RU,ru;q=0.9,en;q=0.5"}
ENGLISH = {"Accept_Language": "en-GB,en;q=0.9,ru;q=0.5"}


def token_of(language):
    return signed_in(UserFactory(language=language)).pair.access


def language_of(response):
    """What the header says, after a look whether the words agree."""
    has_cyrillic = any("а" <= letter <= "я" for letter in response.json()["title"].lower())
    assert has_cyrillic == (response["Content-Language"] == "ru")
    assert "Accept-Language" in response["Vary"]
    return response["Content-Language"]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("ru", "ru"),
        ("RU", "ru"),
        ("ru-RU", "ru"),
        ("ru-Latn-UA", "ru"),
        ("uk, ru;q=0.8, en;q=0.9", "en"),
        ("uk, ru;q=0.9, en;q=0.8", "ru"),
        ("de-DE, fr", "en"),
        ("*", "en"),
        ("*, ru;q=0.5", "en"),
        ("de, *;q=0.9, ru;q=0.5", "en"),
        ("ru;q=0", "en"),
        ("../../../etc/passwd", "en"),
        ("ru\x00", "en"),
        ("ru;q=banana", "en"),
        ("é", "en"),
        (",,,;;;", "en"),
        ("a-" * 5000, "en"),
        ("x, " * 5000 + "ru", "en"),
        ("de, " * 100 + "ru", "ru"),
    ],
)
def test_the_first_of_our_languages_that_a_browser_names_is_preferred(header, language):
    assert preferred(header) == language


def test_a_stranger_is_answered_in_the_language_of_the_browser(api):
    body = {"email": "nobody@example.org", "password": "x"}
    assert language_of(api.post("/auth/login", body, **RUSSIAN)) == "ru"
    assert language_of(api.post("/auth/login", body, **ENGLISH)) == "en"
    assert language_of(api.post("/auth/login", body)) == "en"


@pytest.mark.parametrize("browser", [RUSSIAN, ENGLISH, {}])
@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_language_of_the_account_comes_before_that_of_the_browser(api, language, browser):
    token = token_of(language)
    assert language_of(api.get("/users", token=token, **browser)) == language
    assert language_of(api.patch("/users/me", {"language": "xx"}, token=token, **browser)) == language


def test_no_code_and_no_status_depends_on_the_language(api):
    body = {"email": "not an address", "password": "short", "username": "?"}
    first, second = api.post("/auth/signup", body, **RUSSIAN), api.post("/auth/signup", body, **ENGLISH)

    def bare(answer):
        return [(entry["field"], entry["code"]) for entry in answer.json()["errors"]]

    assert (first.status_code, bare(first)) == (second.status_code, bare(second))
    assert first.json()["code"] == second.json()["code"] == "validation_error"
    assert all(a["detail"] != b["detail"] for a, b in zip(first.json()["errors"], second.json()["errors"], strict=True))


def test_no_request_hears_the_language_of_the_one_before_it(api):
    token = token_of("ru")
    api.get("/users", token=token)
    assert translation.get_language() == settings.LANGUAGE_CODE
    assert language_of(api.post("/auth/login", {"email": "nobody@example.org", "password": "x"})) == "en"


def test_a_crash_leaves_no_language_behind():
    def crash(request):
        raise RuntimeError

    request = RequestFactory().get("/", headers={"Accept-Language": "ru"})
    with pytest.raises(RuntimeError):
        LanguageMiddleware(crash)(request)
    assert translation.get_language() == settings.LANGUAGE_CODE


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nowhere", 404),
        ("PUT", "/api/v1/auth/login", 405),
        ("PUT", "/healthz", 405),
        ("POST", "/api/v1/users/me", 405),
        ("GET", "/api/v1/users/me", 401),
    ],
)
def test_what_never_reaches_a_view_speaks_too(api, method, path, status):
    response = api.call(method, path, **RUSSIAN)
    assert (response.status_code, language_of(response)) == (status, "ru")


def test_an_answer_without_words_names_no_language(api):
    response = api.get("/users/me", token=token_of("ru"), **RUSSIAN)
    assert response.status_code == 200
    assert "Content-Language" not in response
    assert "Accept-Language" not in response.get("Vary", "")


def test_what_is_told_after_success_is_told_in_the_language_too(api):
    answers = [api.post("/auth/password/forgot", {"email": "a@example.org"}, **header) for header in (RUSSIAN, ENGLISH)]
    assert [answer["Content-Language"] for answer in answers] == ["ru", "en"]
    assert answers[0].json()["detail"] == "Если у этого адреса есть учётная запись, письмо уже в пути."
    assert answers[1].json()["detail"] == "If the address has an account, a mail is on its way."


def test_the_token_endpoint_keeps_to_the_ascii_of_rfc_6749(client):
    form = urlencode({"grant_type": "password", "username": "nobody@example.org", "password": "x"})
    response = client.post("/api/v1/auth/token", form, FORM, headers={"Accept-Language": "ru"})
    assert response.status_code == 400
    assert response.content.isascii()
    assert b"\\u" not in response.content
    assert response.json()["error_description"] == "No account fits this name and password."


def test_the_api_documents_stay_english_whoever_asks_first(client, monkeypatch):
    from config import views

    views._document.cache_clear()
    first = client.get("/api/schema", headers={"Accept-Language": "ru", "Accept": "application/vnd.oai.openapi+json"})
    asked = client.get("/api/schema?lang=ru", headers={"Accept": "application/vnd.oai.openapi+json"})
    views._document.cache_clear()
    assert first.content == asked.content
    assert not any("а" <= letter <= "я" for letter in first.content.decode().lower())


def test_the_line_in_the_log_stays_english(api, caplog):
    assert dict_config("INFO", "json", "")
    api.post("/auth/login", {"email": "nobody@example.org", "password": "x"}, **RUSSIAN)
    assert caplog.records
    assert all(letter < "а" or letter > "я" for record in caplog.records for letter in record.getMessage().lower())


def test_who_signs_up_without_a_language_gets_that_of_the_browser(api):
    api.post("/auth/signup", {"email": "ann@example.org", "password": PASSWORD}, **RUSSIAN)
    api.post("/auth/signup", {"email": "bob@example.org", "password": PASSWORD, "language": "en"}, **RUSSIAN)
    api.post("/auth/signup", {"email": "cid@example.org", "password": PASSWORD})
    assert dict(User.objects.values_list("email", "language")) == {
        "ann@example.org": "ru",
        "bob@example.org": "en",
        "cid@example.org": "en",
    }
    assert letter("verify", "ann@example.org").language == "ru"
    assert code_in_mail("ann@example.org")


def test_the_owner_of_a_taken_address_is_mailed_in_the_language_of_the_owner(api):
    UserFactory(email="ann@example.org", language="en")
    api.post("/auth/signup", {"email": "ann@example.org", "password": PASSWORD}, **RUSSIAN)
    assert OutgoingMail.objects.get(to="ann@example.org").language == "en"
    assert User.objects.get(email="ann@example.org").language == "en"


def test_a_page_says_its_language_and_that_the_browser_chose_it(client):
    response = client.get("/admin/login/", headers={"Accept-Language": "ru"})
    assert response["Content-Language"] == "ru"
    assert "Accept-Language" in response["Vary"]
    assert '<html lang="ru"' in response.content.decode()


def test_the_documents_pages_do_not_claim_a_language():
    request = RequestFactory().get("/api/docs", headers={"Accept-Language": "ru"})
    request.user = AnonymousUser()
    response = LanguageMiddleware(lambda _: HttpResponse("<html>"))(request)
    assert "Content-Language" not in response
