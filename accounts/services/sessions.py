"""Log in, stay in, get out."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts import keys, limits, presence, tokens
from accounts.addresses import MAX_LENGTH, canonical
from accounts.errors import EmailNotVerified, InvalidCredentials, InvalidRefreshToken
from accounts.hashing import check_password, make_password
from accounts.models import KnownPlace, Session, User
from accounts.services.rotation import rotate
from accounts.tokens import Claims, TokenPair
from audit.services import record, record_failure
from core import metrics
from core.actor import Actor
from core.client import network
from core.clock import database_now
from core.errors import Problem
from core.prepared import Prepared, PreparedById
from core.transactions import after_commit
from mail.services import send
from rbac.holdings import holdings_of, live_roles_of, remember

Ended = Session.Ended
RACES = 3


@dataclass(frozen=True, slots=True)
class SignedIn:
    session: Session
    pair: TokenPair


class _HashChanged(Exception):
    def __init__(self, now: str) -> None:
        super().__init__()
        self.now = now


def log_in(actor: Actor, typed: str, password: str) -> SignedIn:
    """Start a session for whoever knows this name (address or username) and password.

    Raises InvalidCredentials, alike in body and time for unknown, wrong and deactivated; EmailNotVerified, only
    after the right password; TooManyAttempts.
    """
    try:
        signed_in = _log_in(actor, typed, password)
    except Problem as problem:
        metrics.LOG_INS.labels(problem.code).inc()
        raise
    metrics.LOG_INS.labels("success").inc()
    return signed_in


def _log_in(actor: Actor, typed: str, password: str) -> SignedIn:
    user = find_by_name(typed)
    seen = user.password if user else ""
    upgraded = prove_password(actor, user, typed, password)
    if user is None or upgraded is None:
        record_failure(actor, "session.refused", user, name=limits.account_key(user, typed), why="credentials")
        raise InvalidCredentials
    if not user.is_verified:
        record_failure(actor, "session.refused", user, why="unverified")
        raise EmailNotVerified
    for _ in range(RACES):
        try:
            return _start(actor, user, seen, upgraded)
        except _HashChanged as changed:  # by a new password, or by a log-in beside this one that bettered the hash
            if not check_password(password, changed.now):
                break
            seen = upgraded = changed.now
    raise InvalidCredentials


def find_by_name(typed: str) -> User | None:
    if len(typed) > MAX_LENGTH:
        return None
    if "@" in typed:
        return User.objects.filter(email_key=canonical(typed)).first()
    return User.objects.called(typed).first() if typed else None


def prove_password(actor: Actor, user: User | None, typed: str, password: str) -> str | None:
    """The hash to keep for `user` (a better one if the present one is weak), or None if the password is wrong.

    Counts towards the limits and raises TooManyAttempts. Takes the time of one hash whoever is asked for.
    """
    account = limits.account_key(user, typed)
    limits.check_attempt(account, actor.ip, user)
    keep = [user.password if user else ""]
    if user is None:
        make_password(password)
        matches = False
    else:
        matches = check_password(password, user.password, lambda raw: keep.append(make_password(raw)))
        matches = matches and user.is_active
    if limits.settle_attempt(account, actor.ip, user, success=matches):
        record_failure(actor, "user.locked", user, name=account)
    return keep[-1] if matches else None


def _start(actor: Actor, user: User, seen: str, upgraded: str) -> SignedIn:
    """The account may have been closed, or its password changed, while the hash was computed: look again under
    the lock that those changes take (CVE-2026-16103 is this check left out)."""
    with transaction.atomic():
        usable = User.objects.filter(pk=user.pk, is_active=True, is_verified=True)
        locked = usable.select_for_update(no_key=True).first()
        if locked is None:
            raise InvalidCredentials
        if locked.password != seen:
            raise _HashChanged(locked.password)
        now = database_now()
        actor = replace(actor, user=locked)
        session = _open(actor, locked, now)
        locked.last_login, locked.password = now, upgraded
        locked.save(update_fields=["last_login", "password"])
        _remember_place(actor, locked, now)
        record(actor, "session.started", locked, session=str(session.pk), device=session.device)
    presence.appear(session)
    return SignedIn(session, tokens.sign_pair(session, now))


def _open(actor: Actor, user: User, now: datetime) -> Session:
    end = now + timedelta(seconds=settings.SESSION_MAX_SECONDS)
    session = Session(user=user, created_at=now, expires_at=end, last_used_at=now, ip=actor.ip, device=actor.device)
    session.key_id = keys.current().kid
    _set_generation_times(session, now)
    session.save(force_insert=True)
    return session


def push_idle_limit(session: Session) -> None:
    """For sessions of pages, which have no refresh that would do it."""
    _set_generation_times(session, session.now)
    session.save(update_fields=["rotated_at", "last_used_at", "access_expires_at", "refresh_expires_at"])
    presence.appear(session)


def _set_generation_times(session: Session, now: datetime) -> None:
    session.rotated_at = session.last_used_at = now
    idle = now + timedelta(seconds=settings.SESSION_IDLE_SECONDS)
    session.refresh_expires_at = min(idle, session.expires_at)
    access = now + timedelta(seconds=settings.ACCESS_TOKEN_SECONDS)
    session.access_expires_at = min(access, session.refresh_expires_at)


def _remember_place(actor: Actor, user: User, now: datetime) -> None:
    """Tell the owner of a log-in from a device or network that was never seen before, but for the very first."""
    here = network(actor.ip)
    known = list(KnownPlace.objects.filter(user=user).values_list("network", "device"))
    place = KnownPlace(user=user, network=here, device=actor.device, last_at=now)
    unique = ["user", "network", "device"]
    KnownPlace.objects.bulk_create([place], update_conflicts=True, unique_fields=unique, update_fields=["last_at"])
    if known and (here, actor.device) not in known:
        send("new_device", user.email, user.language, user_id=user.pk, device=actor.device, ip=actor.ip)


_with_roles = PreparedById(Session.objects.with_clock().annotate(roles=live_roles_of("user_id")))
_with_holdings = PreparedById(Session.objects.with_clock().annotate(held=holdings_of("user_id")))


def live_session(claims: Claims | None) -> Session | None:
    """The session, with its user and their roles, that an access token speaks for just now. One query."""
    return live_sessions([claims])[0] if claims else None


def live_sessions(claims: list[Claims], *, with_holdings: bool = False) -> list[Session | None]:
    """For each of several, at most MOST_AT_ONCE. One query.

    `with_holdings` instead of the roles: what the users may do, for those who will ask for that anyway.
    """
    found = (_with_holdings if with_holdings else _with_roles).by_id(one.session_id for one in claims)
    return [_if_live(found.get(one.session_id), one, with_holdings) for one in claims]


def _if_live(session: Session | None, claims: Claims, with_holdings: bool) -> Session | None:
    if session is None or session.user_id != claims.user_id or session.ended_at or not session.user.is_active:
        return None
    if not _key_stands(session, claims):
        return None
    if session.now.timestamp() >= claims.expires_at or claims.gen > session.gen:
        return None
    if with_holdings:
        remember(session.user, vars(session)["held"])
    else:
        session.user.held_roles = vars(session)["roles"]
    return session


def _key_stands(session: Session, claims: Claims) -> bool:
    """Its own key was looked at when the session was read; an older generation may have been signed by another."""
    return claims.kid == session.key_id or keys.stands(claims.kid)


def refresh(actor: Actor, token: str) -> TokenPair:
    """Rotate: of all that present one token, exactly one makes the successor (RFC 9700 §4.14.2).

    A repeat of the latest spent token within the grace gets that successor again; any other spent one ends the
    session and tells its owner. Raises InvalidRefreshToken.
    """
    claims, kid = tokens.read(token, "refresh"), ""
    for _ in range(RACES):
        if claims and (pair := successor_of(claims, actor.ip, kid)):
            return pair
        session = refreshable_session(claims)
        if session is None or claims is None:
            break
        if claims.gen == session.gen:  # another key signs by now
            kid = keys.current().kid
        elif claims.gen == session.gen - 1 and _within_grace(session):
            metrics.REFRESHES.labels("repeated").inc()
            _record_stranger(actor, session)
            return tokens.sign_pair(session, session.now)
        else:
            if claims.gen < session.gen:
                _end_reused(actor, session)
            break
    metrics.REFRESHES.labels("refused").inc()
    raise InvalidRefreshToken


def successor_of(claims: Claims, ip: str | None, kid: str = "") -> TokenPair | None:
    """What most refreshes come to. None, with nothing changed, when there is more to say about this token."""
    kid = kid or keys.latest()
    pair = rotate(claims, kid, network(ip)) if kid else None
    if pair:
        metrics.REFRESHES.labels("rotated").inc()
    return pair


def _unlisted(session_id: UUID, user_id: UUID, jti: str) -> QuerySet[Session]:
    found = Session.objects.with_clock().annotate(listed=tokens.listed(jti))
    return found.filter(pk=session_id, user_id=user_id, ended_at=None, listed=False)


_to_refresh = Prepared(_unlisted, UUID, UUID, str)


def refreshable_session(claims: Claims | None) -> Session | None:
    """The session that a refresh token is of, if that has not ended. One query."""
    if claims is None:
        return None
    jti = tokens.jti_of(claims.session_id, claims.gen, "refresh")
    session = _to_refresh.one(claims.session_id, claims.user_id, jti)
    if session is None or not session.user.is_active or session.refresh_expires_at <= session.now:
        return None
    if not _key_stands(session, claims):
        return None
    return session if session.now.timestamp() < claims.expires_at else None


def _within_grace(session: Session) -> bool:
    return session.now - session.rotated_at <= timedelta(seconds=settings.REFRESH_GRACE_SECONDS)


def _record_stranger(actor: Actor, session: Session) -> None:
    """A repeat from another network is a roaming phone as a rule, and a thief in time at worst: both get the pair,
    since the next refresh of either ends the other's, and what it looked like is kept."""
    if session.rotated_from and session.rotated_from != network(actor.ip):
        record(actor, "session.repeated", session.user, session=str(session.pk), rotated_from=session.rotated_from)


