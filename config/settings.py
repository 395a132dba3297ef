"""All settings, from the environment, a `.env` file, or `NAME_FILE`; `.env.example` explains each.

A missing or unsafe value stops the start with one line that names the variable.
"""

import ipaddress
import os
import secrets
import sys
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from core import logs

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"
SAMPLE_SECRET = "replace-me-with-50-or-more-random-characters-0000000000"  # noqa: S105 - the one that we refuse

env = environ.FileAwareEnv()
if (BASE_DIR / ".env").is_file():
    _given = list(os.environ)
    environ.Env.read_env(BASE_DIR / ".env")  # the environment wins
    for _name in _given:  # over the file's NAME_FILE too, which would be looked at first
        if f"{_name}_FILE" not in _given:
            os.environ.pop(f"{_name}_FILE", None)


def refuse(name: str, why: str) -> NoReturn:
    sys.exit(f"Muster cannot start: {name} {why}")


def text(name: str, default: str = "") -> str:
    try:
        # Not `env.str`, which takes a value that begins with `$`, as a password may, for the name of another variable.
        return str(env.ENVIRON.get(name, "")).strip() or default
    except (OSError, UnicodeDecodeError):
        refuse(f"{name}_FILE", "names a file that cannot be read.")


def flag(name: str, default: bool, yes: str = "true", no: str = "false") -> bool:
    value = text(name, yes if default else no).lower()
    if value not in {yes, no} and not (yes == "true" and value in {"1", "0"}):
        refuse(name, f"must be {yes} or {no}, not {value[:40]!r}.")
    return value in {yes, "1"}


def number(name: str, default: int, least: int = 1, most: int = 10 * 365 * 86400) -> int:
    value = text(name, str(default))
    if not (value.isascii() and value.isdecimal() and len(value) <= 12 and least <= int(value) <= most):
        refuse(name, f"must be a whole number from {least} to {most}, not {value[:40]!r}.")
    return int(value)


def one_of(name: str, default: str, *choices: str) -> str:
    value = text(name, default)
    if value not in choices:
        refuse(name, f"must be one of {', '.join(choices)}, not {value[:40]!r}.")
    return value


def words(name: str, default: str = "") -> list[str]:
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def url(name: str, default: str, *schemes: str) -> str:
    """`schemes` empty: any."""
    value = text(name, default)
    scheme = split(name, value).scheme
    if value and ((schemes and scheme not in schemes) or "://" not in value):
        refuse(name, f"must start with one of {', '.join(s + '://' for s in schemes or ('redis', 'amqp', '…'))}")
    return value


def split(name: str, value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - looked at, because that is when a bad one is noticed
    except ValueError:
        refuse(name, "is not a URL that can be read; look at its host and port.")
    return parts


def is_loopback(host: str | None) -> bool:
    if not host or host == "localhost" or host.endswith(".localhost"):
        return bool(host)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def usable_var_dir() -> Path:
    try:
        VAR_DIR.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        refuse("var/", f"cannot be made in {BASE_DIR}; SQLite, mails and the secret key live there.")
    if not os.access(VAR_DIR, os.W_OK | os.X_OK):
        refuse("var/", "cannot be written; SQLite, mails and the secret key live there.")
    return VAR_DIR


# --- What must be right before anything else ---------------------------------------------------------------------

DEBUG = flag("DEBUG", False)


def secret_key() -> str:
    """SECRET_KEY or SECRET_KEY_FILE; by hand, for development, the key that `./run` or this keeps under var/."""
    value = text("SECRET_KEY")
    if not value and "SECRET_KEY" not in os.environ and may_keep_a_key():
        file = usable_var_dir() / "secret_key"
        if not file.exists() and {"migrate", "runserver"} & set(sys.argv[1:2]):
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(64))
        if file.exists() and not os.access(file, os.R_OK):
            refuse("SECRET_KEY", "is kept in var/secret_key, which this user cannot read.")
        value = file.read_text().strip() if file.exists() else ""
    if not value:
        refuse("SECRET_KEY", "is missing. Set it (or SECRET_KEY_FILE) to 50 or more random characters.")
    if value == SAMPLE_SECRET or "replace-me" in value or value.startswith("django-insecure"):
        refuse("SECRET_KEY", "is the sample. Set it to 50 or more random characters of your own.")
    if len(value) < 50 or len(set(value)) < 10:
        refuse("SECRET_KEY", "is too weak. It needs 50 or more random characters.")
    return value


