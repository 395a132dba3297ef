"""A person with a browser, without JavaScript: keeps cookies, fills forms in, and sends what stands hidden in them."""

import re
from html import unescape
from typing import Any

from django.test import Client

from accounts.cookies import name_of
from accounts.tests.factories import PASSWORD

HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')
TAG = re.compile(r"<[^>]+>")


class Browser:
    def __init__(self, ip: str = "192.0.2.9", **headers: str) -> None:
        self.client = Client(enforce_csrf_checks=True, HTTP_HOST="127.0.0.1", REMOTE_ADDR=ip, headers=headers)

    def open(self, path: str, **query: str) -> Any:
        return self.client.get(path, query)

    def send(self, path: str, *, origin: str | None = None, query: str = "", **fields: str) -> Any:
        """Open the page, fill its form in, and send it."""
        shown = text(self.client.get(path + query))
        return self.post(path, origin=origin, **{**hidden_in(shown, path), **fields})

    def post(self, path: str, *, origin: str | None = None, **fields: str) -> Any:
        """Just send it, with the CSRF token of the cookie unless `fields` has one."""
        kept = self.client.cookies.get("csrftoken")
        token = {"csrfmiddlewaretoken": kept.value} if kept else {}
        return self.client.post(path, {**token, **fields}, headers={"Origin": origin} if origin else {})

    def sign_in(self, user: Any, password: str = PASSWORD, **fields: str) -> Any:
        response = self.send("/account/login", email=user.email, password=password, **fields)
        assert response.status_code == 302, response.content.decode()
        return response

    def is_in(self) -> bool:
        response = self.open("/account")
        assert response.status_code in (200, 302)
        return bool(response.status_code == 200)

    def has(self) -> set[str]:
        return {name for name, morsel in self.client.cookies.items() if morsel.value}

    def cookie(self, kind: Any) -> str:
        return str(self.client.cookies[name_of(kind)].value)

    def put(self, kind: Any, value: str) -> None:
        self.client.cookies[name_of(kind)] = value

    def lose(self, kind: Any) -> None:
        del self.client.cookies[name_of(kind)]

    def borrow(self, other: "Browser", *names: str) -> None:
        """The cookies of another, as a thief has them."""
        self.client.cookies.load({name: other.client.cookies[name].value for name in names or other.has()})


def hidden_in(page: str, path: str) -> dict[str, str]:
    """The hidden fields of the form that goes to `path`."""
    forms = re.findall(rf'<form method="post" action="{re.escape(path)}">.*?</form>', page, re.DOTALL)
    return {name: unescape(value) for name, value in HIDDEN.findall(forms[0] if forms else "")}


def text(response: Any) -> str:
    assert response["Content-Type"] == "text/html; charset=utf-8", response.content
    return str(response.content.decode())


def told(response: Any, field: str = "") -> str:
    """What is said beside this field, or above the form."""
    page = text(response)
    found = re.findall(rf'<strong role="alert" id="{field}_error">(.*?)</strong>' if field else
                       r'<p role="alert">(.*?)</p>', page, re.DOTALL)  # fmt: skip
    return unescape(TAG.sub("", " ".join(found)))


def leads_to(response: Any) -> str:
    assert response.status_code == 302, response.content.decode()
    assert not response.content
    return str(response["Location"])
