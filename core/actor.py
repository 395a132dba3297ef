"""Who does something, and from where: the first argument of every service."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from core.client import client_address, device_of


@dataclass(frozen=True, slots=True)
class Actor:
    """A person (`user`), a stranger (no user), or the system itself (a command or a task)."""

    user: Any = None
    ip: str | None = None
    device: str = ""
    request_id: str = ""
    session_id: UUID | None = None
    is_system: bool = False

    @classmethod
    def of(cls, request: Any) -> "Actor":
        """The actor of a DRF or Django request. Its `user` may be signed in or not."""
        user = getattr(request, "user", None)
        user = user if user is not None and user.is_authenticated else None
        session = getattr(request, "auth", None) or getattr(request, "session_row", None)
        return replace(cls.unknown(request), user=user, session_id=getattr(session, "pk", None))

    @classmethod
    def unknown(cls, request: Any) -> "Actor":
        """Whoever it is: for what happens before that is known."""
        return cls(
            ip=client_address(request),
            device=device_of(request.META.get("HTTP_USER_AGENT", "")),
            request_id=getattr(request, "request_id", ""),
        )

    @classmethod
    def system(cls, name: str) -> "Actor":
        """A command or a task; `name` says which, in logs and events."""
        return cls(device=name, is_system=True)

    @property
    def user_id(self) -> UUID | None:
        return self.user.pk if self.user is not None else None