def may_keep_a_key() -> bool:
    """Only `manage.py` by hand: the production server and Celery never run with a key that nobody set."""
    is_manage = Path(sys.argv[0]).name == "manage.py" or "pytest" in sys.argv[0] or "mypy" in sys.argv[0]
    return is_manage and sys.argv[1:2] != ["serve"] and text("DEBUG").lower() != "false"


SECRET_KEY = secret_key()

PUBLIC_URL_IS_DEFAULT = not text("PUBLIC_URL")
PUBLIC_URL = url("PUBLIC_URL", "http://127.0.0.1:8000", "http", "https").rstrip("/")
_public = urlsplit(PUBLIC_URL)
if not _public.hostname or _public.path or _public.query or _public.fragment or _public.username:
    refuse("PUBLIC_URL", "must be scheme and host only, like https://id.example.com")
if DEBUG and not is_loopback(_public.hostname):
    refuse("DEBUG", f"must be false while PUBLIC_URL is public ({_public.hostname}).")

ALLOWED_HOSTS = words("ALLOWED_HOSTS") or [
    _public.hostname,
    *(["127.0.0.1", "localhost", "[::1]"] if is_loopback(_public.hostname) else []),
]
if "*" in ALLOWED_HOSTS and not is_loopback(_public.hostname):
    refuse("ALLOWED_HOSTS", "must name the hosts; * would accept any.")

# --- Applications ------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "core",
    "audit",
    "mail",
    "rbac",
    "accounts",
    "unfold.apps.BasicAppConfig",  # looks only; without it the panel is Django's plain admin
    "accounts.apps.PanelConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt",
    "rest_framework_simplejwt.token_blacklist",
    "django_filters",
    "corsheaders",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "core.language.LanguageMiddleware",
    "core.middleware.OutcomeMiddleware",
    "core.middleware.SecurityHeadersMiddleware",
    "accounts.pages.middleware.PagesMiddleware",
    "core.middleware.BoundsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "core.cors.CrossOriginMiddleware",
    "accounts.cookies.CookiesMiddleware",
    "accounts.middleware.PageSessionMiddleware",
    "accounts.middleware.PageCsrfMiddleware",
    "accounts.middleware.PageAuthenticationMiddleware",
    "accounts.middleware.PageMessageMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Stores ------------------------------------------------------------------------------------------------------

DATABASE_POOLED = flag("DATABASE_POOLED", False)


def database() -> dict[str, Any]:
    value = text("DATABASE_URL") or f"sqlite:///{usable_var_dir() / 'muster.sqlite3'}"
    if split("DATABASE_URL", value).scheme != "sqlite":
        return postgresql("DATABASE_URL", value, "sqlite:// or postgres://")
    if DATABASE_POOLED:
        refuse("DATABASE_POOLED", "is for a PgBouncer before PostgreSQL; DATABASE_URL names none.")
    return sqlite(environ.Env.db_url_config(value))


