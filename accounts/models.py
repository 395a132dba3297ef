"""Who there is: people, their sessions, what they must prove, and what is counted against guessing."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, models
from django.db.models import Q, Value
from django.db.models.functions import Coalesce, Lower, Now
from django.utils import timezone

import accounts.job_models  # noqa: F401 - Django finds models only from here
from audit.models import Event
from core.clock import EPOCH
from core.ids import uuid7
from core.secrets import fingerprint
from rbac.backend import RoleBackend
from rbac.builtin import USER
from rbac.holdings import holdings, live_roles_of
from rbac.models import RoleGrant

# 5 s that a replica may be behind, 5 s that the clocks of hosts may differ, and 10 s, which no request takes, from the
# event to the commit.
JUST = timedelta(seconds=20)
_SHOWN = ("id", "email", "username", "first_name", "middle_name", "last_name", "language", "is_active", "is_verified")
ROW = (*_SHOWN, "is_staff", "created_at", "updated_at", "last_login", "email_key", "live_roles")


class UserQuerySet(models.QuerySet["User"]):
    def pending(self) -> Self:
        """Signed up by themselves and never proved their address: they do not block it."""
        return self.filter(joined_by=User.JoinedBy.SIGN_UP, is_verified=False, is_active=True)

    def without_roles(self) -> Self:
        """Given nothing beyond the role that everyone has."""
        return self.exclude(pk__in=RoleGrant.objects.exclude(role__name=USER).values("user_id"))

    def search(self, text: str) -> Self:
        """Any part of e-mail, username or a name, case ignored in any script."""
        return self.filter(search_text__contains=text.casefold())

    def called(self, username: str) -> Self:
        """By username in any case, spelled as its index is: `iexact` would read everybody. Usernames are in ASCII."""
        if not username.isascii():
            return self.none()
        # Lowered by the database too: a Turkish one does not make an i of an I.
        return self.alias(username_key=Lower("username")).filter(username_key=Lower(Value(username)))

    def with_clock(self) -> Self:
        """With `now`, the database's clock."""
        return self.annotate(now=Now())

    def sortable(self) -> Self:
        """With `last_login_key`, which is never null: somebody who never logged in comes first."""
        return self.annotate(last_login_key=Coalesce("last_login", Value(EPOCH)))

    def as_rows(self) -> models.QuerySet["User", tuple[Any, ...]]:
        """Tuples of `ROW`: what lists show and sort by, the live roles with it."""
        return self.annotate(live_roles=live_roles_of("pk")).values_list(*ROW)


