"""Codes, links and hashes that follow from the server's key instead of being stored."""

import re
from uuid import UUID

import pytest

from core.ids import uuid7
from core.secrets import code_for, derived_key, fingerprint, keyed_hash, link_token, read_link_token, seal, unseal

ONE = UUID("01890000-0000-7000-8000-000000000001")


def test_a_code_is_six_digits_and_always_the_same():
    assert re.fullmatch(r"[0-9]{6}", code_for(ONE, "verify"))
    assert code_for(ONE, "verify") == code_for(ONE, "verify")


def test_codes_differ_by_row_and_by_purpose():
    codes = {code_for(uuid7(), "verify") for _ in range(200)}
    assert len(codes) > 190
    assert len({code_for(ONE, purpose) for purpose in ("verify", "reset", "email_change", "invitation")}) == 4


def test_codes_begin_with_zeros_as_often_as_with_anything():
    firsts = [code_for(UUID(int=n), "verify")[0] for n in range(2000)]
    assert all(120 < firsts.count(digit) < 280 for digit in "0123456789")


def test_a_link_holds_letters_only_and_is_read_back():
    token = link_token(ONE, "reset")
    assert re.fullmatch(r"[a-z]{80}", token)
    assert read_link_token(token, "reset") == ONE


def test_a_link_of_one_purpose_is_none_of_another():
    token = link_token(ONE, "reset")
    assert [read_link_token(token, purpose) for purpose in ("verify", "invitation", "email_change", "")] == [None] * 4


def test_no_changed_letter_is_read():
    token = link_token(ONE, "reset")
    for place in range(0, 80, 7):
        other = "b" if token[place] != "b" else "c"
        assert read_link_token(token[:place] + other + token[place + 1 :], "reset") is None


@pytest.mark.parametrize(
    "token", ["", "x", "b" * 79, "b" * 81, "b" * 80, "B" * 80, "0" * 80, "é" * 80, "\x00" * 80, "b\n" * 40]
)
def test_what_is_no_link_is_not_read(token):
    assert read_link_token(token, "reset") is None


def test_another_key_of_the_server_changes_everything(settings):
    before = (code_for(ONE, "verify"), link_token(ONE, "verify"), keyed_hash("x", "y"), derived_key("z"))
    settings.SECRET_KEY = "another-key-" + "0123456789abcdef" * 4
    after = (code_for(ONE, "verify"), link_token(ONE, "verify"), keyed_hash("x", "y"), derived_key("z"))
    assert all(one != other for one, other in zip(before[1:], after[1:], strict=True))
    assert read_link_token(before[1], "verify") is None


@pytest.mark.parametrize("value", ["", "é", "\ud800", "\x00", "x" * 10_000])
def test_any_text_can_be_hashed(value):
    assert re.fullmatch(r"[0-9a-f]{64}", keyed_hash(value, "log-in"))


def test_hashes_differ_by_purpose():
    assert keyed_hash("x", "log-in") != keyed_hash("x", "limit")


def test_what_was_sealed_opens_only_whole_and_for_its_purpose():
    sealed = seal(b"secret", "a", "b")
    assert unseal(sealed, "a", "b") == b"secret"
    assert sealed != seal(b"secret", "a", "b")
    assert unseal(sealed, "b", "b") is unseal(sealed, "a", "a") is unseal(b"", "a", "b") is None
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        assert unseal(changed, "a", "b") is None


def test_what_was_sealed_opens_only_under_the_same_secret(settings):
    sealed, before = seal(b"secret", "a", "b"), fingerprint()
    settings.SECRET_KEY = "another-key-" + "0123456789abcdef" * 4
    assert unseal(sealed, "a", "b") is None
    assert fingerprint() != before
