"""Which mails there are, and what each carries."""

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from core.language import Words

VERIFY_PAGE = "/account/verify"
RESET_PAGE = "/account/reset"

LANGUAGES = ("en", "ru")


@dataclass(frozen=True)
class Letter:
    """One kind of mail; its words stand in `templates/mail/<language>/<name>.txt`.

    `called` is what staff knows it by. `purpose` is that of the challenge whose code and link it carries, `page`
    where the link leads. `tells_where` adds time, device and address of what happened. `gives_way` to all others:
    a list of members is invited at once, and nobody's code shall wait behind it.
    """

    called: Words
    purpose: str | None = None
    page: str = ""
    has_code: bool = False
    tells_where: bool = False
    gives_way: bool = False


LETTERS = {
    "verify": Letter(_("Verification"), purpose="verify", page=VERIFY_PAGE, has_code=True),
    "reset": Letter(_("Password reset"), purpose="reset", page=RESET_PAGE, has_code=True),
    "email_change": Letter(_("Confirm a new address"), purpose="email_change", page=VERIFY_PAGE, has_code=True),
    "invitation": Letter(_("Invitation"), purpose="invitation", page=RESET_PAGE, gives_way=True),
    "already_registered": Letter(_("You have an account already")),
    "account_closed": Letter(_("Your account is closed")),
    "email_taken": Letter(_("Somebody wanted this address")),
    "email_change_notice": Letter(_("A new address was asked for"), tells_where=True),
    "email_changed": Letter(_("Address changed"), tells_where=True),
    "password_changed": Letter(_("Password changed"), tells_where=True),
    "session_reused": Letter(_("A session was ended for safety"), tells_where=True),
    "new_device": Letter(_("Sign-in from a new device"), tells_where=True),
}
