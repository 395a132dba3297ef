"""Strong entity tags of users (RFC 9110 §8.8.3): they change with profile and roles, not with a log-in."""

import json
from hashlib import sha256

from accounts.models import User
from accounts.serializers.users import user_data


def etag_of(user: User) -> str:
    data = {name: value for name, value in user_data(user).items() if name != "last_login"}
    return f'"{sha256(json.dumps(data, default=str, sort_keys=True).encode()).hexdigest()[:32]}"'


def fits(if_match: str, user: User) -> bool:
    """Whether a change that carries this If-Match may go ahead (§13.1.1). A weak tag never fits."""
    tags = [tag.strip() for tag in if_match.split(",")]
    return tags == ["*"] or etag_of(user) in tags
