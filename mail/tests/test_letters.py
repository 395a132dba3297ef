"""Every mail in every language: complete, honest, harmless, and readable as it travels."""

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from django.template import engines

from core.ids import uuid7
from core.secrets import code_for, link_token
from mail.letters import LANGUAGES, LETTERS
from mail.models import OutgoingMail
from mail.rendering import render

CONTEXT = {"device": "Chrome 123456 on Windows 11", "ip": "203.0.113.113"}
MISSING = "MISSING-VARIABLE"

every_letter = pytest.mark.parametrize("template", LETTERS)
every_language = pytest.mark.parametrize("language", LANGUAGES)
with_code = pytest.mark.parametrize("template", [name for name in LETTERS if LETTERS[name].has_code])


@pytest.fixture(autouse=True)
def _strict(settings, monkeypatch):
    settings.SITE_NAME = "Example & Sons"
    settings.SUPPORT_EMAIL = "help@example.com"
    settings.PUBLIC_URL = "https://id.example.com"
    settings.DEFAULT_FROM_EMAIL = "Example <no-reply@example.com>"
    monkeypatch.setattr(engines["django"].engine, "string_if_invalid", MISSING)


def letter(template, language="en", **columns):
    defaults = {"to": "a@example.org", "challenge_id": uuid7(), "context": CONTEXT}
    return OutgoingMail(template=template, language=language, **{**defaults, **columns})


def sent(mail):
    raw = render(mail).message().as_bytes(linesep="\r\n")
    return raw, message_from_bytes(raw, policy=policy.default)


def bodies(mail):
    _, message = sent(mail)
    return [message.get_body([kind]).get_content().replace("\r\n", "\n") for kind in ("plain", "html")]


@every_letter
@every_language
def test_it_says_something_in_both_parts(template, language):
    _, message = sent(letter(template, language))
    text, html = bodies(letter(template, language))
    assert 5 < len(message["Subject"]) < 70
    for part in (text, html):
        assert MISSING not in part
        assert "{" not in part
        assert "help@example.com" in part
    assert "Example & Sons" in text
    assert "Example &amp; Sons" in html
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["From"] == "Example <no-reply@example.com>"
    assert message["Reply-To"] == "help@example.com"
    assert max(len(line) for line in text.splitlines() if "token=" not in line) <= 72


@every_letter
@every_language
def test_it_does_without_a_support_address(template, language, settings):
    settings.SUPPORT_EMAIL = ""
    _, message = sent(letter(template, language))
    text, html = bodies(letter(template, language))
    assert MISSING not in text + html
    assert "Reply-To" not in message


@every_letter
def test_each_language_has_words_of_its_own(template):
    english, russian = (bodies(letter(template, language))[0] for language in LANGUAGES)
    assert not re.search("[а-яё]", english, re.IGNORECASE)
    assert len(re.findall("[а-яё]", russian, re.IGNORECASE)) > 100


@every_letter
@every_language
def test_only_mails_with_a_code_have_six_digits_in_a_row(template, language):
    mail = letter(template, language)
    raw, message = sent(mail)
    found = set(re.findall(r"\d{6,}", raw.decode() + message["Subject"]))
    has_code = LETTERS[template].has_code
    assert found == ({code_for(mail.challenge_id, template)} if has_code else set())


@with_code
@every_language
def test_code_and_link_stand_on_lines_of_their_own(template, language):
    mail = letter(template, language)
    link = f"https://id.example.com{LETTERS[template].page}?token={link_token(mail.challenge_id, template)}"
    text, html = bodies(mail)
    assert re.findall(r"^\d{6}$", text, re.MULTILINE) == [code_for(mail.challenge_id, template)]
    assert [line for line in text.splitlines() if line.startswith("http")] == [link]
    assert f'href="{link}"' in html


@with_code
@every_language
def test_the_raw_message_shows_code_and_link_unencoded(template, language):
    mail = letter(template, language)
    raw, message = sent(mail)
    assert code_for(mail.challenge_id, template).encode() in raw.split(b"\r\n")
    assert f"?token={link_token(mail.challenge_id, template)}\r\n".encode() in raw
    assert {part["Content-Transfer-Encoding"] for part in message.iter_parts()} <= {"7bit", "8bit"}


