"""The panel in a real browser: its lists, what is done to many, its looks, and that it runs nothing but its files."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import IN_A_BROWSER, PASSWORD, Site, Visitors, press
from tests.browser.panel_people import CHIEFS
from tests.browser.test_looks import PICTURES, look_at
from tests.serving import ROOT, free_port, serving, settings_for

pytestmark = IN_A_BROWSER
PAGES = {
    "front": "",
    "users": "accounts/user/",
    "users-search": "accounts/user/?q=ann&is_active=true",
    "users-none": "accounts/user/?q=nobody-at-all",
    "sessions": "accounts/session/",
    "end-sessions": "accounts/session/end-others/",
    "roles": "rbac/role/",
    "role-new": "rbac/role/add/",
    "grants": "rbac/rolegrant/",
    "permissions": "rbac/permission/",
    "permission-new": "rbac/permission/add/",
    "mails": "mail/outgoingmail/",
    "audit": "audit/event/",
    "challenges": "accounts/challenge/",
    "failed-log-ins": "accounts/failedlogins/",
    "password": "password_change/",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("panel"), free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(folder, "--workers", "1", port=port, PUBLIC_URL=url):
        code = f"from tests.browser.panel_people import settle; settle({PASSWORD!r})"
        command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
        subprocess.run(command, cwd=ROOT, env=settings_for(folder), check=True)
        yield Site(url, folder)


def sign_in(site: Site, visitors: Visitors, language: str = "en", **options: Any) -> Page:
    page = visitors.come(site, locale=language, **options).new_page()
    page.goto("/admin/login/")
    page.locator("[name=username]").fill(CHIEFS[language])
    page.locator("[name=password]").fill(PASSWORD)
    press(page, "form:has([name=password]) [type=submit]")
    return page


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_panel_suits_everybody(site: Site, visitors: Visitors, language: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    stranger = visitors.come(site, locale=language).new_page()
    stranger.goto("/admin/login/")
    wrong = look_at(stranger, f"panel-login-{language}")
    page = sign_in(site, visitors, language)
    page.goto("/admin/")  # a second look: by now all days are counted
    for name, path in PAGES.items():
        page.goto(f"/admin/{path}")
        wrong += look_at(page, f"panel-{name}-{language}")
    choose(page, "deactivate", 3)
    wrong += look_at(page, f"panel-bulk-{language}")
    choose(page, "grant", 3)
    wrong += look_at(page, f"panel-grant-{language}")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto("/admin/accounts/user/")
    page.get_by_text("Filters" if language == "en" else "Фильтр", exact=False).first.click()
    page.screenshot(path=PICTURES / f"panel-filters-{language}.png")
    assert not wrong, "\n".join(wrong)


def choose(page: Page, deed: str, how_many: int) -> None:
    """Tick the first rows of the list of people, and go on to the page that asks."""
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto("/admin/accounts/user/?joined=7")
    boxes = page.locator("#result_list .action-select")
    for place in range(how_many):
        boxes.nth(place).check()
    page.locator("[name=action]:visible").select_option(deed)
    press(page, ".panel-actions button")


def test_a_few_are_done_at_once_after_one_was_asked(site: Site, visitors: Visitors) -> None:
    page = sign_in(site, visitors)
    choose(page, "end_sessions", 3)
    expect(page.locator("main, #content").first).to_contain_text("3 people")
    press(page, ".panel-card button")
    assert "/admin/accounts/user/" in page.url
    expect(page.locator("body")).to_contain_text("3 people: done.")


def test_many_are_done_in_the_background_while_one_watches(site: Site, visitors: Visitors) -> None:
    page = sign_in(site, visitors)
    page.goto("/admin/accounts/user/?is_staff=false")  # whoever watches stays signed in
    page.locator("#action-toggle").check()
    page.locator(".question a:visible").click()
    page.locator("[name=action]:visible").select_option("end_sessions")
    press(page, ".panel-actions button")
    expect(page.locator(".panel-card")).to_contain_text("in the background")
    press(page, ".panel-card button")
    assert "/admin/jobs/" in page.url
    expect(page.locator("#job")).to_contain_text("done", timeout=300_000)  # without a look again of ours
    expect(page.locator("#job progress")).to_have_attribute("value", "100")
    assert page.locator("#job [data-look-again]").count() == 0


def test_the_menu_and_the_colours_obey_the_keyboard(site: Site, visitors: Visitors) -> None:
    page = sign_in(site, visitors, viewport={"width": 320, "height": 800})
    menu = page.get_by_role("button", name="Menu")
    menu.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#nav-sidebar")).to_be_visible()
    person = page.locator("[x-data*=openUserLinks] > .cursor-pointer")
    person.focus()
    page.keyboard.press("Enter")
    dark = page.get_by_role("button", name="Dark")
    dark.focus()
    page.keyboard.press(" ")
    expect(page.locator("html")).to_have_class("dark")
    page.reload()
    expect(page.locator("html")).to_have_class("dark")


def test_without_scripts_the_filters_stand_beside_the_list_and_not_over_it(site: Site, visitors: Visitors) -> None:
    for width in (1280, 320):
        page = sign_in(site, visitors, viewport={"width": width, "height": 800}, java_script_enabled=False)
        page.goto("/admin/accounts/user/")
        page.locator("#changelist-filter").get_by_role("link", name="Inactive", exact=True).click()
        assert page.url.endswith("?is_active=false")
        page.goto("/admin/accounts/user/")
        person = page.locator("#result_list tbody th a:visible, #result_list .field-email a:visible").first
        person.click(timeout=5_000)  # fails when something lies over it
        assert "/change/" in page.url


def test_it_loads_nothing_from_elsewhere(site: Site, visitors: Visitors) -> None:
    page = sign_in(site, visitors)
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    for path in PAGES.values():
        page.goto(f"/admin/{path}", wait_until="networkidle")
    assert {host for host in hosts if host} == {urlsplit(site.url).netloc}


def test_code_smuggled_into_a_page_is_not_run(site: Site, visitors: Visitors) -> None:
    """The policy holds in the panel: neither text that becomes code nor a script within the page."""
    page = visitors.come(site).new_page()
    page.goto("/admin/login/")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.got=1\">')")
    # Not in the call itself, which a driver may exempt from the policy.
    attempt = "try { window.ran = new Function('return 1')() } catch (error) { window.ran = error.name }"
    page.evaluate(f"() => setTimeout(() => {{ {attempt} }}, 0)")
    page.wait_for_function("window.ran !== undefined")
    assert page.evaluate("window.ran") == "EvalError"
    assert page.evaluate("window.got") is None
    assert any("Content Security Policy" in complaint for complaint in visitors.complaints)
    visitors.complaints.clear()
    page.close()
    assert all("Content Security Policy" in complaint or "404" in complaint for complaint in visitors.complaints)
    visitors.complaints.clear()
