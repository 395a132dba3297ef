"""Which mails there are, and what each carries."""

from dataclasses import dataclass

VERIFY_PAGE = "/account/verify"
RESET_PAGE = "/account/reset"

LANGUAGES = ("en", "ru")


@dataclass(frozen=True)
class Letter:
    """One kind of mail; its words stand in `templates/mail/<language>/<name>.txt`.

    `purpose` is that of the challenge whose code and link it carries, `page` where the link leads.
    `tells_where` adds time, device and address of what happened.
    """

    purpose: str | None = None
    page: str = ""
    has_code: bool = False
    tells_where: bool = False


LETTERS = {
    "verify": Letter(purpose="verify", page=VERIFY_PAGE, has_code=True),
    "reset": Letter(purpose="reset", page=RESET_PAGE, has_code=True),
    "email_change": Letter(purpose="email_change", page=VERIFY_PAGE, has_code=True),
    "invitation": Letter(purpose="invitation", page=RESET_PAGE),
    "already_registered": Letter(),
    "account_closed": Letter(),
    "email_taken": Letter(),
    "email_change_notice": Letter(tells_where=True),
    "email_changed": Letter(tells_where=True),
    "password_changed": Letter(tells_where=True),
    "session_reused": Letter(tells_where=True),
    "new_device": Letter(tells_where=True),
}
