"""The same application for ASGI servers. WSGI serves it faster: see docs/adr."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_asgi_application()
