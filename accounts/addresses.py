"""E-mail addresses: what we accept, and the one form in which two of them are the same.

Policy: ASCII before the @ (mail servers that take more are rare, look-alikes are not), any domain that IDNA
knows after it, no IP literals. Two addresses are one when they differ in case only.
"""

from typing import NamedTuple

import email_validator
from email_validator import EmailNotValidError, validate_email

MAX_LENGTH = 254
# A self-hosted service may well serve people at `corp.local` or `team.test`.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


class Address(NamedTuple):
    email: str
    """As typed, with the domain in lower case: mail goes there."""
    key: str
    """Canonical: what is unique."""


def parse_address(typed: str) -> Address:
    """Raises ValueError when `typed` is no address that we accept."""
    if len(typed) > MAX_LENGTH:
        raise ValueError("too long")
    try:
        found = validate_email(typed.strip(" "), check_deliverability=False, allow_smtputf8=False, strict=True)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error
    email = f"{found.local_part}@{found.ascii_domain}"
    return Address(email, email.casefold())


def canonical(typed: str) -> str:
    """The key of whatever somebody typed at log-in; of no address at all, something that nobody has."""
    try:
        return parse_address(typed).key
    except ValueError:
        return f"?{typed.casefold()}"[:MAX_LENGTH]
