"""Settings without django-unfold: the panel is Django's own then, and has to work on."""

import os

from config import settings as usual
from config.settings import *  # noqa: F403

INSTALLED_APPS = [app for app in usual.INSTALLED_APPS if not app.startswith("unfold")]
# Beside the database of the tests that start this run.
DATABASES = {"default": {**usual.DATABASES["default"], "TEST": {"NAME": os.environ["PLAIN_TEST_DATABASE"]}}}
