"""The database's clock decides, and nobody can set it: so time passes by making everything older."""

from datetime import timedelta

from django.db.models import DateTimeField, F

from accounts.job_models import Job, StoredFile
from accounts.models import Challenge, Counter, FailedLogIns, KnownPlace, Session, SigningKey, User
from mail.models import OutgoingMail

AGEING = (User, Session, SigningKey, Challenge, FailedLogIns, KnownPlace, Counter, OutgoingMail, Job, StoredFile)


def time_passes(**duration: float) -> None:
    """`time_passes(minutes=15)`; windows that Redis counts know nothing of it."""
    by = timedelta(**duration)
    for model in AGEING:
        times = [field.name for field in model._meta.get_fields() if isinstance(field, DateTimeField)]
        model._default_manager.update(**{name: F(name) - by for name in times})
