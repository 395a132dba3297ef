"""From a row of the outbox to the message that is sent.

Every mail is rendered from one template in three layouts, so its subject, text and HTML say the same. Whoever
looks for the code finds it: nothing else in the whole message, headers and boundaries included, has six
digits in a row.
"""

import re
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.dateformat import format as format_date

from core.secrets import code_for, link_token
from mail.letters import LANGUAGES, LETTERS, Letter
from mail.lifetimes import lifetime
from mail.models import OutgoingMail

# An ASCII local part: for any other Django would write to another address than the stored one.
_ONE_ADDRESS = re.compile(r"""[^\x00-\x20\x7f-\U0010ffff@,;:<>()\[\]"\\]+@[^\x00-\x20\x7f@,;:<>()\[\]"\\]+""")
_TO_LETTERS = str.maketrans("0123456789", "ghijklmnop")


class LetteredMessage(EmailMultiAlternatives):
    """With letters for a boundary, where Python's is a long number."""

    def message(self, **options: Any) -> Any:
        message = super().message(**options)
        message.set_boundary("=_next_part_of_this_mail")
        return message


def render(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The message, complete and checked: what is wrong with it is raised here, before anybody is called."""
    if not _ONE_ADDRESS.fullmatch(mail.to):
        raise ValueError("not one address that SMTP can take")
    language = mail.language if mail.language in LANGUAGES else LANGUAGES[0]
    with translation.override(language):
        subject, text, html = parts(mail, language)
    message = LetteredMessage(subject, text, to=[mail.to], headers=headers(mail, language))
    message.attach_alternative(html, "text/html")
    if settings.SUPPORT_EMAIL:
        message.reply_to = [settings.SUPPORT_EMAIL]
    message.message()
    return message


def parts(mail: OutgoingMail, language: str) -> tuple[str, str, str]:
    """Subject, plain text and HTML."""
    template = f"mail/{language}/{mail.template}.txt"
    words = context(mail, LETTERS[mail.template], language)
    subject = " ".join(render_to_string(template, {**words, "layout": "mail/subject.txt"}).split())
    text = render_to_string(template, {**words, "layout": "mail/plain.txt"})
    html = render_to_string(template, {**words, "layout": "mail/page.html", "subject": subject})
    return subject, re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", re.sub(r"\n{2,}", "\n", html)


def context(mail: OutgoingMail, letter: Letter, language: str) -> dict[str, Any]:
    words = {
        "language": language,
        "site_name": settings.SITE_NAME,
        "support_email": settings.SUPPORT_EMAIL,
        "public_url": settings.PUBLIC_URL,
    }
    if letter.purpose:
        words |= secrets(mail, letter, letter.purpose, language)
    if letter.tells_where:
        words |= {
            "when": f"{format_date(happened_at(mail).astimezone(UTC), 'j E Y, H:i')} UTC",
            "device": device_name(mail.context.get("device", ""), language),
            "ip": mail.context.get("ip", ""),
        }
    return words


def happened_at(mail: OutgoingMail) -> datetime:
    """A letter that is sent again still speaks of the first time."""
    at = mail.context.get("at")
    return datetime.fromisoformat(at) if at else mail.created_at


def secrets(mail: OutgoingMail, letter: Letter, purpose: str, language: str) -> dict[str, Any]:
    """Code and link of the mail's challenge, made here and stored nowhere."""
    if mail.challenge_id is None:
        raise ValueError(f"{mail.template} needs a challenge")
    life = settings.INVITATION_SECONDS if purpose == "invitation" else settings.LINK_SECONDS
    has_code = letter.has_code and mail.with_code
    return {
        "code": code_for(mail.challenge_id, purpose) if has_code else "",
        "link": f"{settings.PUBLIC_URL}{letter.page}?token={link_token(mail.challenge_id, purpose)}",
        "code_lifetime": lifetime(mail.context.get("code_seconds", settings.CODE_SECONDS), language),
        "link_lifetime": lifetime(mail.context.get("link_seconds", life), language),
    }


def device_name(device: str, language: str) -> str:
    """ "Firefox on Linux". The parser copies parts of the caller's text: so no digits, dots or links."""
    name = " ".join(re.sub(r"[^A-Za-z ]", "", device).split())[:60]
    if language == "ru":
        return name.replace(" on ", " на ").replace("Unknown device", "неизвестное")
    return name


def headers(mail: OutgoingMail, language: str) -> dict[str, str]:
    """RFC 3834, so that no holiday notice answers. One Message-ID per mail, so that a repeat is known."""
    return {
        "Message-ID": f"<{in_letters(mail.pk)}@{own_domain()}>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "Content-Language": language,
    }


def in_letters(identifier: UUID) -> str:
    return identifier.hex.translate(_TO_LETTERS)


def own_domain() -> str:
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return domain if domain and domain.isascii() else "localhost"
