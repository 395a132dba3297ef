"""Password rules beside Django's (NIST SP 800-63B §3.1.1.2, OWASP ASVS 6.2), and what names may hold.

No composition rules: a password is refused for being short, common, or made of what everybody knows about
its owner, and for nothing else.
"""

import re
import unicodedata
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

username_validator = RegexValidator(
    r"\A[A-Za-z0-9_.-]{3,30}\Z", _("3 to 30 letters, digits, dots, dashes and underscores."), "invalid_username"
)
_DIRECTION_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def name_validator(value: str) -> None:
    """Any script; no control characters, line separators or overrides of the writing direction."""
    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _DIRECTION_OVERRIDES:
            raise ValidationError(_("Names hold no control characters."), "control_character")


class MaximumLengthValidator:
    """And no NUL, which no door that takes JSON would let in again."""

    def validate(self, password: str, user: Any = None) -> None:
        if len(password) > settings.PASSWORD_MAX_LENGTH:
            raise ValidationError(self.get_help_text(), "password_too_long")
        if "\x00" in password:
            raise ValidationError(_("A password holds no NUL."), "null_characters_not_allowed")

    def get_help_text(self) -> str:
        return gettext("At most %(length)d characters.") % {"length": settings.PASSWORD_MAX_LENGTH}


@lru_cache(maxsize=1)
def _dictionary() -> str:
    """zxcvbn's list of passwords, as it stands in its file: between commas, in one string. The package itself would
    hold 13 MiB in each process."""
    package = find_spec("zxcvbn")
    source = Path(str(package and package.origin)).with_name("frequency_lists.py").read_text()
    return "," + source.partition('"passwords": "')[2].partition('"')[0].replace("\\'", "'") + ","


def _is_in_dictionary(word: str) -> bool:
    return "," not in word and f",{word}," in _dictionary()


class DictionaryPasswordValidator:
    """Refuses what stands in zxcvbn's list of passwords, beside Django's own list."""

    def validate(self, password: str, user: Any = None) -> None:
        if _is_in_dictionary(password.lower().strip()):
            raise ValidationError(_("This password is too common."), "password_too_common")

    def get_help_text(self) -> str:
        return gettext("Not one that many people use.")


class OwnWordsValidator:
    """Refuses a password that, without the words everybody knows about its owner, would be too short."""

    def validate(self, password: str, user: Any = None) -> None:
        whole = password.casefold()
        squeezed = re.sub(r"[\W_]+", "", whole)
        if self.is_made_of(own_words(user), whole) or self.is_made_of(joined_names(user), squeezed):
            raise ValidationError(self.get_help_text(), "password_too_similar")

    def is_made_of(self, known: set[str], password: str) -> bool:
        rest = password
        for word in sorted(known, key=len, reverse=True):
            rest = rest.replace(word, "")
        return rest != password and (len(rest) < settings.PASSWORD_MIN_LENGTH or _is_in_dictionary(rest))

    def get_help_text(self) -> str:
        return gettext("Not made of your name, your address or the name of this site.")


def own_words(user: Any) -> set[str]:
    fields = ("email", "username", "first_name", "middle_name", "last_name")
    values = [settings.SITE_NAME, *(getattr(user, name, None) or "" for name in fields)]
    texts = [value.casefold() for value in values]
    parts = [part for text in texts for part in re.split(r"[\W_]+", text)]
    local_parts = [text.partition("@")[0] for text in texts]
    return {word for word in (*texts, *parts, *local_parts) if len(word) >= 4}


def joined_names(user: Any) -> set[str]:
    """First and last name written as one, either way round: `annlee` holds no word that is long by itself."""
    first, last = (re.sub(r"[\W_]+", "", getattr(user, n, "") or "").casefold() for n in ("first_name", "last_name"))
    return {first + last, last + first} if first and last else set()
