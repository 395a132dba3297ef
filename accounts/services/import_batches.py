"""A few hundred rows of an import at a time: what they mean for the accounts there are, and making it so."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import DataError, IntegrityError, transaction
from django.db.models.functions import Lower, Now
from django.utils.translation import gettext_lazy as _

from accounts.addresses import Address
from accounts.hashing import make_password
from accounts.import_rows import NAMES, Fault, Row
from accounts.models import User
from accounts.services.profile import give_way, holder
from accounts.services.registration import welcome
from audit.models import Event
from audit.services import event
from core.actor import Actor
from core.errors import PrivilegeEscalation
from rbac.builtin import USER
from rbac.guards import may_grant, one_at_a_time, outranks
from rbac.holdings import forget
from rbac.models import Role, RoleGrant

RESULTS = CREATED, UPDATED, UNCHANGED, REFUSED = "created", "updated", "unchanged", "error"
CHANGEABLE = ("username", *NAMES, "language")


@dataclass(slots=True)
class Verdict:
    row: Row
    result: str
    faults: list[Fault] = field(default_factory=list)


def rehearsed(actor: Actor, rows: list[Row]) -> list[Verdict]:
    forget(actor.user)
    return Batch(actor, rows).plan()


def carried_out(actor: Actor, rows: list[Row], invite: bool) -> list[Verdict]:
    if any(row.roles for row in rows):
        one_at_a_time()  # what roles hold does not change between the look and the grant
    forget(actor.user)
    try:
        with transaction.atomic():
            return _together(actor, rows, invite)
    except (IntegrityError, DataError):
        return [_alone(actor, row, invite) for row in rows]


def _alone(actor: Actor, row: Row, invite: bool) -> Verdict:
    for _attempt in range(2):
        try:
            with transaction.atomic():
                return _together(actor, [row], invite)[0]
        except IntegrityError:
            continue
        except DataError:
            break
    return Verdict(row, REFUSED, [Fault("row", "conflict", _("Somebody else has this address, name or id just now."))])


def _together(actor: Actor, rows: list[Row], invite: bool) -> list[Verdict]:
    batch = Batch(actor, rows)
    verdicts = batch.plan()
    if batch.changed:  # plan again with these locked: nobody changes them in between
        batch = Batch(actor, rows, lock=set(batch.changed))
        verdicts = batch.plan()
    batch.carry_out(invite)
    return verdicts


class Batch:
    """Some rows, and whatever of theirs stands in the database. `plan` reads, `carry_out` writes what was planned."""

    def __init__(self, actor: Actor, rows: list[Row], lock: set[UUID] | None = None) -> None:
        self.actor, self.rows = actor, rows
        self.new: dict[UUID, tuple[User, Row]] = {}
        self.changed: dict[UUID, tuple[User, set[str]]] = {}
        self.giving_way: list[Address] = []
        self.refused: list[UUID] = []
        self.roles = {role.name.lower(): role for role in Role.objects.all()} if any(r.roles for r in rows) else {}
        self.may_give: dict[str, bool] = {}
        if lock:
            list(User.objects.select_for_update(no_key=True).filter(pk__in=lock).order_by("pk").values_list("pk"))
        self._find()

    def _find(self) -> None:
        good = [row for row in self.rows if not row.faults and row.address]
        keys = [row.address.key for row in good if row.address]
        ids = [row.external_id for row in good if row.external_id]
        names = [row.values["username"].lower() for row in good if "username" in row.values]
        found: dict[UUID, User] = {}

        def read(**condition: Any) -> list[User]:
            rows = User.objects.annotate(name_key=Lower("username")).filter(**condition).defer("search_text")
            return [found.setdefault(user.pk, user) for user in rows]

        self.by_key = {user.email_key: user for user in read(email_key__in=keys)}
        self.by_external_id = {user.external_id: user for user in (read(external_id__in=ids) if ids else [])}
        self.by_name = {(u.username or "").lower(): u.pk for u in (read(name_key__in=names) if names else [])}

    def plan(self) -> list[Verdict]:
        return [self._verdict(row) for row in self.rows]

    def _verdict(self, row: Row) -> Verdict:
        if row.faults or row.address is None:
            return Verdict(row, REFUSED, row.faults)
        known = self.by_external_id.get(row.external_id) if row.external_id else None
        here = self.by_key.get(row.address.key)
        if here and here.joined_by == User.JoinedBy.SIGN_UP and not here.is_verified:
            here = holder(row.address)
        if known and (here is None or known.pk != here.pk):
            words = _("The account with this id has another address. Change the address there; an import never does.")
            return Verdict(row, REFUSED, [Fault("external_id", "other_address", words)])
        return self._update(row, here) if here else self._create(row, row.address)

    def _create(self, row: Row, address: Address) -> Verdict:
        waiting = self.by_key.get(address.key)
        if faults := [*self._name_faults(row, waiting), *self._role_faults(row)]:
            return Verdict(row, REFUSED, faults)
        user = User(email=address.email, email_key=address.key, password=row.password, **row.values)
        user.joined_by = User.JoinedBy.IMPORT
        if waiting:
            self.giving_way.append(address)
        self.new[user.pk] = user, row
        self._remember(user)
        return Verdict(row, CREATED)

    def _update(self, row: Row, user: User) -> Verdict:
        """Only what is said and differs; never password, address, flags or roles."""
        changes = {name: row.values[name] for name in CHANGEABLE if name in row.values}
        changes = {name: value for name, value in changes.items() if getattr(user, name) != value}
        if row.external_id and user.external_id != row.external_id:
            if user.external_id:
                words = _("The account with this address has another id.")
                return Verdict(row, REFUSED, [Fault("external_id", "other_id", words)])
            changes["external_id"] = row.external_id
        if not changes:
            return Verdict(row, UNCHANGED)
        if faults := [*self._name_faults(row, user), *self._rank_faults(user)]:
            return Verdict(row, REFUSED, faults)
        for name, value in changes.items():
            setattr(user, name, value)
        self.changed.setdefault(user.pk, (user, set()))[1].update(changes)
        self._remember(user)
        return Verdict(row, UPDATED)

    def _remember(self, user: User) -> None:
        self.by_key[user.email_key] = user
        if user.external_id:
            self.by_external_id[user.external_id] = user
        if user.username:
            self.by_name[user.username.lower()] = user.pk

    def _name_faults(self, row: Row, user: User | None) -> list[Fault]:
        owner = self.by_name.get(row.values.get("username", "").lower())
        is_taken = owner is not None and (user is None or owner != user.pk)
        return [Fault("username", "taken", _("Somebody else has this one."))] if is_taken else []

    def _rank_faults(self, user: User) -> list[Fault]:
        if user.pk in self.new or self.actor.is_system:
            return []
        try:
            outranks(self.actor, user)
        except PrivilegeEscalation as refusal:
            self.refused.append(user.pk)
            return [Fault("row", refusal.code, refusal.words)]
        return []

    def _role_faults(self, row: Row) -> list[Fault]:
        faults = []
        for given in row.roles:
            if given.name not in self.roles:
                faults.append(Fault("roles", "unknown", _("There is no such role.")))
            elif given.name != USER and not self._may_give(given.name):
                faults.append(Fault("roles", PrivilegeEscalation.code, PrivilegeEscalation.default_detail))
        return faults

    def _may_give(self, name: str) -> bool:
        if name not in self.may_give:
            self.may_give[name] = self.actor.is_system or self.actor.user.has_perm("role:assign")
            try:
                may_grant(self.actor, self.roles[name])
            except PrivilegeEscalation:
                self.may_give[name] = False
        return self.may_give[name]

    def carry_out(self, invite: bool) -> None:
        for address in self.giving_way:
            give_way(self.actor, address, but=User())
        events = self._insert() + self._save()
        Event.objects.bulk_create(events)
        for user, _row in self.new.values() if invite else ():
            if user.is_active and not (user.is_verified and user.has_usable_password()):
                welcome(user)

    def _insert(self) -> list[Event]:
        default = Role.objects.get(name=USER)
        grants, events = [], []
        for user, row in self.new.values():
            user.password = user.password or make_password(None)
            user.fill_search_text()
            roles = {USER: None, **{given.name: given.expires_at for given in row.roles if given.name != USER}}
            for name, ends in roles.items():
                role = default if name == USER else self.roles[name]
                grants.append(RoleGrant(user=user, role=role, expires_at=ends, granted_by_id=self._giver(name)))
            events.append(event(self.actor, "user.imported", user, roles=sorted(roles)))
        User.objects.bulk_create([user for user, _ in self.new.values()])
        RoleGrant.objects.bulk_create(grants)
        return events

    def _giver(self, role: str) -> UUID | None:
        return None if role == USER else self.actor.user_id

    def _save(self) -> list[Event]:
        events = [
            event(self.actor, "guard.refused", pk, code=PrivilegeEscalation.code, operation="import_users")
            for pk in self.refused
        ]
        for user, fields in self.changed.values():
            if user.pk not in self.new:
                user.updated_at = Now()
                user.save(update_fields=[*fields, "updated_at"])
            events.append(event(self.actor, "user.changed", user, fields=sorted(fields)))
        return events