def sqlite(found: Any) -> dict[str, Any]:
    """WAL lets readers and the one writer at the same time; IMMEDIATE makes a writer wait instead of failing."""
    if not found["NAME"] or found["NAME"] == ":memory:":
        refuse("DATABASE_URL", "must name a file, like sqlite:////var/lib/muster/muster.sqlite3")
    pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
    found["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 8, "init_command": pragmas}
    # A file, because threads cannot share the usual in-memory database.
    return {**found, "CONN_MAX_AGE": None, "TEST": {"NAME": str(usable_var_dir() / "test.sqlite3")}}


def postgresql(name: str, value: str, allowed: str) -> dict[str, Any]:
    if split(name, value).scheme not in ("postgres", "postgresql"):
        refuse(name, f"must start with {allowed}")
    try:
        found = environ.Env.db_url_config(value)
    except (ValueError, ImproperlyConfigured):
        refuse(name, "is not a URL like postgres://user:password@host:5432/name")
    if not found.get("NAME"):
        refuse(name, "names no database: postgres://user:password@host:5432/name")
    return {**bounded(found), "ENGINE": "core.postgresql", "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}


def bounded(found: Any) -> dict[str, Any]:
    """Every wait has an end: connecting, a statement, a lock, a transaction left open."""
    limits = {
        "statement_timeout": "5s",
        "lock_timeout": "4s",
        "idle_in_transaction_session_timeout": "15s",
    }
    given = {"connect_timeout": 2, **found.get("OPTIONS", {})}
    if DATABASE_POOLED:  # nothing outlives a transaction on such a connection, so the limits come with the role
        return {**found, "OPTIONS": {**given, "prepare_threshold": None}, "DISABLE_SERVER_SIDE_CURSORS": True}
    # 0: what `core.prepared` asks is prepared at once; Django's own cursors bind on the client and prepare nothing.
    prepared = {"prepare_threshold": 0, **given}
    return {**found, "OPTIONS": {"options": " ".join(f"-c {k}={v}" for k, v in limits.items()), **prepared}}


def replica(value: str) -> dict[str, Any]:
    """Without health checks: whatever is wrong with a connection, the primary answers instead."""
    if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        refuse("DATABASE_REPLICA_URL", "follows a PostgreSQL; DATABASE_URL names none.")
    found = postgresql("DATABASE_REPLICA_URL", value, "postgres://")
    return {**found, "ENGINE": "core.replica", "CONN_HEALTH_CHECKS": False, "TEST": {"MIRROR": "default"}}


DATABASES = {"default": database()}
if _replica_url := text("DATABASE_REPLICA_URL"):
    DATABASES["replica"] = replica(_replica_url)
DATABASE_ROUTERS = ["core.replica.router.PrimaryRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = url("REDIS_URL", "", "redis", "rediss", "unix")
CELERY_BROKER_URL = url("CELERY_BROKER_URL", REDIS_URL)
CELERY_RESULT_BACKEND = url("CELERY_RESULT_BACKEND", REDIS_URL)
CACHE_URL = url("CACHE_URL", REDIS_URL, "redis", "rediss", "unix", "locmemcache", "dummycache")

if CACHE_URL.startswith(("redis", "unix")):
    CACHES: dict[str, Any] = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": CACHE_URL,
            "KEY_PREFIX": "muster",
            "OPTIONS": {"socket_timeout": 0.3, "socket_connect_timeout": 0.3},
        }
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- Celery: only ids travel, as JSON; the outbox in the database is what must not be lost -----------------------

CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 90
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Back after Redis was away, a worker takes as many as before: what was at work and runs twice does nothing twice.
CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CONSUMER = "config.worker:Consumer"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "visibility_timeout": 600,
}
CELERY_TIMEZONE = "UTC"

# --- Mail --------------------------------------------------------------------------------------------------------

SITE_NAME = text("SITE_NAME", "Muster")
SUPPORT_EMAIL = text("SUPPORT_EMAIL")
DEFAULT_FROM_EMAIL = text("DEFAULT_FROM_EMAIL", f"{SITE_NAME} <no-reply@{_public.hostname}>")
for _name, _value in (
    ("SITE_NAME", SITE_NAME),
    ("SUPPORT_EMAIL", SUPPORT_EMAIL),
    ("DEFAULT_FROM_EMAIL", DEFAULT_FROM_EMAIL),
):
    if not _value.isprintable() or len(_value) > 200:
        refuse(_name, "must be one line of at most 200 characters.")


def mail() -> dict[str, Any]:
    value = text("EMAIL_URL") or f"filemail:///{usable_var_dir() / 'mail'}"
    try:
        return dict(environ.Env.email_url_config(value))
    except (KeyError, ValueError, ImproperlyConfigured):
        refuse("EMAIL_URL", "must look like smtp://user:password@host:25, smtp+tls://… or filemail:///folder")


_mail = mail()
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_FILE_PATH = f"/{_mail['EMAIL_FILE_PATH'].lstrip('/')}" if "file" in EMAIL_BACKEND else None
EMAIL_HOST = _mail.get("EMAIL_HOST") or "localhost"
EMAIL_PORT = _mail.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = _mail.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = _mail.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _mail.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10

# --- People, sessions, limits ------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["rbac.backend.RoleBackend"]  # logs nobody in: `accounts.services.sessions` does
LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/admin/"

PASSWORD_MIN_LENGTH = number("PASSWORD_MIN_LENGTH", 8, 8, 128)
PASSWORD_MAX_LENGTH = 1024
PASSWORD_HASHER = one_of("PASSWORD_HASHER", "bcrypt", "bcrypt", "argon2")
_hashers = {
    "bcrypt": "accounts.hashers.BcryptPasswordHasher",
    "argon2": "accounts.hashers.Argon2idPasswordHasher",
}
PASSWORD_HASHERS = [
    _hashers[PASSWORD_HASHER],
    *(hasher for name, hasher in _hashers.items() if name != PASSWORD_HASHER),
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    # What was imported; never used for a new password.
    "accounts.foreign_hashes.BareBCryptHasher",
    "accounts.foreign_hashes.ForeignPBKDF2Hasher",
    "accounts.foreign_hashes.ForeignScryptHasher",
]
# What may hash a password; `serve` gives these requests threads of their own. A test compares them with the schema.
HASHING_PATHS = frozenset(
    [
        *(f"/api/v1/auth/{name}" for name in ("signup", "verify", "login", "token", "password/reset")),
        *(f"/api/v1/users{name}" for name in ("", "/me", "/me/password", "/me/email")),
        *(f"/account/{name}" for name in ("signup", "verify", "login", "reset", "password", "email", "close")),
        *("/admin/login/", "/admin/password_change/"),
    ]
)
# What other systems ask at each request of their own passes MIDDLEWARE and DRF by: see `core.short_ways`.
SHORT_WAYS = "accounts.short_ways.WAYS"
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": PASSWORD_MIN_LENGTH},
    },
    {"NAME": "accounts.validators.MaximumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "accounts.validators.DictionaryPasswordValidator"},
    {"NAME": "accounts.validators.OwnWordsValidator"},
]

