"""What can go wrong in the life of an account."""

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
    title = "Wrong name or password"
    default_detail = "No account fits this name and password."


class InvalidRefreshToken(Problem):
    status_code = 401
    code = "invalid_refresh_token"
    title = "Invalid refresh token"
    default_detail = "The refresh token is malformed, expired, used or revoked. Log in again."


class EmailNotVerified(Problem):
    status_code = 403
    code = "email_not_verified"
    title = "Address not verified"
    default_detail = "Prove the address first: POST /api/v1/auth/verify, or ask for the mail again."


class InvalidCode(BadRequest):
    code = "invalid_code"
    title = "Invalid code"
    default_detail = "The code is wrong, used or expired. Ask for a new one."


class InvalidLink(BadRequest):
    code = "invalid_link"
    title = "Invalid link"
    default_detail = "The link is wrong, used or expired. Ask for a new one."


class TooManyAttempts(TooManyRequests):
    code = "too_many_attempts"
    title = "Too many attempts"
    default_detail = "Too many failed attempts. Wait for the time in the Retry-After header, or reset the password."


class AlreadyAccepted(Conflict):
    code = "already_accepted"
    title = "Already accepted"
    default_detail = "This account has a password; there is nothing to invite to."


class AddressTaken(Conflict):
    code = "address_taken"
    title = "Address taken"
    default_detail = "Somebody else has proved this address meanwhile."


def taken(field: str) -> Problem:
    return field_error(field, "taken", "Somebody else has this one.")


def wrong_password(field: str) -> Problem:
    return field_error(field, "wrong_password", "This is not your present password.")
