"""What can go wrong in the life of an account."""

from django.utils.translation import gettext_lazy as _

from core.errors import BadRequest, Conflict, Problem, TooManyRequests, field_error

__all__ = [
    "AddressTaken",
    "AlreadyAccepted",
    "EmailNotVerified",
    "InvalidCode",
    "InvalidCredentials",
    "InvalidLink",
    "InvalidRefreshToken",
    "TooManyAttempts",
    "taken",
    "wrong_password",
]


class InvalidCredentials(Problem):
    status_code = 401
    code = "invalid_credentials"
    title = _("Wrong name or password")
    default_detail = _("No account fits this name and password.")


class InvalidRefreshToken(Problem):
    status_code = 401
    code = "invalid_refresh_token"
    title = _("Invalid refresh token")
    default_detail = _("The refresh token is malformed, expired, used or revoked. Log in again.")


class EmailNotVerified(Problem):
    status_code = 403
    code = "email_not_verified"
    title = _("Address not verified")
    default_detail = _("Prove the address first: POST /api/v1/auth/verify, or ask for the mail again.")


class InvalidCode(BadRequest):
    code = "invalid_code"
    title = _("Invalid code")
    default_detail = _("The code is wrong, used or expired. Ask for a new one.")


class InvalidLink(BadRequest):
    code = "invalid_link"
    title = _("Invalid link")
    default_detail = _("The link is wrong, used or expired. Ask for a new one.")


class TooManyAttempts(TooManyRequests):
    code = "too_many_attempts"
    title = _("Too many attempts")
    default_detail = _("Too many failed attempts. Wait for the time in the Retry-After header, or reset the password.")


class AlreadyAccepted(Conflict):
    code = "already_accepted"
    title = _("Already accepted")
    default_detail = _("This account has a password; there is nothing to invite to.")


class AddressTaken(Conflict):
    code = "address_taken"
    title = _("Address taken")
    default_detail = _("Somebody else has proved this address meanwhile.")


def taken(field: str) -> Problem:
    return field_error(field, "taken", _("Somebody else has this one."))


def wrong_password(field: str) -> Problem:
    return field_error(field, "wrong_password", _("This is not your present password."))
