"""What a request needs, loaded once by the process that forks all others, so that they share its memory."""

import gc
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import get_hashers
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.servers.basehttp import get_internal_wsgi_application
from django.db import connections
from django.urls import get_resolver
from django.utils.module_loading import import_string
from django.utils.translation.trans_real import translation as catalog

from core.short_ways import short_ways


def preload() -> Any:
    """The WSGI application. No thread and no connection is left behind, which a fork would not survive."""
    application = get_internal_wsgi_application()
    get_resolver().reverse_dict  # noqa: B018 - filled when it is looked at
    for language, _ in settings.LANGUAGES:
        catalog(language)
    with suppress(ValidationError):
        validate_password("")  # reads the lists of common passwords
    for hasher in get_hashers():
        if hasher.library:
            hasher._load_library()  # type: ignore[attr-defined]
    short_ways()
    import_string("config.background.run")
    if settings.CELERY_BROKER_URL:
        load_celery()
    connections.close_all()
    gc.collect()
    gc.freeze()  # else the collector would write to each object, and so copy each page
    # It leaves the oldest generation alone until that has grown by a quarter of what was there last: of all that was
    # just frozen. So cycles of requests gathered to 17 MiB in each worker. Now it finds nothing there, and is quick.
    gc.collect()
    gc.set_threshold(700, 5, 2)
    return application


def load_celery() -> None:
    """By telling nobody of a mail. The first real one would load it all in each worker, 9 MiB, some day."""
    from kombu import Connection  # where there is a broker

    app, task = import_string("config.celery.app"), import_string("mail.tasks.deliver_mail")
    with app.connection_for_write() as broker, Connection("memory://") as nowhere:
        broker.get_transport_cls()  # connects to nothing
        task.apply_async(("",), connection=nowhere, retry=False)
