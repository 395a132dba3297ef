"""Strong entity tags of users (RFC 9110 §8.8.3): they change with profile and roles, not with a log-in."""

from datetime import datetime
from hashlib import sha256
from typing import Any

from accounts.models import User
from accounts.serializers.users import user_data


def etag_of(user: User) -> str:
    return etag_of_data(user_data(user))


def etag_of_data(user: dict[str, Any]) -> str:
    """`user` as `user_data` gives it."""
    said = [
        str(value) if isinstance(value, datetime) else value for name, value in user.items() if name != "last_login"
    ]
    return f'"{sha256(repr(said).encode(errors="backslashreplace")).hexdigest()[:32]}"'


def fits(if_match: str, user: User) -> bool:
    """Whether a change that carries this If-Match may go ahead (§13.1.1). A weak tag never fits."""
    tags = [tag.strip() for tag in if_match.split(",")]
    return tags == ["*"] or etag_of(user) in tags
