"""How the pages look: for everybody, on every screen, and quickly. Pictures are kept for people to look at."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import IN_A_BROWSER, PASSWORD, Site, Visitors, fill_in, sign_up
from tests.serving import ROOT

pytestmark = IN_A_BROWSER
PICTURES = Path(os.environ.get("MUSTER_PICTURES") or ROOT / "var" / "pictures")
WIDE, NARROW = 1280, 320
FIRST_PAGE = 100_000  # bytes
SCHEMES: tuple[Any, ...] = ("light", "dark")

STRANGERS = {
    "index": "/",
    "signup": "/account/signup",
    "verify": "/account/verify",
    "verify-link": "/account/verify?token=x",
    "resend": "/account/verify/resend",
    "login": "/account/login",
    "logout": "/account/logout",
    "forgot": "/account/forgot",
    "reset": "/account/reset",
    "reset-link": "/account/reset?token=x",
    "not-found": "/account/nothing",
}
OWN = {
    "profile": "/account",
    "email": "/account/email",
    "email-confirm": "/account/email/confirm",
    "password": "/account/password",
    "devices": "/account/devices",
    "close": "/account/close",
}


def look_at(page: Page, name: str) -> list[str]:
    """What is wrong with it: wide and narrow, in light and in dark."""
    wrong = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in (WIDE, NARROW):
            page.set_viewport_size({"width": width, "height": 800})
            page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=True)
            if (needed := page.evaluate("document.documentElement.scrollWidth")) > width:
                wrong.append(f"{name} at {width} px is {needed} px wide")
        bad = [v for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
        wrong += [f"{name} in {scheme}: {v['id']}: {[node['html'] for node in v['nodes']]}" for v in bad]
    return wrong


@pytest.fixture(params=["en", "ru"])
def page(http: Site, visitors: Visitors, request: Any) -> Page:
    PICTURES.mkdir(parents=True, exist_ok=True)
    return visitors.come(http, locale=request.param).new_page()


def name_of(page: Page, name: str) -> str:
    return f"{name}-{page.evaluate('document.documentElement.lang')}"


def test_the_pages_for_strangers_suit_everybody(page: Page) -> None:
    wrong = []
    for name, path in STRANGERS.items():
        page.goto(path)
        wrong += look_at(page, name_of(page, name))
    page.goto("/account/login")
    fill_in(page, email="somebody-with-a-rather-long-name-for-a-mailbox@a-rather-long-domain.example.org", password="x")
    wrong += look_at(page, name_of(page, "login-refused"))
    page.goto("/account/forgot")
    fill_in(page, email="somebody-with-a-rather-long-name-for-a-mailbox@a-rather-long-domain.example.org")
    wrong += look_at(page, name_of(page, "reset-asked"))
    assert not wrong, "\n".join(wrong)


def test_the_pages_for_the_signed_in_suit_everybody(http: Site, page: Page) -> None:
    page.goto("/")
    sign_up(http, page, f"{name_of(page, 'looks')}@example.org")
    wrong = []
    for name, path in OWN.items():
        page.goto(path)
        wrong += look_at(page, name_of(page, name))
    page.goto("/account")
    fill_in(page, username="a b")
    wrong += look_at(page, name_of(page, "profile-refused"))
    fill_in(page, username=name_of(page, "looks"))
    wrong += look_at(page, name_of(page, "profile-saved"))
    assert not wrong, "\n".join(wrong)


def test_the_first_page_is_light_and_all_of_it_comes_from_here(http: Site, visitors: Visitors) -> None:
    page = visitors.come(http).new_page()
    answers: list[Any] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto("/account/login", wait_until="networkidle")
    sizes = {answer.url: len(answer.body()) for answer in answers}
    assert {urlsplit(url).netloc for url in sizes} == {urlsplit(http.url).netloc}
    assert len(sizes) >= 4
    assert sum(sizes.values()) < FIRST_PAGE, sizes
    assert PASSWORD not in page.content()
