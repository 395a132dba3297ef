"""`examples/spa`, in a real Chromium: the whole life of a log-in by cookie, and two tabs that refresh at once."""

import importlib.util
import re
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from tests.kept_mails import text_of
from tests.serving import ROOT, serving

CHROMIUM = shutil.which("chromium")
EMAIL, PASSWORD = "ann@example.org", "violet-Harbour-lantern-27"
PATIENCE = 30_000  # ms, on a machine that does much else

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing. On Debian, as root: apt install chromium"),
]


class Site:
    def __init__(self, url: str, mails: Path) -> None:
        self.url, self.mails = url, mails

    def code(self) -> str:
        """That of the one mail to Ann, as soon as it is there."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for file in self.mails.glob("*"):
                if found := re.search(r"^\d{6}$", text_of(file), re.MULTILINE):
                    return found[0]
            time.sleep(0.2)
        raise AssertionError("no mail came")


spec = importlib.util.spec_from_file_location("spa_serve", ROOT / "examples" / "spa" / "serve.py")
assert spec
assert spec.loader
spa = importlib.util.module_from_spec(spec)
spec.loader.exec_module(spa)


class Proxy(spa.Handler):  # type: ignore[name-defined]
    """That of the example, which can hold refreshes back until two are there: both are on their way by then."""

    gate: threading.Barrier | None = None
    cookies: ClassVar[list[str]] = []

    def forward(self) -> None:
        if self.path.endswith("/auth/refresh") and self.gate:
            self.cookies.append(self.headers["Cookie"])
            self.gate.wait(PATIENCE / 1000)
        super().forward()

    do_POST = do_PATCH = do_DELETE = forward  # noqa: N815

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("spa")
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    url = f"http://127.0.0.1:{proxy.server_port}"
    with serving(folder, "--workers", "1", PUBLIC_URL=url) as server:
        Proxy.muster = f"127.0.0.1:{server.port}"
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield Site(url, folder / "mail")
        proxy.shutdown()
        proxy.server_close()


@pytest.fixture(scope="module")
def context(site: Site) -> Iterator[BrowserContext]:
    """One browser, with one jar of cookies for all of its tabs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(base_url=site.url)
        context.set_default_timeout(PATIENCE)
        yield context
        browser.close()


@pytest.fixture(scope="module")
def signed_up(site: Site, context: BrowserContext) -> None:
    """Ann has an account, made by the page, and is signed in here."""
    page = context.new_page()
    page.goto("/")
    page.get_by_role("button", name="New here?").click()
    fill(page, "signup", email=EMAIL, password=PASSWORD)
    expect(page.locator("#verify")).to_be_visible(timeout=PATIENCE)
    page.locator("#verify input").fill(f" {site.code()[:3]} {site.code()[3:]}")
    page.locator("#verify button").click()
    is_in(page)
    page.close()


@pytest.fixture
def tab(context: BrowserContext, signed_up: None) -> Page:
    """A tab of somebody signed in."""
    page = context.new_page()
    page.goto("/")
    expect(page.locator("main > :not([hidden]) h2")).to_be_visible(timeout=PATIENCE)
    if page.locator("#login").is_visible():
        fill(page, "login", email=EMAIL, password=PASSWORD)
    is_in(page)
    return page


def fill(page: Page, form: str, **fields: str) -> None:
    for name, value in fields.items():
        page.locator(f"#{form} [name={name}]").fill(value)
    page.locator(f"#{form} button:not([type])").click()


def is_in(page: Page) -> None:
    expect(page.locator("#email")).to_have_text(EMAIL, timeout=PATIENCE)
    expect(page.locator("#home")).to_be_visible(timeout=PATIENCE)


def is_out(page: Page) -> None:
    expect(page.locator("#login")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#home")).to_be_hidden()


def cookies(context: BrowserContext) -> dict[str, Any]:
    return {cookie["name"]: cookie["value"] for cookie in context.cookies()}


def test_no_script_can_read_the_tokens(tab: Page, context: BrowserContext) -> None:
    assert {"access", "refresh", "csrftoken"} <= set(cookies(context))
    readable = tab.evaluate("document.cookie")
    assert "csrftoken" in readable
    assert "access" not in readable
    assert "refresh" not in readable
    assert tab.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0


def test_it_refreshes_when_the_access_cookie_has_ended(tab: Page, context: BrowserContext) -> None:
    before = cookies(context)
    context.clear_cookies(name="access")
    tab.get_by_role("button", name="Load again").click()
    tab.wait_for_load_state("networkidle")
    is_in(tab)
    after = cookies(context)
    assert after["access"] != before["access"]
    assert after["refresh"] != before["refresh"]


def test_two_tabs_that_refresh_at_once_both_stay_signed_in(
    tab: Page, context: BrowserContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both send the same cookie: neither has an answer while the other is on its way."""
    other = context.new_page()
    other.goto("/")
    is_in(other)
    context.clear_cookies(name="access")
    monkeypatch.setattr(Proxy, "gate", threading.Barrier(2))
    monkeypatch.setattr(Proxy, "cookies", [])
    for page in (tab, other):
        page.evaluate("document.getElementById('email').textContent = ''")
        page.evaluate("document.getElementById('reload').click()")
    for page in (tab, other):
        is_in(page)
    monkeypatch.setattr(Proxy, "gate", None)
    first, second = (refresh_in(header) for header in Proxy.cookies)
    assert first == second
    for page in (tab, other):
        page.reload()
        is_in(page)
    assert devices(tab) == 1, "they are one log-in still"
    other.close()


def refresh_in(header: str) -> str:
    return next(part for part in header.split("; ") if part.startswith("refresh="))


def devices(page: Page) -> int:
    script = "fetch('/api/v1/users/me/sessions').then(r => r.json()).then(a => a.results.length)"
    return int(page.evaluate(script))


def test_a_request_from_another_site_is_refused(tab: Page) -> None:
    """The page may not do without the token either."""
    script = "fetch('/api/v1/users/me', {method: 'PATCH', headers: {'Content-Type': 'application/json'}, body: '{}'})"
    assert tab.evaluate(f"{script}.then(r => r.json()).then(a => a.code)") == "csrf_failed"


def test_logging_out_in_one_tab_logs_out_the_other(tab: Page, context: BrowserContext) -> None:
    other = context.new_page()
    other.goto("/")
    is_in(other)
    tab.get_by_role("button", name="Log out").click()
    is_out(tab)
    assert not {"access", "refresh"} & set(cookies(context))
    other.get_by_role("button", name="Load again").click()
    is_out(other)
    other.close()


def test_a_wrong_password_is_told_in_the_language_of_the_browser(site: Site, context: BrowserContext) -> None:
    assert context.browser
    russian = context.browser.new_context(base_url=site.url, locale="ru-RU")
    page = russian.new_page()
    page.goto("/")
    fill(page, "login", email="nobody@example.org", password="x")
    expect(page.locator("#message")).to_have_text("Учётной записи с таким именем и паролем нет.", timeout=PATIENCE)
    russian.close()