@every_letter
def test_english_mails_are_ascii(template):
    raw, _ = sent(letter(template))
    assert raw.isascii()


@with_code
@every_language
def test_a_code_can_be_left_out(template, language):
    text, html = bodies(letter(template, language, with_code=False))
    assert not re.search(r"\d{6}", text + html)
    assert "?token=" in text


@every_language
def test_an_invitation_has_a_link_and_no_code(language):
    mail = letter("invitation", language)
    text, _ = bodies(mail)
    assert f"/account/reset?token={link_token(mail.challenge_id, 'invitation')}\n" in text
    assert not re.search(r"\d{6}", text)


def test_sending_twice_sends_the_same():
    mail = letter("reset", pk=uuid7())
    first, second = sent(mail)[1], sent(mail)[1]
    assert first["Message-ID"] == second["Message-ID"]
    assert bodies(mail) == bodies(mail)


def test_it_says_when_where_and_from_which_device():
    mail = letter("new_device", created_at=datetime(2026, 11, 21, 1, 43, tzinfo=UTC))
    assert (
        "When: 21 November 2026, 01:43 UTC\nDevice: Chrome on Windows\nIP address: 203.0.113.113\n" in bodies(mail)[0]
    )


def test_a_letter_that_is_sent_again_speaks_of_the_first_time():
    context = {"device": "Chrome on Windows", "at": "2026-03-02T04:05:00+03:00"}
    mail = letter("password_changed", created_at=datetime(2026, 11, 21, 1, 43, tzinfo=UTC), context=context)
    assert "When: 2 March 2026, 01:05 UTC\n" in bodies(mail)[0]


def test_it_says_so_in_russian_too():
    mail = letter("new_device", "ru", created_at=datetime(2026, 11, 21, 1, 43, tzinfo=UTC))
    text = bodies(mail)[0]
    assert "Когда: 21 ноября 2026, 01:43 UTC\nУстройство: Chrome на Windows\nIP-адрес: 203.0.113.113\n" in text


def test_a_device_made_of_links_and_markup_says_nothing():
    device = "Click <b>https://evil.example/123456</b> {{ 7*7 }} on Linux\r\nBcc: x@example.org"
    text, html = bodies(letter("new_device", context={"device": device}))
    assert "Device: Click bhttpsevilexampleb on LinuxBcc xexampleorg\n" in text
    assert "<b>" not in html
    assert "evil.example" not in text + html


@pytest.mark.parametrize("template", ["already_registered", "email_taken", "account_closed"])
def test_strangers_are_not_described_to_owners(template):
    assert "203.0.113.113" not in "".join(bodies(letter(template)))


def test_html_is_escaped_and_text_is_not(settings):
    settings.SITE_NAME = "<i>A & B</i>"
    text, html = bodies(letter("already_registered"))
    assert "<i>A & B</i>" in text
    assert "<i>" not in html
    assert "&lt;i&gt;A &amp; B&lt;/i&gt;" in html


@pytest.mark.parametrize(
    "address",
    [
        "a@example.org\nBcc: b@example.org",
        "a@example.org\r\n\r\nHello",
        "a\0@example.org",
        "a@b.org, c@d.org",
        "A <a@b.org>",
        "",
    ],
)
def test_an_address_cannot_add_headers_or_recipients(address):
    with pytest.raises(ValueError, match="address"):
        render(letter("verify", to=address))


def test_it_never_writes_to_another_address_than_the_stored_one():
    with pytest.raises(ValueError, match="address"):
        render(letter("verify", to="иван@example.org"))


def test_an_unknown_language_is_english():
    assert bodies(letter("verify", "xx"))[0].startswith("Hello,")


def test_what_is_left_of_a_lifetime_can_be_told():
    text, _ = bodies(letter("verify", context={"code_seconds": 299, "link_seconds": 7300}))
    assert "good for 4 minutes" in text
    assert "good for 2 hours" in " ".join(text.split())