CODE_SECONDS = number("CODE_SECONDS", 15 * 60)
LINK_SECONDS = number("LINK_SECONDS", 24 * 3600)
INVITATION_SECONDS = 7 * 86400
RESEND_SECONDS = 60
UNVERIFIED_DAYS = number("UNVERIFIED_DAYS", 2)
AUDIT_DAYS = number("AUDIT_DAYS", 365)
TOKEN_ALGORITHM = one_of("TOKEN_ALGORITHM", "HS256", "HS256", "EdDSA", "RS256")
ACCESS_TOKEN_SECONDS = number("ACCESS_TOKEN_SECONDS", 300)
SESSION_IDLE_SECONDS = number("SESSION_IDLE_SECONDS", 14 * 86400)
SESSION_MAX_SECONDS = number("SESSION_MAX_SECONDS", 30 * 86400)
REFRESH_GRACE_SECONDS = number("REFRESH_GRACE_SECONDS", 10, 0, 60)
RATE_LIMITS = flag("RATE_LIMITS", True, "on", "off")

# SimpleJWT signs and parses for `accounts.tokens`, which says what a token holds; these are never used by
# themselves, but its check of the configuration reads them.
SIMPLE_JWT = {
    "SIGNING_KEY": SECRET_KEY,
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=ACCESS_TOKEN_SECONDS),
    "REFRESH_TOKEN_LIFETIME": timedelta(seconds=SESSION_IDLE_SECONDS),
}

SESSION_ENGINE = "accounts.page_sessions"
SESSION_COOKIE_AGE = SESSION_MAX_SECONDS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_NAME = "__Host-session" if SESSION_COOKIE_SECURE else "session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
CSRF_FAILURE_VIEW = "config.views.csrf_failed"

# --- HTTP --------------------------------------------------------------------------------------------------------

TRUSTED_PROXIES = number("TRUSTED_PROXIES", 0, 0, 10)
CORS_ALLOWED_ORIGINS = words("CORS_ALLOWED_ORIGINS")
for _origin in CORS_ALLOWED_ORIGINS:
    _parts = split("CORS_ALLOWED_ORIGINS", _origin)
    if _parts.scheme not in ("http", "https") or not _parts.hostname or _parts.path or _parts.query:
        refuse("CORS_ALLOWED_ORIGINS", "must be origins such as https://app.example.com, separated by commas.")