class User(AbstractBaseUser):
    """One person. `is_active`, `is_verified` and being locked out for guessing are three separate facts."""

    class JoinedBy(models.TextChoices):
        SIGN_UP = "signup"
        ADMINISTRATOR = "administrator"
        COMMAND = "command"
        IMPORT = "import"

    NAMES = ("first_name", "middle_name", "last_name")
    SEARCHED = ("email", "username", *NAMES)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(max_length=254, help_text="As typed; mail goes here and nowhere else.")
    email_key = models.CharField(max_length=254, unique=True, help_text="The canonical form, which is unique.")
    password = models.CharField(max_length=255)  # the hashes of other systems can be long
    username = models.CharField(max_length=30, null=True, blank=True)  # noqa: DJ001 - null: many have none
    first_name = models.CharField(max_length=150, blank=True)
    middle_name = models.CharField(max_length=150, blank=True)
    last_name = models.CharField(max_length=150, blank=True)
    language = models.CharField(max_length=2, choices=[("en", "English"), ("ru", "Русский")], default="en")
    is_active = models.BooleanField(default=True)
    is_verified = models.BooleanField(default=False)
    is_staff = models.BooleanField(default=False)
    joined_by = models.CharField(max_length=16, choices=JoinedBy.choices, default=JoinedBy.SIGN_UP)
    external_id = models.CharField(  # noqa: DJ001 - null: most have none
        max_length=128, null=True, blank=True, help_text="What the system that it was taken over from calls it."
    )
    password_contested = models.BooleanField(
        default=False,
        help_text="Sign-ups with different passwords: only one carried by the verification counts.",
    )
    search_text = models.TextField(editable=False, default="")
    created_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    USERNAME_FIELD = "email_key"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserQuerySet.as_manager()
    held_roles: list[dict[str, str]]  # id and name of each, in those users with whom they were read
    now: datetime  # by `with_clock`

    class Meta:
        db_table = "users"
        constraints = [
            models.UniqueConstraint(Lower("username"), name="users_username_any_case"),
            models.UniqueConstraint(
                fields=["external_id"], condition=Q(external_id__isnull=False), name="users_external_id"
            ),
        ]
        indexes = [
            models.Index(fields=["created_at", "id"], name="users_by_created"),
            models.Index(Coalesce("last_login", Value(EPOCH)), "id", name="users_by_last_login"),
            # The few that staff looks for; nobody else stands in them.
            models.Index(fields=["created_at", "id"], condition=Q(is_staff=True), name="users_staff"),
            models.Index(fields=["created_at", "id"], condition=Q(is_active=False), name="users_inactive"),
            models.Index(fields=["created_at", "id"], condition=Q(is_verified=False), name="users_unverified"),
        ]

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, update_fields: Any = None, **kwargs: Any) -> None:
        """Keeps `search_text` true whenever something that it holds is saved."""
        if update_fields is None or set(self.SEARCHED) & set(update_fields):
            self.fill_search_text()
            update_fields = None if update_fields is None else {*update_fields, "search_text"}
        super().save(*args, update_fields=update_fields, **kwargs)

    def fill_search_text(self) -> None:
        self.search_text = "\n".join(getattr(self, name) or "" for name in self.SEARCHED).casefold()

    @property
    def full_name(self) -> str:
        """Empty for whoever gave no name."""
        return " ".join(filter(None, (getattr(self, name) for name in self.NAMES)))

    @property
    def is_superuser(self) -> bool:
        """Django's admin asks. Holding the role `admin` is all there is to it."""
        return self.is_active and "admin" in holdings(self).roles

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return RoleBackend().has_perm(self, perm, obj)

    def has_perms(self, perm_list: list[str], obj: object = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        return RoleBackend().has_module_perms(self, app_label)


class SigningKeyQuerySet(models.QuerySet["SigningKey"]):
    def ours(self) -> Self:
        """Sealed under the present SECRET_KEY."""
        return self.filter(sealed_under=fingerprint())

    def signing(self) -> Self:
        """The one that signs, or none."""
        return self.ours().filter(retired_at=None)


class SigningKey(models.Model):
    """One key that signs tokens, or has signed some that may still be good. Useless without SECRET_KEY.

    Each SECRET_KEY has a signing key of its own: a host that was given another one by mistake neither reads nor
    retires the key of the others.
    """

    class Algorithm(models.TextChoices):
        HS256 = "HS256"
        EDDSA = "EdDSA"
        RS256 = "RS256"

    kid = models.CharField(max_length=32, primary_key=True)
    algorithm = models.CharField(max_length=8, choices=Algorithm.choices)
    sealed = models.BinaryField(help_text="The private half, encrypted under SECRET_KEY.")
    sealed_under = models.CharField(max_length=16, help_text="Which SECRET_KEY: its fingerprint.")
    created_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True, help_text="Signs no more since; what it signed stays good.")
    revoked_at = models.DateTimeField(null=True, help_text="What it signed is refused since.")

    objects = SigningKeyQuerySet.as_manager()

    class Meta:
        db_table = "signing_keys"
        constraints = [
            models.UniqueConstraint(
                fields=["sealed_under"], condition=Q(retired_at=None), name="signing_keys_one_signs"
            ),
            models.CheckConstraint(
                condition=Q(revoked_at=None) | Q(retired_at__isnull=False), name="signing_keys_revoked_is_retired"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kid} ({self.algorithm})"


class SessionQuerySet(models.QuerySet["Session"]):
    def live(self) -> Self:
        return self.filter(ended_at=None, refresh_expires_at__gt=Now(), user__is_active=True)

    def about_how_many_live(self, exact_up_to: int) -> int:
        """Counting millions takes seconds; PostgreSQL keeps an estimate of how many rows its index holds."""
        index = "sessions_live_of_user"
        if connection.vendor != "postgresql":
            return self.filter(ended_at=None).count()
        counted = self.filter(ended_at=None)[:exact_up_to].count()
        if counted < exact_up_to:
            return counted
        with connection.cursor() as cursor:
            cursor.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [index])
            return max(counted, int(cursor.fetchone()[0]))

    def with_clock(self) -> Self:
        """With `now`, the database's clock, which alone decides about lifetimes; those of a revoked key are not
        there, whether or not somebody has come round to ending them."""
        return self.select_related("user").annotate(now=Now()).filter(key__revoked_at=None)


