"""The rules of passwords and names one by one; that they hold at every door is told by the passwords' tests."""

from typing import Any

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from accounts.models import User
from accounts.validators import (
    DictionaryPasswordValidator,
    MaximumLengthValidator,
    OwnWordsValidator,
    name_validator,
    own_words,
    username_validator,
)


def refusal(validate: Any, *values: Any) -> str:
    """The code of the refusal, or nothing."""
    try:
        validate(*values)
    except ValidationError as error:
        return str(error.code)
    return ""


ANN = User(email="ann.lee-smith@example.org", username="nick_name", first_name="Annabelle", last_name="O'Connor")


# Names


@pytest.mark.parametrize("name", ["abc", "a" * 30, "A.b-c_9", "...", "123", "-_-"])
def test_usernames_are_three_to_thirty_of_few_characters(name):
    assert refusal(username_validator, name) == ""


@pytest.mark.parametrize(
    "name", ["", "ab", "a" * 31, "a b", "a@b", "änn", "ann\n", "\nann", "ann\x00", "an\u0301n", "٣٤٥", "ann/", "ann+x"]
)
def test_other_usernames_are_refused(name):
    assert refusal(username_validator, name) == "invalid_username"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Ann",
        "Анна",
        "李小龍",
        "محمد",
        "O'Brien-Smith jr.",
        "Ńóżka",
        "👩\u200d👧",
        "x\u00adx",
        '"><script>',
        "{{7*7}}",
        "=1+1",
    ],
)
def test_names_are_of_any_script(name):
    assert refusal(name_validator, name) == ""


@pytest.mark.parametrize(
    "name",
    ["a\x00b", "a\nb", "a\tb", "\x7f", "\x85", "a\u2028b", "a\u2029b", "a\u202eb", "\u2066a", "a\u2069", "\ud800"],
)
def test_names_hold_no_control_characters_or_overrides(name):
    assert refusal(name_validator, name) == "control_character"


# Lengths


def test_1024_characters_are_the_most():
    assert refusal(MaximumLengthValidator().validate, "🦊" * 1024) == ""
    assert refusal(MaximumLengthValidator().validate, "a" * 1025) == "password_too_long"


# Lists


@pytest.mark.parametrize("password", ["password", "PassWord", "qwertyuiop", "12345678", " iloveyou ", "trustno1"])
def test_passwords_of_the_dictionary_are_too_common(password):
    assert refusal(DictionaryPasswordValidator().validate, password) == "password_too_common"


def test_uncommon_ones_are_fine():
    assert refusal(DictionaryPasswordValidator().validate, "correct horse battery staple") == ""


# Own words


def test_own_words_are_whole_values_their_parts_and_what_stands_before_the_at():
    assert own_words(ANN) == {
        "muster",
        "ann.lee-smith@example.org",
        "ann.lee-smith",
        "smith",
        "example",
        "nick_name",
        "nick",
        "name",
        "annabelle",
        "o'connor",
        "connor",
    }


def test_without_a_user_only_the_site_has_words(settings):
    settings.SITE_NAME = "Acme Widgets"
    assert own_words(None) == {"acme widgets", "acme", "widgets"}


def test_a_user_without_words_and_a_site_of_one_letter_refuse_nothing(settings):
    settings.SITE_NAME = "X"
    assert own_words(User()) == set()
    assert refusal(OwnWordsValidator().validate, "xxxxxxxx", User()) == ""


@pytest.mark.parametrize(
    "password",
    [
        "annabelle",
        "ANNABELLE99",
        "99annabelle99",
        "annabelleconnor",
        "smith.example",
        "ann.lee-smith@example.org",
        "nick_name1234",
        "muster.annabelle",
        "o'connor-1234",
        "annabelle" * 20,
        "annabellepassword",
    ],
)
def test_nothing_but_own_words_and_a_little_is_refused(password):
    assert refusal(OwnWordsValidator().validate, password, ANN) == "password_too_similar"


@pytest.mark.parametrize("password", ["annabelle has a dog", "xq7-smith-zr!9w", "unrelated-words"])
def test_own_words_beside_enough_of_others_are_fine(password):
    assert refusal(OwnWordsValidator().validate, password, ANN) == ""


@pytest.mark.parametrize("site", ["Straße", "İstanbul", "ΣΊΣΥΦΟΣ", "Новости"])
def test_case_is_ignored_in_any_script(settings, site):
    settings.SITE_NAME = site
    for typed in (site, site.upper(), site.lower(), site.casefold()):
        if typed.casefold() == site.casefold():
            assert refusal(OwnWordsValidator().validate, f"{typed}12", None) == "password_too_similar"


@pytest.mark.parametrize("password", ["a" * 1_000_000, "annabelle" * 100_000, "\u0130" * 100_000, ".*(a+)+$" * 10_000])
def test_long_passwords_are_refused_quickly(password):
    with pytest.raises(ValidationError):
        validate_password(password, ANN)


def test_every_rule_says_in_words_what_it_wants():
    for validator in (MaximumLengthValidator(), DictionaryPasswordValidator(), OwnWordsValidator()):
        assert validator.get_help_text().endswith(".")