CORS_URLS_REGEX = r"^/api/.*$"
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "if-match", "x-request-id"]
CORS_EXPOSE_HEADERS = ["etag", "location", "retry-after", "www-authenticate", "x-request-id"]
# `check --deploy` looks for Django's own classes; ours stand in for them.
SILENCED_SYSTEM_CHECKS = [
    "security.W001",  # core.middleware.SecurityHeadersMiddleware: by PUBLIC_URL, not by what a proxy says
    "security.W002",  # the same
    "security.W003",  # accounts.middleware.PageCsrfMiddleware: Django's, on pages only
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
LEAVING_SECONDS = number("LEAVING_SECONDS", 0, 0, 20)
DOCS = flag("DOCS", True, "on", "off")
METRICS_ALLOW = words("METRICS_ALLOW", "127.0.0.0/8,::1/128")
for _network in METRICS_ALLOW:
    try:
        ipaddress.ip_network(_network)
    except ValueError:
        refuse(
            "METRICS_ALLOW",
            f"must be networks such as 10.0.0.0/8, separated by commas, not {_network[:40]!r}.",
        )

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "config" / "static"]
STATIC_ROOT = BASE_DIR / "static"  # made of code, so an upgrade replaces it; var/ stays
WHITENOISE_USE_FINDERS = not STATIC_ROOT.is_dir()
WHITENOISE_AUTOREFRESH = WHITENOISE_USE_FINDERS  # looks a file up when asked for; else all are read at start

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ru", "Русский")]
LOCALE_PATHS = [BASE_DIR / "config" / "locale"]  # the apps have their own
TIME_ZONE = "UTC"
USE_TZ = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.SessionTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["core.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "core.pagination.KeysetPagination",
    "DEFAULT_FILTER_BACKENDS": ["core.filters.StrictFilterBackend"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "core.negotiation.Negotiation",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "core.openapi.AutoSchema",
    "DEFAULT_VERSIONING_CLASS": None,
    "EXCEPTION_HANDLER": "core.errors.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS = {
    "TITLE": f"{SITE_NAME} API",
    "DESCRIPTION": "Who may come in, and what they may do.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["core.access.Public"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {
        "validatorUrl": None,
        "deepLinking": True,
        "persistAuthorization": False,
        "displayRequestDuration": True,
    },
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {},
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums"],
}

# What the panel shows where; its words in Russian: core.panel_words.
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": SITE_NAME,
    "SITE_HEADER": SITE_NAME,
    "SITE_SYMBOL": "shield_person",
    "SHOW_HISTORY": False,
    "SIDEBAR": {"navigation": "accounts.navigation.groups"},
    "COLORS": {
        "primary": {
            "50": "#eef5fc",
            "100": "#d9e9f8",
            "200": "#b3d2f0",
            "300": "#85b5e4",
            "400": "#6aa5dd",
            "500": "#5b9bd8",
            "600": "#175ea8",
            "700": "#134d8a",
            "800": "#103f70",
            "900": "#0d335b",
            "950": "#08213c",
        }
    },
}

# --- Logging -----------------------------------------------------------------------------------------------------

LOG_LEVEL = one_of("LOG_LEVEL", "INFO", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMAT = one_of("LOG_FORMAT", "text" if DEBUG else "json", "json", "text")
LOG_FILE = text("LOG_FILE")
if LOG_FILE and not os.access(Path(LOG_FILE).absolute().parent, os.W_OK):
    refuse("LOG_FILE", "lies in a folder that does not exist or cannot be written.")

SENTRY_DSN = url("SENTRY_DSN", "", "http", "https")
OTEL_EXPORTER_OTLP_ENDPOINT = url("OTEL_EXPORTER_OTLP_ENDPOINT", "", "http", "https").rstrip("/")
for _name, _package in (("SENTRY_DSN", "sentry_sdk"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "opentelemetry.exporter")):
    if globals()[_name]:
        try:
            import_module(_package)
        except ImportError:
            refuse(_name, "needs more packages: pip install --require-hashes -r requirements-observability.txt")
if SENTRY_DSN and not (urlsplit(SENTRY_DSN).username and urlsplit(SENTRY_DSN).path.strip("/").isdecimal()):
    refuse("SENTRY_DSN", "must look like https://key@host/1")

logs.configure()
LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING: dict[str, Any] = logs.dict_config(LOG_LEVEL, LOG_FORMAT, LOG_FILE)