class Session(models.Model):
    """One log-in on one device, and the only authority on its tokens.

    A token names its session (`sid`) and generation (`gen`). Everything that goes into the latest pair of tokens
    stands here, so that the pair can be signed again letter by letter; the tokens themselves are nowhere.
    """

    class Ended(models.TextChoices):
        LOG_OUT = "log_out"
        REVOKED = "revoked"
        REUSED = "reused"
        PASSWORD = "password"  # noqa: S105
        EMAIL = "email"
        DEACTIVATED = "deactivated"
        KEY = "key"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="sessions")
    gen = models.PositiveIntegerField(default=1)
    key = models.ForeignKey(
        SigningKey,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,  # or each log-in would lock the one row that all of them name
        db_index=False,
        help_text="What signs the tokens of the present generation.",
    )
    created_at = models.DateTimeField()
    rotated_at = models.DateTimeField(help_text="When the present generation was made: the `iat` of its tokens.")
    rotated_from = models.CharField(
        max_length=64, blank=True, db_default="", help_text="The network that asked for it."
    )
    access_expires_at = models.DateTimeField()
    refresh_expires_at = models.DateTimeField(help_text="The idle limit, and never past `expires_at`.")
    expires_at = models.DateTimeField(help_text="The absolute limit.")
    last_used_at = models.DateTimeField()
    ip = models.GenericIPAddressField(null=True)
    device = models.CharField(max_length=100)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=16, choices=Ended.choices, blank=True)

    objects = SessionQuerySet.as_manager()
    now: datetime  # by `with_clock`

    class Meta:
        db_table = "sessions"
        indexes = [
            models.Index(fields=["user"], condition=Q(ended_at=None), name="sessions_live_of_user"),
            models.Index(fields=["expires_at"], name="sessions_by_expiry"),
            models.Index(fields=["key", "id"], condition=Q(ended_at=None), name="sessions_live_of_key"),
            models.Index(fields=["ip", "id"], name="sessions_by_ip"),
        ]

    def __str__(self) -> str:
        return f"{self.device} since {self.created_at:%Y-%m-%d}"

    def has_just_written(self) -> bool:
        """Whether its user changed something that a replica may not know yet; every change has its event."""
        then = self.now - JUST
        return self.rotated_at > then or Event.objects.filter(actor_id=self.user_id, at__gt=then).exists()


class Challenge(models.Model):
    """One thing that somebody must prove: their address, a reset, an address change, an invitation.

    Code and link are derived from the id (`core.secrets`), so nothing here can be typed or clicked.
    """

    class Purpose(models.TextChoices):
        VERIFY = "verify"
        RESET = "reset"
        EMAIL_CHANGE = "email_change"
        INVITATION = "invitation"

    MAX_ATTEMPTS = 5

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="challenges")
    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    email = models.EmailField(max_length=254, help_text="The address that the mail goes to.")
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(help_text="When a mail last carried it.")
    code_expires_at = models.DateTimeField()
    link_expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "challenges"
        constraints = [
            models.UniqueConstraint(
                fields=["user", "purpose"],
                condition=Q(used_at=None, voided_at=None),
                name="challenges_one_open_per_purpose",
            )
        ]
        indexes = [models.Index(fields=["link_expires_at"], name="challenges_by_expiry")]

    def __str__(self) -> str:
        return f"{self.purpose} of {self.user_id}"


class KnownPlace(models.Model):
    """A network and a device from which somebody has signed in before."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="known_places")
    network = models.CharField(max_length=64)
    device = models.CharField(max_length=100)
    last_at = models.DateTimeField()

    class Meta:
        db_table = "known_places"
        constraints = [models.UniqueConstraint(fields=["user", "network", "device"], name="known_places_once")]

    def __str__(self) -> str:
        return f"{self.device} at {self.network}"


class FailedLogIns(models.Model):
    """Failures in a row for one account from one network; the row with an empty network counts them all.

    `account` is a keyed hash of the user's id or, for a name that nobody has, of that name, so that unknown
    names are limited exactly like known ones.
    """

    account = models.CharField(max_length=64)
    network = models.CharField(max_length=64, blank=True)
    count = models.PositiveIntegerField(default=0)
    waits = models.PositiveSmallIntegerField(default=0, help_text="How often this network had to wait.")
    wait_until = models.DateTimeField(null=True)
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "failed_log_ins"
        verbose_name = "failed log-ins"
        verbose_name_plural = "failed log-ins"
        constraints = [models.UniqueConstraint(fields=["account", "network"], name="failed_log_ins_once")]
        indexes = [models.Index(fields=["updated_at"], name="failed_log_ins_by_age")]

    def __str__(self) -> str:
        return f"{self.count} failures"


class Counter(models.Model):
    """How often something happened in a window of time, where there is no Redis to count it."""

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "counters"

    def __str__(self) -> str:
        return f"{self.count} until {self.expires_at:%H:%M:%S}"
