"""`scripts/services.py`: a PostgreSQL and a Redis of one's own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "services.py"
ARE_INSTALLED = bool(shutil.which("redis-server")) and bool(list(Path("/usr/lib/postgresql").glob("*/bin/initdb")))
needs_servers = pytest.mark.skipif(not ARE_INSTALLED, reason="PostgreSQL or Redis is not installed")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own, which the user who runs PostgreSQL may not enter."""
    with tempfile.TemporaryDirectory(prefix="muster-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def services(*command: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, *command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_names_what_is_missing_and_how_to_install_it(tmp_path):
    refused = services("true", PATH=str(tmp_path))
    told = refused.communicate(timeout=30)[1]
    assert refused.returncode == 2
    assert told.startswith("services: not installed: ")
    assert "redis-server" in told.split("as root: apt install ")[1]
    assert told.count("\n") == 1


def test_without_a_command_it_explains_itself():
    asked = services()
    assert "COMMAND" in asked.communicate(timeout=30)[0]
    assert asked.returncode == 2


@pytest.mark.slow
@needs_servers
def test_the_command_finds_both_and_its_exit_code_is_ours(folder):
    ran = services("sh", "-c", "echo $DATABASE_URL $REDIS_URL; ls $TMPDIR; exit 7", TMPDIR=str(folder))
    out = ran.communicate(timeout=90)[0]
    assert ran.returncode == 7
    assert out.startswith("postgres://muster@127.0.0.1:")
    assert " redis://127.0.0.1:" in out
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@needs_servers
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_servers_too(folder, stop):
    running = services("sh", "-c", "echo started; exec sleep 60", TMPDIR=str(folder))
    assert running.stdout
    assert running.stdout.readline() == "started\n"
    running.send_signal(stop)
    running.communicate(timeout=60)
    assert running.returncode == 128 + stop
    assert list(folder.iterdir()) == []
    assert not still_running(folder)


def test_a_signal_in_the_moment_of_the_start_reaches_the_command():
    """The naive order, first the command and then the handlers, left it running without us."""
    early = (
        "import os, runpy, signal, subprocess, sys\n"
        "script = runpy.run_path(sys.argv[1])\n"
        "start = subprocess.Popen.__init__\n"
        "def start_and_hear(*arguments, **options):\n"
        "    start(*arguments, **options)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "subprocess.Popen.__init__ = start_and_hear\n"
        "signal.signal(signal.SIGTERM, script['stop_starting'])\n"
        "sys.exit(script['run'](['sleep', '600'], {}))\n"
    )
    ran = subprocess.Popen([sys.executable, "-c", early, SCRIPT], stdout=subprocess.PIPE, text=True)
    ran.communicate(timeout=60)  # until nobody holds the pipe: neither we nor the command
    assert ran.returncode == 128 + signal.SIGTERM


def still_running(folder: Path) -> list[str]:
    time.sleep(0.2)
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if str(folder) in line]
