"""A support person's day in the panel, in a real browser: among 100,000 people, with the permissions of their role."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import IN_A_BROWSER, PASSWORD, Site, Visitors, press
from tests.browser.crowd import STAFF, ZOYA
from tests.browser.test_looks import PICTURES, look_at
from tests.serving import ROOT, free_port, serving, settings_for

pytestmark = IN_A_BROWSER
# Which of the page's buttons and links has the focus, by its place; -1 for whatever else.
WHERE = """() => {
    const here = document.activeElement;
    const isOurs = here.closest('.person') && here.matches('button, summary, a');
    return isOurs ? [...document.querySelectorAll('.person *')].indexOf(here) : -1;
}"""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of its own, with the crowd in it."""
    folder, port = tmp_path_factory.mktemp("office"), free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(folder, "--workers", "1", port=port, PUBLIC_URL=url):
        code = f"from tests.browser.crowd import settle; settle({PASSWORD!r})"
        command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
        subprocess.run(command, cwd=ROOT, env=settings_for(folder), check=True)
        yield Site(url, folder)


def call(site: Site, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
    """What an application of the person's own does."""
    headers = {"Content-Type": "application/json", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{site.url}/api/v1{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def log_in(site: Site) -> tuple[int, Any]:
    return call(site, "POST", "/auth/login", {"email": ZOYA, "password": PASSWORD})


def at_work(site: Site, visitors: Visitors, language: str = "en", **options: Any) -> Page:
    page = visitors.come(site, **options).new_page()
    page.goto("/admin/login/")
    page.locator("[name=username]").fill(STAFF[language])
    page.locator("[name=password]").fill(PASSWORD)
    press(page, "form:has([name=password]) [type=submit]")
    return page


def find(page: Page, fragment: str) -> None:
    page.goto("/admin/accounts/user/")
    page.locator("[name=q]:visible").first.fill(fragment)
    with page.expect_navigation():
        page.locator("[name=q]:visible").first.press("Enter")
    assert page.locator("#result_list tbody tr").count() == 1
    page.goto(page.locator("#result_list tbody tr th a").get_attribute("href") or "")


def section(page: Page, name: str) -> Any:
    return page.locator(f"section[aria-labelledby={name}]")


@pytest.mark.parametrize("javascript", [True, False], ids=["", "without JavaScript"])
def test_the_day(office: Site, visitors: Visitors, javascript: bool) -> None:
    token = log_in(office)[1]["access"]
    page = at_work(office, visitors, java_script_enabled=javascript)
    find(page, "ODINTSOVA-k")
    expect(page.locator(".marks")).to_contain_text("Active")

    timeline = section(page, "timeline").locator("li")
    expect(timeline.first).to_contain_text("Signed in: Firefox on Linux")
    assert call(office, "GET", "/users/me", token=token)[0] == 200
    press(page, "section[aria-labelledby=devices] li:has-text('Firefox on Linux') button")
    assert call(office, "GET", "/users/me", token=token)[0] == 401
    expect(timeline.first).to_contain_text("Signed out: by staff")
    expect(timeline.first).to_contain_text("Sam Porter")

    mailbox = office.mailbox(ZOYA)
    press(page, "form[action$='/reset/'] button")
    code = mailbox.code()
    again = "section[aria-labelledby=mails] li:first-child form[action$='/send-again/'] button"
    wait_for(page, again)
    press(page, again)
    assert mailbox.code() == code, "the same mail, with the same code"

    friday = datetime.now(UTC) + timedelta(days=(4 - datetime.now(UTC).weekday()) % 7 + 7)
    give(page, "editor", friday)
    row = section(page, "roles").locator("li:has-text('editor')")
    expect(row).to_contain_text(f"{friday:%-d}, {friday:%Y}")
    give(page, "accountant", friday)
    expect(section(page, "roles").locator("[role=alert]")).to_contain_text("Nobody gives, takes or touches")
    expect(section(page, "roles").locator("[role=alert]")).to_be_focused()
    expect(section(page, "roles").locator("li")).to_have_count(1)
    press(page, "section[aria-labelledby=roles] li:has-text('editor') button")
    expect(section(page, "roles").locator("li")).to_have_count(0)

    page.locator("summary:has-text('Deactivate')").click()
    press(page, "form[action$='/deactivate/'] button")
    expect(page.locator(".marks")).to_contain_text("Deactivated")
    assert log_in(office)[0] == 401
    press(page, "form[action$='/restore/'] button")
    expect(page.locator(".marks")).to_contain_text("Active")
    assert log_in(office)[0] == 200


def wait_for(page: Page, button: str) -> None:
    """Until the outbox has been swept."""
    deadline = time.monotonic() + 60
    while not page.locator(button).count() and time.monotonic() < deadline:
        time.sleep(0.5)
        page.reload()


def give(page: Page, role: str, until: datetime) -> None:
    page.locator("[name=role]").select_option(role)
    page.locator("[name=expires_at]").fill(f"{until:%Y-%m-%d}")
    press(page, "form[action$='/grant/'] button")


@pytest.mark.parametrize("language", STAFF)
def test_the_page_suits_everybody(office: Site, visitors: Visitors, language: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    log_in(office)
    call(office, "POST", "/auth/login", {"email": ZOYA, "password": "wrong"})
    call(office, "POST", "/auth/password/forgot", {"email": ZOYA})
    page = at_work(office, visitors, language)
    find(page, "Odintsova")
    give(page, "editor", datetime.now(UTC) + timedelta(days=9))
    wrong = look_at(page, f"person-{language}")
    give(page, "accountant", datetime.now(UTC) + timedelta(days=9))
    wrong += look_at(page, f"person-refused-{language}")
    page.locator("details.profile > summary").click()
    page.locator("[name=username]").fill("a b")
    press(page, "form[action$='/profile/'] button")
    wrong += look_at(page, f"person-profile-{language}")
    page.locator("summary").first.click()
    wrong += look_at(page, f"person-asked-{language}")
    assert not wrong, "\n".join(wrong)


def test_the_keyboard_reaches_every_button(office: Site, visitors: Visitors) -> None:
    page = at_work(office, visitors)
    find(page, "Odintsova")
    wanted = page.locator(".person button:visible, .person summary:visible, .person a:visible").count()
    page.locator(".person").evaluate("e => { e.tabIndex = -1; e.focus() }")
    reached = set()
    for _ in range(wanted + 20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(WHERE))
    assert len(reached - {-1}) == wanted > 5
