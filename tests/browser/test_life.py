"""The pages as people use them: from sign-up to closing the account, with and without JavaScript."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import IN_A_BROWSER, PASSWORD, Site, Visitors, fill_in, press, sign_up

pytestmark = IN_A_BROWSER
NEW_PASSWORD, THIRD_PASSWORD = "quiet-Meadow-bicycle-58", "seven-Copper-kettles-31"


@pytest.fixture(params=["http", "https"])
def site(request: Any) -> Site:
    found: Site = request.getfixturevalue(request.param)
    return found


def told(page: Page) -> str:
    return page.locator("main > [role=status]").inner_text()


@pytest.mark.parametrize(
    ("site", "javascript", "russian"),
    [("http", True, False), ("http", False, True), ("https", True, True)],
    ids=["over HTTP", "without JavaScript, in Russian", "over HTTPS, in Russian"],
    indirect=["site"],
)
def test_the_whole_life(site: Site, visitors: Visitors, javascript: bool, russian: bool) -> None:
    context = visitors.come(site, java_script_enabled=javascript, locale="ru-RU" if russian else "en-GB")
    page = context.new_page()
    address, new = (f"{name}-{javascript}@example.org".lower() for name in ("ann", "anna"))  # of each site
    page.goto("/")
    press(page, "a[href='/account/signup']")
    expect(page.locator("html")).to_have_attribute("lang", "ru" if russian else "en")
    fill_in(page, email=address, password="short")
    expect(page.locator("#password_error")).to_be_visible()
    expect(page.locator("#email")).to_have_value(address)
    mailbox = sign_up(site, page, address)
    expect(page.locator("h1")).to_have_text("Профиль" if russian else "Profile")

    press(page, "nav a[href='/account']")
    fill_in(page, first_name="Анна", username=f"ann{javascript}")
    assert told(page) == ("Сохранено." if russian else "Saved.")
    expect(page.locator("[name=first_name]")).to_have_value("Анна")

    press(page, "nav a[href='/account/email']")
    fill_in(page, new_email=new, password=PASSWORD)
    fill_in(page, code=site.mailbox(new).code())
    assert new in told(page)

    other = visitors.come(site, java_script_enabled=javascript).new_page()
    other.goto("/account/devices")
    fill_in(other, email=f"ANN{javascript}", password=PASSWORD)
    assert other.url == f"{site.url}/account/devices", "where they wanted to be"
    expect(other.locator("html")).to_have_attribute("lang", "ru" if russian else "en")  # by account, not by browser
    press(page, "nav a[href='/account/devices']")
    assert page.locator("main > ul > li").count() == 2
    press(page, "main > ul > li:not(:has(strong)) button")
    other.goto("/account")
    assert "/account/login?next=" in other.url

    press(page, "nav a[href='/account/password']")
    fill_in(page, current_password=PASSWORD, new_password=NEW_PASSWORD)
    press(page, "nav form button")
    assert page.url == f"{site.url}/account/login"
    press(page, "a[href='/account/forgot']")
    fill_in(page, email=new)
    mailbox = site.mailbox(new)
    mailbox.code()  # that of the change of address, read before
    page.goto(mailbox.link())
    fill_in(page, new_password=THIRD_PASSWORD)
    press(page, "main a[href='/account/login']")
    fill_in(page, email=new, password=THIRD_PASSWORD)

    press(page, "main a[href='/account/close']")
    fill_in(page, password=THIRD_PASSWORD)
    fill_in(page, email=new, password=THIRD_PASSWORD)
    expect(page.locator("#password_error")).to_be_visible()


def test_an_address_is_confirmed_by_the_button_behind_the_link(site: Site, visitors: Visitors) -> None:
    """Chromium hides the origin of a page without a referrer, and the button works all the same."""
    page = visitors.come(site).new_page()
    page.goto("/account/signup")
    fill_in(page, email="linked@example.org", password=PASSWORD)
    page.goto(site.mailbox("linked@example.org").link())
    page.reload()
    press(page, "main form button")
    expect(page.locator("h1")).to_have_text("Address confirmed")
    press(page, "main a[href='/account/login']")
    fill_in(page, email="linked@example.org", password=PASSWORD)
    assert page.url == f"{site.url}/account"


def test_two_tabs_that_load_at_once_with_a_stale_cookie_both_stay(http: Site, visitors: Visitors) -> None:
    context = visitors.come(http)
    page = context.new_page()
    sign_up(http, page, "tabs@example.org")
    for name in ("access", "__Host-access"):
        context.clear_cookies(name=name)
    page.goto("/")
    page.evaluate("for (const path of ['/account', '/account/devices', '/account/email']) window.open(path)")
    page.wait_for_timeout(500)
    opened = [tab for tab in context.pages if tab is not page]
    assert len(opened) == 3
    for tab in opened:
        tab.wait_for_load_state()
        expect(tab.locator("nav form button")).to_be_visible()
        tab.reload()
        expect(tab.locator("nav form button")).to_be_visible()


def test_nothing_typed_is_lost_when_the_cookie_ends_meanwhile(http: Site, visitors: Visitors) -> None:
    context = visitors.come(http)
    page = context.new_page()
    sign_up(http, page, "typing@example.org")
    for name in ("access", "__Host-access"):
        context.clear_cookies(name=name)
    fill_in(page, first_name="Zoë")
    expect(page.locator("[name=first_name]")).to_have_value("Zoë")
    assert told(page) == "Saved."


def test_the_api_knows_who_signed_in_on_a_page(http: Site, visitors: Visitors) -> None:
    page = visitors.come(http).new_page()
    sign_up(http, page, "script@example.org")
    page.goto("/")
    assert page.evaluate("fetch('/api/v1/users/me').then(r => r.json()).then(me => me.email)") == "script@example.org"
    assert "access" not in page.evaluate("document.cookie")


def test_a_password_is_shown_on_demand_and_a_pasted_code_is_tidied(http: Site, visitors: Visitors) -> None:
    page = visitors.come(http).new_page()
    page.goto("/account/login")
    field = page.locator("#password")
    field.fill("secret")
    page.get_by_role("button", name="Show").click()
    expect(field).to_have_attribute("type", "text")
    page.get_by_role("button", name="Hide").click()
    expect(field).to_have_attribute("type", "password")
    page.goto("/account/verify")
    page.locator("#code").fill(" 123 456\n")
    expect(page.locator("#code")).to_have_value("123456")


def test_it_is_usable_by_keyboard_only(http: Site, visitors: Visitors) -> None:
    context = visitors.come(http)
    page = context.new_page()
    sign_up(http, page, "keys@example.org")
    context.clear_cookies()
    page.goto("/account/login")
    page.locator("input:focus").wait_for()  # the first field gets it
    page.keyboard.type("keys@example.org")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    seen: list[str] = []
    while not seen or seen[-1] not in seen[:-1]:
        page.keyboard.press("Tab")
        found = page.evaluate(
            "(() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.name || e.textContent.trim() || e.tagName, s.outlineStyle, e === document.body]; })()"
        )
        if found[2]:
            break
        assert found[1] != "none", f"nobody sees that {found[0]} has the focus"
        seen.append(found[0])
    assert {"Profile", "E-mail", "Password", "Devices", "Sign out", "username", "language", "Save"} <= set(seen)
    page.goto("/account")
    while page.evaluate("document.activeElement.textContent.trim()") != "Sign out":
        page.keyboard.press("Tab")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.url == f"{http.url}/account/login"
