"""What is loaded before the fork."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LEFT_BEHIND = """
import threading
from core.preload import preload
from core.redis import _client
from django.db import connections
preload()
opened = [one.alias for one in connections.all(initialized_only=True) if one.connection]
print(threading.active_count(), opened, _client.cache_info().currsize)
"""

FIRST_MAIL = """
import sys
from contextlib import suppress
from core.preload import preload
from kombu.exceptions import OperationalError
preload()
loaded = set(sys.modules)
from mail.notifier import publish
with suppress(OperationalError):
    publish(None)
print(sorted(set(sys.modules) - loaded))
"""


def answer(program):
    """The last line of what it prints, where neither database nor Redis is."""
    nowhere = {"DATABASE_URL": "postgres://nobody:nothing@127.0.0.1:1/nothing", "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "manage.py", "shell", "-c", program]
    environment = {**os.environ, **nowhere}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_it_leaves_no_thread_and_no_connection_behind():
    """A thread would be missing in each worker, and a connection would be shared by all."""
    assert answer(LEFT_BEHIND) == "1 [] 0"


@pytest.mark.slow
def test_the_first_mail_loads_nothing_more():
    """Each worker would load it for itself, and grow, some day."""
    assert answer(FIRST_MAIL) == "[]"
