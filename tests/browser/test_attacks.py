"""What another site can make a browser do to us, tried with a real one: nothing."""

import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from html import escape
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import BrowserContext, Page

from accounts.tests.test_page_sign_in import EVIL, HIDING
from accounts.tests.test_page_sign_in import FORMS as PAGE_FORMS
from tests.browser.conftest import IN_A_BROWSER, PASSWORD, Site, Visitors, fill_in, press, sign_up
from tests.operations import operations
from tests.snapshot import LOGS

pytestmark = IN_A_BROWSER
FORMS = {**PAGE_FORMS, "/admin/logout/": {}, "/admin/login/": {"username": "x", "password": PASSWORD}}
SAFE = ("GET", "HEAD", "OPTIONS")


class Evil(BaseHTTPRequestHandler):
    """Shows a form that goes to the `target`, with the CSRF token of the cookie if the browser sent it one: cookies
    know no ports. Or a frame with the target in it."""

    site = ""

    def do_GET(self) -> None:
        path, _, target = self.path.partition("?")
        cookie = SimpleCookie(self.headers.get("Cookie", ""))
        token = cookie["csrftoken"].value if "csrftoken" in cookie else "a" * 64
        fields = {**FORMS.get(target, {}), "csrfmiddlewaretoken": token}
        inputs = "".join(f'<input name="{name}" value="{escape(value)}">' for name, value in fields.items())
        form = f'<form method="post" action="{self.site}{target}">{inputs}<button>Win</button></form>'
        frame = f'<iframe src="{self.site}{target}"></iframe>'
        body = f"<!doctype html><title>Evil</title>{frame if path == '/frame' else form}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Referrer-Policy", "no-referrer" if path == "/hidden" else "unsafe-url")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def evil(http: Site) -> Iterator[int]:
    """The port of a server for every name of this machine. By `localhost` it is another site than 127.0.0.1; by
    127.0.0.1 it is another origin of the same site, which SameSite does not keep out."""
    Evil.site = http.url
    server = ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.fixture(scope="module")
def victim(http: Site, chromium: Any) -> Iterator[BrowserContext]:
    context = chromium.new_context(base_url=http.url)
    page = context.new_page()
    sign_up(http, page, "victim@example.org")
    page.goto("/account/login")
    yield context
    context.close()


def state(site: Site) -> dict[str, list[Any]]:
    """Every row that may not change, once nothing moves any more: mails are sent a moment after they were written."""
    with sqlite3.connect(site.database) as database:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")} - LOGS
        return {table: sorted(database.execute(f'SELECT * FROM "{table}"'), key=repr) for table in tables}


def settled(site: Site) -> dict[str, list[Any]]:
    found = state(site)
    for _ in range(40):
        time.sleep(0.15)
        again = state(site)
        if again == found:
            return found
        found = again
    raise AssertionError("it never stands still")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_no_form_of_another_origin_changes_anything(http: Site, victim: BrowserContext, evil: int, host: str) -> None:
    """With the right CSRF token even, which a neighbour on the same host can see over plain HTTP."""
    before, page = settled(http), victim.new_page()
    for target in FORMS:
        for manner in ("form",) if host == "localhost" or target in HIDING else ("form", "hidden"):
            page.goto(f"http://{host}:{evil}/{manner}?{target}")
            with page.expect_navigation() as answer:
                page.get_by_role("button").click()
            assert answer.value.status == 403, (target, manner)
    assert settled(http) == before
    page.goto("/account")
    assert page.url == f"{http.url}/account", "still signed in"
    page.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_no_script_of_another_origin_changes_anything(http: Site, victim: BrowserContext, evil: int, host: str) -> None:
    """By every call of the API that could: POST without asking us first, as scripts may, and what they must ask for."""
    before, page = settled(http), victim.new_page()
    unsafe = [operation for operation in operations() if operation.method not in SAFE]
    paths = [re.sub(r"{\w+}", str(uuid4()), operation.path) for operation in unsafe]
    page.goto(f"http://{host}:{evil}/")
    for operation, path in zip(unsafe, paths, strict=True):
        manners = ("no-cors", "cors") if operation.method == "POST" else ("cors",)
        for manner, body in product(manners, ("", json.dumps({"cookies": True, "password": PASSWORD}))):
            sent = {"method": operation.method, "mode": manner, "credentials": "include", "body": body}
            page.evaluate("([url, sent]) => fetch(url, sent).catch(() => null)", [http.url + path, sent])
    assert settled(http) == before
    arrived = (http.folder / "serve.log").read_text()
    assert not [path for o, path in zip(unsafe, paths, strict=True) if o.method == "POST" and path not in arrived]
    page.close()


def test_with_a_hidden_origin_another_site_lacks_the_token(http: Site, victim: BrowserContext, evil: int) -> None:
    """The pages behind mailed links take a hidden origin, with the token that only their own form has."""
    before, page = settled(http), victim.new_page()
    for target in ("/account/verify", "/account/reset"):
        page.goto(f"http://localhost:{evil}/hidden?{target}")
        with page.expect_navigation() as answer:
            page.get_by_role("button").click()
        assert answer.value.status == 403
    assert settled(http) == before
    page.close()


FRAMED = ["/", "/account", "/account/login", "/account/close", "/account/verify?token=x", "/admin/"]


@pytest.mark.parametrize("path", FRAMED)
def test_no_page_is_shown_in_a_frame(victim: BrowserContext, evil: int, path: str) -> None:
    page = victim.new_page()
    page.goto(f"http://127.0.0.1:{evil}/frame?{path}")
    page.wait_for_timeout(300)
    frames = [frame for frame in page.frames if frame is not page.main_frame]
    assert all(frame.url.startswith("chrome-error:") for frame in frames)
    page.close()


def test_the_token_of_a_link_goes_nowhere_else(http: Site, visitors: Visitors) -> None:
    page = visitors.come(http).new_page()
    page.goto("/account/signup")
    fill_in(page, email="referrer@example.org", password=PASSWORD)
    link = http.mailbox("referrer@example.org").link()
    token = link.partition("token=")[2]
    sent: list[tuple[str, dict[str, str]]] = []
    page.on("request", lambda request: sent.append((request.url, request.all_headers())))
    page.goto(link)
    press(page, "main form button")
    press(page, "main a")
    assert page.evaluate("document.referrer") == ""
    assert len(sent) > 4
    assert not [url for url, headers in sent if token in str({n: v for n, v in headers.items() if n != "cookie"})]
    assert [url for url, _ in sent if token in url] == [link]


@pytest.mark.parametrize("target", [t for t in EVIL if re.search(r"evil|script|:1/", t)])
def test_a_log_in_leads_to_no_other_site(http: Site, visitors: Visitors, victim: BrowserContext, target: str) -> None:
    page: Page = victim.new_page()
    page.goto("/")
    page.evaluate("target => location.assign('/account/login?next=' + encodeURIComponent(target))", target)
    page.wait_for_url(f"{http.url}/account")
    page.close()
