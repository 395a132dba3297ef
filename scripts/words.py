#!/usr/bin/env python3
"""Bring the catalogs up to date: find every text that is to be translated, and compile what is.

scripts/words.py            writes <app>/locale/<language>/LC_MESSAGES/django.po and .mo
scripts/words.py --check    writes nothing; 1 and one line for each fault if something is missing or out of date

Needs no GNU gettext. Found are constant texts in `_()`, `gettext()` and their kin in Python and in templates, and the
names of models. A text that has gone leaves its catalog; a new one comes in empty, to be translated by hand.
"""

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import polib

ROOT = Path(__file__).resolve().parent.parent
APPS = ("config", "accounts", "rbac", "mail", "audit", "core")
PLURALS = {
    "ru": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);"
}
CALLS = {"_": 1, "gettext": 1, "gettext_lazy": 1, "gettext_noop": 1, "ngettext": 2, "ngettext_lazy": 2}

Text = tuple[str, str]  # the text, and its plural or ""
Found = dict[Text, list[str]]
"""Each text with the files that it stands in, in the order of reading."""


def texts_of(app: str) -> Found:
    found: Found = {}
    for file in sorted((ROOT / app).rglob("*.py")):
        if not {"tests", "migrations"} & set(file.parts):
            add(found, file, calls(file.read_text()))
    for file in sorted((ROOT / app / "templates").rglob("*.*")):
        add(found, file, calls_in_template(file.read_text()))
    return found


def add(found: Found, file: Path, texts: Iterator[Text]) -> None:
    for text in texts:
        places = found.setdefault(text, [])
        if (place := file.relative_to(ROOT).as_posix()) not in places:
            places.append(place)


def calls(source: str) -> Iterator[Text]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            if len(texts) >= (wanted := CALLS.get(name, 9)):
                yield texts[0], texts[1] if wanted == 2 else ""


def calls_in_template(source: str) -> Iterator[Text]:
    """Django turns a template into something like Python; the calls in it are real."""
    from django.utils.translation.template import templatize

    code = templatize(source)
    for match in re.finditer(r"(?<![\w.])(?:_|gettext|ngettext)\(", code):
        ends = (end.end() for end in re.finditer(r"\)", code) if end.end() > match.end())
        for call in (code[match.start() : end] for end in ends):
            try:
                yield from calls(call)
            except SyntaxError:  # this bracket stands inside of the text
                continue
            break


def names_of(app: str) -> Found:
    """What `core.names` makes translatable."""
    from django.apps import apps

    from core.names import words_of

    config = apps.get_app_config(app) if apps.is_installed(app) else None
    return {(words, ""): [f"{app}/models.py"] for words in words_of(config)} if config else {}


def catalog(app: str, language: str) -> polib.POFile:
    """As it should be: every text there is, with the translations that the present file has."""
    present = polib.pofile(str(file)) if (file := path_of(app, language)).exists() else polib.POFile()
    known = {(entry.msgid, entry.msgid_plural): entry for entry in present}
    made = polib.POFile(wrapwidth=118)
    made.metadata = {
        "Language": language,
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
        "Plural-Forms": PLURALS[language],
    }
    for (text, plural), places in {**names_of(app), **texts_of(app)}.items():
        old = known.get((text, plural)) or polib.POEntry()
        made.append(entry_for(text, plural, places, old, language))
    return made


def entry_for(text: str, plural: str, places: list[str], old: polib.POEntry, language: str) -> polib.POEntry:
    flags = sorted({*old.flags, "python-format"} if re.search(r"%\(\w+\)", text) else old.flags)
    entry = polib.POEntry(msgid=text, occurrences=[(place, "") for place in places], flags=flags, tcomment=old.tcomment)
    if plural:
        entry.msgid_plural = plural
        entry.msgstr_plural = old.msgstr_plural or dict.fromkeys(range(3), "")
    else:
        entry.msgstr = old.msgstr
    return entry


def path_of(app: str, language: str) -> Path:
    return ROOT / app / "locale" / language / "LC_MESSAGES" / "django.po"


def catalogs() -> Iterator[tuple[Path, polib.POFile]]:
    for app in APPS:
        for language in PLURALS:
            if made := catalog(app, language):
                yield path_of(app, language), made


def write() -> None:
    for path, made in catalogs():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{made}".rstrip() + "\n")
        path.with_suffix(".mo").write_bytes(made.to_binary())


def faults() -> Iterator[str]:
    """One line for each."""
    for path, made in catalogs():
        name = path.relative_to(ROOT).as_posix()
        for entry in made:
            if not all(entry.msgstr_plural.values() if entry.msgid_plural else [entry.msgstr]):
                yield f"{name}: not translated: {entry.msgid}"
            elif entry.fuzzy:
                yield f"{name}: fuzzy: {entry.msgid}"
        if not path.exists() or path.read_text() != f"{made}".rstrip() + "\n":
            yield f"{name}: out of date; run scripts/words.py"
        elif not (compiled := path.with_suffix(".mo")).exists() or compiled.read_bytes() != made.to_binary():
            yield f"{name}: compiled for another text; run scripts/words.py"


def main() -> int:
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    if "--check" not in sys.argv[1:]:
        write()
    found = list(faults())
    print(*found, sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
