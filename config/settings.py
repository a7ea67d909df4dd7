"""Flat settings from the environment (or `.env`); wrong ones are named by Django's system checks.

Environment variables win over `.env`. docs/operating.md explains each setting.
"""

from __future__ import annotations

import socket
import tomllib
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import environ

from config.database import database
from config.security import content_security_policy
from config.unfold import UNFOLD as UNFOLD

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION: str = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
env = environ.Env()
env.read_env(BASE_DIR / ".env", overwrite=False)

SECRET_KEY = env.str("SECRET_KEY")
FIELD_ENCRYPTION_KEYS: list[str] = env.list("FIELD_ENCRYPTION_KEYS", default=[])
DEBUG = env.bool("DEBUG", default=False)
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["*"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[PUBLIC_URL])
WSGI_APPLICATION = "config.wsgi.application"
ROOT_URLCONF = "config.urls"

DATA_DIR = Path(env.str("DATA_DIR", default="var"))
if not DATA_DIR.is_absolute():
    DATA_DIR = BASE_DIR / DATA_DIR
RECORDINGS_DIR = Path(env.str("RECORDINGS_DIR", default=str(DATA_DIR / "recordings")))
JOURNAL_DIR = Path(env.str("JOURNAL_DIR", default=str(DATA_DIR / "journal")))
# Files that TwiML may name by path (`<Play>/…/greeting.wav</Play>`): nothing outside this folder is played.
MEDIA_DIR = Path(env.str("MEDIA_DIR", default=str(DATA_DIR / "media")))
# Recordings as MP3 or mixed, made on request.
DOWNLOAD_CACHE_DIR = Path(env.str("DOWNLOAD_CACHE_DIR", default=str(DATA_DIR / "download-cache")))
DOWNLOAD_CACHE_BYTES = env.int("DOWNLOAD_CACHE_BYTES", default=1_000_000_000)
RECORDINGS_PUBLIC = env.bool("RECORDINGS_PUBLIC", default=False)
MEDIA_CACHE_DIR = Path(env.str("MEDIA_CACHE_DIR", default=str(DATA_DIR / "media-cache")))

INSTALLED_APPS = [
    "unfold",  # unfold and its parts must come before the admin, whose templates they replace
    "unfold.contrib.filters",
    "unfold.contrib.inlines",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_q",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",  # the pages that show the OpenAPI document, offline
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "axes",
    "routing",
    "calls",
    "sipengine",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "routing.nul.NoNul",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "calls.leaving.LeavingMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "routing.acting.ActorMiddleware",
    "routing.user_sessions.SessionsMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "routing.two_factor.RequireTwoFactor",
    "axes.middleware.AxesMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
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

DATABASES = {
    "default": database(env.str("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'cordboard.sqlite3'}"), BASE_DIR)
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# Admins must log in with a one-time code too.
REQUIRE_TWO_FACTOR = env.bool("REQUIRE_TWO_FACTOR", default=False)
# Wrong passwords of one username from one address before both are locked out together, and for how long.
AXES_FAILURE_LIMIT = env.int("LOGIN_ATTEMPTS", default=5)
AXES_COOLOFF_TIME = timedelta(minutes=env.int("LOGIN_LOCK_MINUTES", default=15))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False
AXES_ENABLE_ADMIN = False
AXES_CLIENT_IP_CALLABLE = "routing.login.client_address"
AXES_LOCKOUT_CALLABLE = "routing.login.locked_out"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
# Wrong API credentials of one account or key from one address in a minute, to one web process.
API_ATTEMPTS = env.int("API_ATTEMPTS", default=20)
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 20_000}}}
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
CONTENT_SECURITY_POLICY = content_security_policy()
# Reverse proxies before the web process, each of which appends to X-Forwarded-For and sets X-Forwarded-Proto.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000 if PUBLIC_URL.startswith("https://") else 0)
SECURE_REFERRER_POLICY = "same-origin"
LOGIN_REDIRECT_URL = "admin:index"
LANGUAGE_CODE = "en"
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": env.str("STATICFILES_BACKEND", default="whitenoise.storage.CompressedManifestStaticFilesStorage")
    },
}

Q_CLUSTER = {
    "name": "cordboard",
    "label": "Background tasks",
    "orm": "default",
    "workers": env.int("WORKERS", default=2),
    "timeout": 60,
    "retry": 180,
    "queue_limit": 4,
    "bulk": 1,
    "poll": 0.5,
    "max_attempts": 3,
    "ack_failures": True,
    "save_limit": 250,
    "catch_up": False,
}

REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
SPECTACULAR_SETTINGS = {
    "TITLE": "Cordboard",
    "DESCRIPTION": "Programmable SIP voice: Twilio's REST API, and one of our own. See docs/api.md.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "HttpMethod": ["GET", "POST"],
        "CallStatus": "calls.models.Call.Status",
        "RecordingStatus": "calls.models.Recording.Status",
        "CallEvent": ["initiated", "ringing", "answered", "completed"],
        "RecordingEvent": ["in-progress", "completed", "absent"],
        "Trim": ["trim-silence", "do-not-trim"],
        "Ending": "routing.models.endings.EndingKind",
    },
    "PREPROCESSING_HOOKS": ["routing.api.schema.only_json"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "routing.api.v1.schema.add_problem",
    ],
}
# Requests of one account to one web process, such as 100/s or 6000/m; empty: as many as it likes.
API_RATE = env.str("API_RATE", default="100/s")
API_MAX_BODY = env.int("API_MAX_BODY", default=1_000_000)
# How many there may be: Twilio's figures.
MAX_SIP_DOMAINS = env.int("MAX_SIP_DOMAINS", default=100)
MAX_LISTS = env.int("MAX_LISTS", default=1000)
MAX_CREDENTIALS = env.int("MAX_CREDENTIALS", default=1000)
MAX_IP_ADDRESSES = env.int("MAX_IP_ADDRESSES", default=25)

SIP_BIND = env.str("SIP_BIND", default="0.0.0.0")
SIP_PORT = env.int("SIP_PORT", default=5060)
SIP_TLS_PORT = env.int("SIP_TLS_PORT", default=5061)
SIP_TLS_CERT = env.str("SIP_TLS_CERT", default="")
SIP_TLS_KEY = env.str("SIP_TLS_KEY", default="")
SIP_TLS_VERIFY = env.bool("SIP_TLS_VERIFY", default=False)
SIP_PUBLIC_ADDRESS = env.str("SIP_PUBLIC_ADDRESS", default="")
RTP_PORTS = env.str("RTP_PORTS", default="20000-29999")
SIP_CODECS: list[str] = env.list("SIP_CODECS", default=["PCMU", "PCMA", "opus", "G722"])

SIP_DENY_NETWORKS: list[str] = env.list("SIP_DENY_NETWORKS", default=[])
RTP_TIMEOUT = env.float("RTP_TIMEOUT", default=30.0)
RTP_TIMEOUT_ENDS_CALL = env.bool("RTP_TIMEOUT_ENDS_CALL", default=False)
SIP_SESSION_TIMERS = env.bool("SIP_SESSION_TIMERS", default=False)
SIP_TRACE = env.bool("SIP_TRACE", default=True)
SIP_TRACE_DAYS = env.float("SIP_TRACE_DAYS", default=7.0)

ENGINE_NAME = env.str("ENGINE_NAME", default=socket.gethostname())
MAX_LEGS = env.int("MAX_LEGS", default=1000)
# Queued calls that an account without a figure of its own may place each second.
CALLS_PER_SECOND = env.float("CALLS_PER_SECOND", default=10.0)
MAX_SETUPS = env.int("MAX_SETUPS", default=100)
MAX_LAG = env.float("MAX_LAG", default=0.3)
MAX_BACKLOG = env.float("MAX_BACKLOG", default=0.15)
DIAL_TIMEOUT_BUFFER = env.float("DIAL_TIMEOUT_BUFFER", default=5.0)
SIP_STATUS_MAP = env.str("SIP_STATUS_MAP", default="strict_twilio")
SIP_STATUS_OVERRIDES: dict[str, str] = env.dict("SIP_STATUS_OVERRIDES", default={})
DIGEST_ATTEMPTS = env.int("DIGEST_ATTEMPTS", default=3)
WEBHOOK_USER_AGENT = env.str("WEBHOOK_USER_AGENT", default="TwilioProxy/1.1")
WEBHOOK_DENY_NETWORKS: list[str] = env.list("WEBHOOK_DENY_NETWORKS", default=[])
WEBHOOK_ALLOW_NETWORKS: list[str] = env.list("WEBHOOK_ALLOW_NETWORKS", default=[])
SAY_VOICE = env.str("SAY_VOICE", default="en-us")
# Seconds from a failed callback to the next attempt; one number for each further attempt.
WEBHOOK_RETRY_SECONDS: list[float] = env.list(
    "WEBHOOK_RETRY_SECONDS", cast=float, default=[30, 120, 600, 1800, 3600, 10800]
)
# Where e-mail about voicemail goes through, such as smtp+tls://user:password@mail.example.com:587; empty: none is sent.
vars().update(env.email_url_config(env.str("EMAIL_URL", default="") or "dummymail://"))
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default=f"cordboard@{urlsplit(PUBLIC_URL).hostname or socket.gethostname()}")
VOICEMAIL_ATTACHMENT_BYTES = env.int("VOICEMAIL_ATTACHMENT_BYTES", default=10_000_000)
SHOW_DTMF = env.bool("SHOW_DTMF", default=False)
DRAIN_SECONDS = env.float("DRAIN_SECONDS", default=10.0)
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {"django.request": {"level": "ERROR"}, "django-q": {"level": "WARNING"}, "axes": {"level": "WARNING"}},
}
