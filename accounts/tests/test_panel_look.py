"""What the panel is made of: nothing from other hosts, no code in pages, all words in Russian, and plain if need be."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.admin import site
from django.contrib.staticfiles import finders
from django.utils import translation

from accounts import stored_files
from accounts.tests.scene import administrator
from accounts.tests.test_panel import Browser
from core import panel_look
from core.middleware import PAGE_POLICY
from tests.test_words import words

dressed = pytest.mark.skipif(not panel_look.IS_DRESSED, reason="The panel is Django's own here.")
# Parts of unfold that the panel does not use: its command palette, datasets, nested inlines, files, money, history.
NOT_SHOWN = {
    *("command.html", "command_history.html", "command_results.html", "search.html", "app_list_all.html"),
    *("dataset_actions.html", "dataset_model_admin.py", "nested_inlines_model_admin.py", "inline_delete_undo.html"),
    *("display_header.html", "field_readonly_value_file.html", "clearable_file_input.html", "widgets.py"),
    *("clearable_file_input_small.html", "add_form.html", "forms.py", "change_list_results.html"),
}


class Parts(HTMLParser):
    """What a page loads, where it leads, and what in it would be run."""

    def __init__(self, text):
        super().__init__()
        self.urls, self.code, self.in_script = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.urls += [found[name] for name in ("src", "href", "action", "srcset", "poster") if found.get(name)]
        self.code += [name for name in found if name.startswith("on")]
        self.in_script = tag == "script" and "src" not in found

    def handle_data(self, data):
        if self.in_script and data.strip():
            self.code.append(data)


@pytest.fixture
def pages(db):
    """Each page of the panel, by its path, for somebody who may see everything."""
    admin = administrator(is_staff=True)
    stranger, browser = Browser(), Browser().sign_in(admin)
    paths = [model._meta.label_lower.replace(".", "/") + "/" for model in site._registry]
    paths += ["", "password_change/", f"accounts/user/{admin.pk}/change/", f"accounts/user/{admin.pk}/history/"]
    file = stored_files.store(admin.pk, "people.csv", [b"email,name\na@example.org,<b>\n"])
    paths += ["import/", f"import/{file.pk}/", "accounts/user/export/"]
    return {"login/": stranger.get("login/"), **{path: browser.get(path) for path in paths}}


def test_no_page_of_the_panel_loads_or_sends_anything_elsewhere(pages):
    for path, page in pages.items():
        assert page.status_code == 200, path
        assert not [url for url in Parts(page.content.decode()).urls if re.match(r"\w+:|//|\\", url)], path


def test_no_page_of_the_panel_holds_code(pages):
    for path, page in pages.items():
        assert not Parts(page.content.decode()).code, path


def test_the_policy_of_the_panel_is_that_of_every_page(pages):
    for path, page in pages.items():
        assert page["Content-Security-Policy"] == PAGE_POLICY, path
    assert "unsafe-eval" not in PAGE_POLICY
    script = re.search(r"script-src ([^;]*);", PAGE_POLICY)
    assert script
    assert script[1] == "'self'"


def test_whatever_the_pages_load_is_here_and_loads_nothing_from_elsewhere(pages):
    urls = {url for page in pages.values() for url in Parts(page.content.decode()).urls if url.startswith("/static/")}
    assert urls
    for url in urls:
        file = finders.find(url.removeprefix("/static/").partition("?")[0])
        assert file, url
        if file.endswith(".css"):
            assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", Path(file).read_text()), url


@dressed
def test_unfolds_own_alpine_which_compiles_text_into_code_is_on_no_page(pages):
    for path, page in pages.items():
        text = page.content.decode()
        assert "unfold/js/alpine/alpine.js" not in text, path
        assert "muster/alpine-csp.js" in text, path
    assert "new Function" not in Path(finders.find("muster/alpine-csp.js")).read_text()


@dressed
def test_every_word_of_unfold_that_the_panel_shows_is_there_in_russian():
    import unfold

    root = Path(unfold.__file__).parent
    files = [f for f in root.rglob("*.*") if f.suffix in (".html", ".py") and f.name not in NOT_SHOWN]
    files = [f for f in files if not {"contrib", "unfold_crispy"} & set(f.parts)]
    texts = set()
    for file in files:
        read = words.calls_in_template if file.suffix == ".html" else words.calls
        texts |= {text for text, plural in read(file.read_text()) if not plural}
    assert len(texts) > 50
    with translation.override("ru"):
        assert [text for text in sorted(texts) if translation.gettext(text) == text] == []


@dressed
@pytest.mark.django_db
def test_unfolds_search_that_remembers_what_one_could_see_is_not_there():
    assert Browser().sign_in(administrator(is_staff=True)).get("search/?s=user").status_code == 404


@dressed
@pytest.mark.slow
def test_without_unfold_the_plain_panel_does_all_the_same(tmp_path):
    environment = {**os.environ, "PLAIN_TEST_DATABASE": str(tmp_path / "plain.sqlite3")}
    if not settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        environment["PLAIN_TEST_DATABASE"] = "test_plain_panel"
    here = Path(__file__).parent
    tests = sorted(str(file) for file in (*here.glob("test_panel*.py"), here / "test_person_page.py"))
    options = ["-q", "-p", "no:cacheprovider", "-m", "not slow", "--create-db", "--ds=tests.plain_panel"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    run = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=540)
    assert run.returncode == 0, run.stdout[-4000:]
