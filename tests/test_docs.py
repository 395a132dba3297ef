"""The documents hold what they say of themselves: links lead somewhere, and names exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

# Each of these modules may define problems.
import accounts.errors
import config.views
import core.errors
import rbac.errors
from core.errors import Problem

ROOT = Path(settings.BASE_DIR)
DOCUMENTS = sorted([*ROOT.glob("*.md"), ROOT / "examples" / "README.md", *(ROOT / "docs").rglob("*.md")])
RECORDS = sorted((ROOT / "docs" / "adr").glob("*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
README_LINES = 150
RECORD_LINES = 40


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def links(file: Path) -> Iterator[str]:
    text = FENCE.sub("", file.read_text())
    yield from (target for target in LINK.findall(text) if "://" not in target and not target.startswith("mailto:"))


def anchors(file: Path) -> set[str]:
    """As GitHub and GitLab make them from headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", file.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_each_relative_link_leads_somewhere(document: Path) -> None:
    for target in links(document):
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(file), f"{target} has no such heading"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


@pytest.mark.parametrize("record", RECORDS, ids=name_of)
def test_each_decision_has_its_three_headings(record: Path) -> None:
    lines = record.read_text().splitlines()
    number = record.name[:4]
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", record.name)
    assert re.match(rf"# (ADR )?0*{int(number)}[.:] \S", lines[0])
    assert [line for line in lines if line.startswith("## ")] == ["## Context", "## Decision", "## Consequences"]


@pytest.mark.parametrize("record", [r for r in RECORDS if not r.name.startswith("0008")], ids=name_of)
def test_each_decision_is_short(record: Path) -> None:
    """All but the one about the server, which shows its measurements."""
    assert len(record.read_text().splitlines()) <= RECORD_LINES


def test_decisions_are_numbered_once() -> None:
    numbers = [record.name[:4] for record in RECORDS]
    assert len(numbers) == len(set(numbers))


def test_the_code_names_only_documents_that_exist() -> None:
    """Only those with a name and an ending; "see docs/adr" is a folder."""
    files = [f for app in ("accounts", "audit", "config", "core", "mail", "rbac") for f in (ROOT / app).rglob("*.py")]
    named = {found for file in files for found in re.findall(r"docs/[\w/.-]+\.md", file.read_text())}
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_guide_to_the_api_lists_every_code() -> None:
    table = (ROOT / "docs" / "api.md").read_text().partition("| status | code |")[2].partition("\n\n")[0]
    listed = set(re.findall(r"`([a-z_]+)`", table)) - {"required", "request_timeout"}
    assert listed == {problem.code for problem in all_problems()}


def all_problems() -> list[type[Problem]]:
    modules = (accounts.errors, config.views, core.errors, rbac.errors)
    found = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    return sorted((value for value in found if issubclass(value, Problem)), key=lambda problem: problem.__name__)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_each_command_named_exists(document: Path) -> None:
    named = re.findall(r"manage\.py ([a-z_]+)", document.read_text())
    assert [command for command in named if command not in get_commands()] == []


def test_each_variable_named_in_the_operators_guide_exists() -> None:
    """Whatever stands in backticks and capitals with an underscore is a variable, or a part of a sentence."""
    known = set(re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    text = (ROOT / "docs" / "operations.md").read_text() + (ROOT / "SECURITY.md").read_text()
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`", text)) - {"NAME_FILE"}
    assert {name.removesuffix("_FILE") if name not in known else name for name in named} <= known


def test_every_dependency_has_its_reason_in_the_record() -> None:
    lines = (ROOT / "requirements.in").read_text().splitlines()
    wanted = {re.split(r"[~=<>]", line)[0].strip() for line in lines if line and not line.startswith("#")}
    record = (ROOT / "docs" / "adr" / "0013-dependencies.md").read_text()
    listed = set(re.findall(r"^\| ([a-z][\w\[\]-]+) \|", record, re.MULTILINE)) - {"package"}
    assert listed == wanted