def _end_reused(actor: Actor, session: Session) -> None:
    """Somebody holds a token that was spent: a thief, or the owner whom a thief overtook."""
    user = session.user
    with transaction.atomic():
        if end(actor, Session.objects.filter(pk=session.pk), Ended.REUSED):
            send(
                "session_reused",
                user.email,
                user.language,
                user_id=user.pk,
                device=session.device,
                ip=actor.ip,
            )
            record(actor, "session.reused", user, session=str(session.pk))
            after_commit(metrics.REFRESHES.labels("reused").inc)


def log_out(actor: Actor, claims: Claims) -> None:
    """End the session of a token of ours, however old; again and again if you like (RFC 7009 §2.2).

    A revoked key ends nothing: its own sessions have ended with it, and others are not for whoever stole it.
    """
    if not keys.stands(claims.kid):
        return
    mine = Session.objects.filter(pk=claims.session_id, user_id=claims.user_id)
    if session := mine.select_related("user").first():
        end(replace(actor, user=session.user), mine, Ended.LOG_OUT)


def log_out_everywhere(actor: Actor) -> None:
    end(actor, Session.objects.filter(user=actor.user), Ended.LOG_OUT)


def end(actor: Actor, sessions: QuerySet[Session], why: Ended) -> list[Session]:
    """End those of `sessions` that have not ended: their tokens are refused from the next request on."""
    with transaction.atomic():
        rows = list(sessions.filter(ended_at=None).order_by("pk").select_for_update(of=("self",)))
        ids = [session.pk for session in rows]
        Session.objects.filter(pk__in=ids).update(ended_at=Now(), ended_by=why)
        tokens.blacklist(rows)
        presence.vanish(ids)
        for session in rows:
            record(actor, "session.ended", session.user_id, session=str(session.pk), why=why.value)
    return rows


def end_all_of(actor: Actor, user: User, why: Ended, *, but: UUID | None = None) -> None:
    theirs = Session.objects.filter(user=user)
    end(actor, theirs.exclude(pk=but) if but else theirs, why)
