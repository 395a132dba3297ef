"""Paragraphs, divided by blank lines, as plain text and as HTML: the same words serve both parts."""

import re
from textwrap import fill

from django import template
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

# Below 998 bytes even in Cyrillic: longer lines would make the mail quoted-printable, code and link too.
WIDTH = 72


def split(text: str) -> list[str]:
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    return [fill(part, WIDTH, break_long_words=False, break_on_hyphens=False) for part in paragraphs if part]


@register.filter
def plain(text: str) -> str:
    return "\n\n".join(split(text))


@register.filter
def html(text: str) -> SafeString:
    escaped = conditional_escape(text)
    return mark_safe("\n".join(f'<p style="margin:0 0 16px">{part}</p>' for part in split(escaped)))  # noqa: S308
