"""What is asked over one connection, again and again. A subject's operation is a function that makes such a script."""

import itertools
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from bench.load import Refused, Script, request

Make = Callable[[str, Any, Any], Script]
"""Of (host, what a log-in answered, what that of the administrator did)."""
LogIn = Callable[[str, int], bytes]

PASSWORD = "correct horse battery staple"
ADDRESS = "firstname.lastname{}@example.org"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TURNED_AWAY = 503

newcomers = itertools.count(1)


def identity(pair: Any) -> dict[str, str]:
    if "meta" in pair:  # allauth's
        return {"X-Session-Token": pair["meta"]["session_token"]}
    return {"Authorization": f"Bearer {pair.get('access') or pair['access_token']}"}


def post(path: str, host: str, body: Any, headers: dict[str, str] | None = None) -> bytes:
    return request("POST", path, host, {**(headers or {}), **JSON}, json.dumps(body).encode())


def post_form(path: str, host: str, **fields: str) -> bytes:
    body = "&".join(f"{name}={quote_plus(value)}" for name, value in fields.items())
    return request("POST", path, host, FORM, body.encode())


def expect(status: int, body: bytes) -> None:
    """Being turned away is counted by itself; anything else but a success leaves nothing to measure."""
    if status != TURNED_AWAY and not 200 <= status < 300:
        raise Refused(f"{status} {body[:300]!r}")


def repeat(data: bytes) -> Script:
    while True:
        expect(*(yield data))


def get(path: str) -> Make:
    return lambda host, pair, admin: repeat(request("GET", path, host, identity(pair)))


def get_as_admin(path: str) -> Make:
    return lambda host, pair, admin: repeat(request("GET", path, host, identity(admin)))


def deep_page(host: str, pair: Any, admin: Any) -> Script:
    """Nine tenths down the list, where `Subject.find_deep_page` has found it."""
    return repeat(request("GET", admin["deep page"], host, identity(admin)))


def refreshing(path: str) -> Make:
    """Each refresh with the token that the one before gave."""

    def script(host: str, pair: Any, admin: Any) -> Script:
        while True:
            status, body = yield post(path, host, {"refresh": pair["refresh"]})
            expect(status, body)
            pair.update(json.loads(body))

    return script


def mixed(me: str, refresh: str, page: str) -> Make:
    """Of twenty requests sixteen `me`, three refreshes, one list."""

    def script(host: str, pair: Any, admin: Any) -> Script:
        for turn in itertools.count(pair["number"] * 7):  # so that not everybody lists at once
            if turn % 20 in (3, 9, 15):
                status, body = yield post(refresh, host, {"refresh": pair["refresh"]})
                pair.update(json.loads(body))
            else:
                path, token = (page, admin) if turn % 20 == 19 else (me, pair)
                status, body = yield request("GET", path, host, identity(token))
            expect(status, body)

    return script


def logging_in(log_in: LogIn) -> Make:
    return lambda host, pair, admin: repeat(log_in(host, pair["number"]))


def signing_up(path: str, with_username: bool = True) -> Make:
    """Each time somebody new."""

    def script(host: str, pair: Any, admin: Any) -> Script:
        for number in newcomers:
            body = {"email": f"newcomer{number}@example.org", "password": PASSWORD}
            username = {"username": f"newcomer{number}"} if with_username else {}
            expect(*(yield post(path, host, body | username)))

    return script
