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


@pytest.mark.slow
def test_it_leaves_no_thread_and_no_connection_behind():
    """A thread would be missing in each worker, and a connection would be shared by all."""
    nowhere = "postgres://nobody:nothing@127.0.0.1:1/nothing", "redis://127.0.0.1:1/0"
    environment = {**os.environ, "DATABASE_URL": nowhere[0], "REDIS_URL": nowhere[1]}
    command = [sys.executable, "manage.py", "shell", "-c", LEFT_BEHIND]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1:] == ["1 [] 0"], done.stderr
