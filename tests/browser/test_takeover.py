"""A list of members is taken over in the panel, and written out again, in a real browser."""

import csv
import json
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import IN_A_BROWSER, Site, Visitors, press
from tests.browser.test_looks import PICTURES, look_at
from tests.browser.test_panel import sign_in, site  # noqa: F401 - the fixture

pytestmark = IN_A_BROWSER
PATIENCE = 120_000  # ms, for work in the background on a busy machine
MEMBERS = """Adresse;Vorname;Nachname;Seit
ida@members.example;Ida;<script>alert(1)</script>;2020-05-01
jon@members.example;Jon;=1+1;2021-06-01
not an address;Kim;Karr;2021-06-01
lea@members.example;Lea;Lund;the day before
max@members.example;{long};Mohr;2019-01-01
nia@members.example;Ния;Нова;2018-01-01
"""
OURS = ["email", "first_name", "last_name", "created_at"]


def write_members(folder: Path) -> Path:
    file = folder / "members.csv"
    file.write_text(MEMBERS.replace("{long}", "x" * 200))
    return file


def watch_until_done(page: Page, words: str) -> None:
    expect(page.locator("#job strong").first).to_have_text(words, timeout=PATIENCE)


def test_a_list_with_three_bad_rows_is_tried_read_and_taken_over(
    site: Site,  # noqa: F811
    visitors: Visitors,
    tmp_path: Path,
) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page = sign_in(site, visitors)
    page.goto("/admin/accounts/user/")
    press(page, "a.panel-button[href='/admin/import/']")
    wrong = look_at(page, "panel-import-en")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.locator("input[type=file]").set_input_files(write_members(tmp_path))
    press(page, "#upload button[type=submit]")
    for n, ours in enumerate(OURS):
        page.locator(f"[name=column-{n}]").select_option(ours)
    wrong += look_at(page, "panel-import-columns-en")
    page.set_viewport_size({"width": 1280, "height": 800})
    press(page, "form:has([name=column-0]) button[type=submit]")
    watch_until_done(page, "done")
    with page.expect_download() as report:
        page.get_by_role("link", name=re.compile("report")).click()
    rows = list(csv.DictReader(report.value.path().read_text().splitlines()))
    assert {(row["row"], row["field"]) for row in rows if row["result"] == "error"} == {
        ("4", "email"),
        ("5", "created_at"),
        ("6", "first_name"),
    }
    assert found(page, "members.example") == 0, "a dry run changes nothing"
    page.go_back()
    wrong += look_at(page, "panel-import-tried-en")
    page.set_viewport_size({"width": 1280, "height": 800})
    press(page, "form[action$='/import/'] button")
    watch_until_done(page, "done")
    assert found(page, "members.example") == 3
    expect(page.locator("#result_list")).to_contain_text("Ida <script>alert(1)</script>")
    assert not wrong, "\n".join(wrong)


def found(page: Page, fragment: str) -> int:
    page.goto(f"/admin/accounts/user/?q={fragment}")
    return page.locator("#result_list tbody tr:has(.action-select)").count()


def test_a_file_that_is_too_large_for_one_request_goes_in_pieces(
    site: Site,  # noqa: F811
    visitors: Visitors,
    tmp_path: Path,
) -> None:
    file = tmp_path / "many.jsonl"
    people = ({"email": f"piece{n}@pieces.example", "last_name": "Ж" * 60} for n in range(9_000))
    file.write_text("".join(json.dumps(person, ensure_ascii=False) + "\n" for person in people))
    assert file.stat().st_size > 1_200_000
    page = sign_in(site, visitors)
    page.goto("/admin/import/")
    page.locator("input[type=file]").set_input_files(file)
    with page.expect_navigation(timeout=PATIENCE):
        page.locator("#upload button[type=submit]").click()
    press(page, "form:has([name=column-0]) button[type=submit]")
    watch_until_done(page, "done")
    expect(page.locator("#job")).to_contain_text("9000")


def test_who_is_listed_is_exported_and_a_formula_is_none(site: Site, visitors: Visitors) -> None:  # noqa: F811
    page = sign_in(site, visitors)
    page.goto("/admin/accounts/user/?q=ann.&is_active=true")
    press(page, "a.panel-button[href*='/export/']")
    expect(page.locator("body")).to_contain_text("ann.")
    press(page, ".panel-card button, form:has([name=format]) [type=submit]")
    watch_until_done(page, "done")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the file").click()
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert rows
    assert all(row["email"].startswith("ann.") and row["is_active"] == "true" for row in rows)
    assert "password_hash" not in rows[0]
