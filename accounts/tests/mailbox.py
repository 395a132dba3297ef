"""What was mailed, and the codes and links in it."""

from accounts.models import Challenge
from core.secrets import code_for, link_token
from mail.models import OutgoingMail


def mails_to(email: str) -> list[str]:
    """The names of the letters that went to this address, oldest first."""
    return list(OutgoingMail.objects.filter(to=email).order_by("created_at", "id").values_list("template", flat=True))


def mail_count() -> int:
    return OutgoingMail.objects.count()


def latest_challenge(email: str, purpose: str = "verify") -> Challenge:
    """The one that the latest mail to this address carries."""
    mail = OutgoingMail.objects.filter(to=email, template=purpose).order_by("created_at", "id").last()
    assert mail is not None, f"no {purpose} mail to {email}"
    return Challenge.objects.get(pk=mail.challenge_id)


def code_in_mail(email: str, purpose: str = "verify") -> str:
    challenge = latest_challenge(email, purpose)
    return code_for(challenge.pk, challenge.purpose)


def token_in_mail(email: str, purpose: str = "verify") -> str:
    challenge = latest_challenge(email, purpose)
    return link_token(challenge.pk, challenge.purpose)


def wrong(code: str) -> str:
    """Six other digits."""
    return f"{(int(code) + 1) % 1_000_000:06d}"
