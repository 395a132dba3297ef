"""One row of an import: what its cells say, or what is wrong with them. Asks no database."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.addresses import Address, parse_address
from accounts.foreign_hashes import Unknown, taken_over
from accounts.table_files import BadRecord, Cells
from accounts.validators import name_validator, username_validator
from core.language import Words

NAMES = ("first_name", "middle_name", "last_name")
FIELDS = (
    *("email", "username", *NAMES, "language", "is_active", "is_verified"),
    *("roles", "external_id", "password_hash", "created_at"),
)
DROPPED = ("id", "updated_at", "last_login")  # our own export has them
KNOWN = (*FIELDS, *DROPPED)


class Fault(NamedTuple):
    field: str
    code: str
    words: Words


class GivenRole(NamedTuple):
    name: str
    expires_at: datetime | None


@dataclass(slots=True)
class Row:
    """`values` are what it says and hold no empty cell: an empty one says nothing."""

    number: int
    address: Address | None = None
    values: dict[str, Any] = field(default_factory=dict)
    roles: list[GivenRole] = field(default_factory=list)
    password: str = ""
    faults: list[Fault] = field(default_factory=list)

    @property
    def external_id(self) -> str | None:
        return self.values.get("external_id")


def read_row(number: int, cells: Cells | BadRecord) -> Row:
    row = Row(number)
    if isinstance(cells, BadRecord):
        row.faults.append(Fault("row", cells.code, cells.words))
        return row
    for name, value in cells.items():
        if name in READERS and value not in (None, "", []):
            try:
                READERS[name](row, name, value)
            except ValidationError as error:
                row.faults.append(Fault(name, error.code or "invalid", error.message))
    if row.address is None and not any(fault.field == "email" for fault in row.faults):
        row.faults.append(Fault("email", "required", _("Each row needs an address.")))
    return row


def _text(value: Any, most: int = 255) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValidationError(_("This must be text."), "invalid")
    if len(value) > most:
        raise ValidationError(_("This is too long."), "max_length")
    return value


def _email(row: Row, name: str, value: Any) -> None:
    try:
        row.address = parse_address(_text(value))
    except ValueError as error:
        raise ValidationError(_("Not an e-mail address."), "invalid_email") from error


def _username(row: Row, name: str, value: Any) -> None:
    username_validator(text := _text(value).strip())
    row.values[name] = text


def _name(row: Row, name: str, value: Any) -> None:
    text = _text(value, 1000).strip()
    if len(text) > 150:
        raise ValidationError(_("This is too long."), "max_length")
    name_validator(text)
    if text:
        row.values[name] = text


def _language(row: Row, name: str, value: Any) -> None:
    text = _text(value).strip().lower()
    if text not in ("en", "ru"):
        raise ValidationError(_("Languages are en and ru."), "invalid_choice")
    row.values[name] = text


def _flag(row: Row, name: str, value: Any) -> None:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    found = known.get(str(value).strip().lower())
    if found is None:
        raise ValidationError(_("Write true or false."), "invalid")
    row.values[name] = found


def _external_id(row: Row, name: str, value: Any) -> None:
    text = _text(value, 128).strip()
    name_validator(text)
    if text:
        row.values[name] = text


def _created_at(row: Row, name: str, value: Any) -> None:
    row.values[name] = moment = _moment(_text(value))
    if moment > datetime.now(UTC):
        raise ValidationError(_("This lies in the future."), "future")


def _moment(text: str) -> datetime:
    """Without an offset, in UTC."""
    try:
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValidationError(_("Write a moment as 2027-01-31T00:00:00Z."), "invalid") from error


def _roles(row: Row, name: str, value: Any) -> None:
    """`editor clerk@2027-01-31T00:00:00Z`: a name, and when its grant ends. Grants that have ended are left out."""
    parts = value if isinstance(value, list) else re.split(r"[\s,;|]+", _text(value, 5000).strip())
    for part in parts:
        role, _at, until = _text(part).partition("@")
        ends = _moment(until) if until else None
        if role and (ends is None or ends > datetime.now(UTC)):
            row.roles.append(GivenRole(role.lower(), ends))


def _password_hash(row: Row, name: str, value: Any) -> None:
    text = json.dumps(value) if isinstance(value, dict) else _text(value, 5000)
    try:
        row.password = taken_over(text)
        row.password.encode("ascii")
    except Unknown as error:
        raise ValidationError(str(error), "unknown_hash") from error
    except ValueError as error:
        raise ValidationError(_("This is no hash."), "unknown_hash") from error


READERS: dict[str, Callable[[Row, str, Any], None]] = {
    "email": _email,
    "username": _username,
    **dict.fromkeys(NAMES, _name),
    "language": _language,
    "is_active": _flag,
    "is_verified": _flag,
    "roles": _roles,
    "external_id": _external_id,
    "password_hash": _password_hash,
    "created_at": _created_at,
}
