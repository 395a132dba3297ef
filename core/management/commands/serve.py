"""`manage.py serve`: the production server, as `./run` and the container start it."""

import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from core.outcome import log
from core.server import is_loopback, resolve

LEAST_LEAVING_SECONDS = 0.5  # in which connections are closed with their next answer, whatever LEAVING_SECONDS says
WHOLE_DRAIN_SECONDS = 29  # containers are usually killed after 30
IDLE_SECONDS = 10  # for the headers of a request, and so also between two of them on one connection
CONNECTIONS = 4096  # a worker; half-open ones are cheap, and 1,000 of them must not keep others out


class Command(BaseCommand):
    help = "Serve in production: workers, and without REDIS_URL the background work. SIGTERM drains."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes")

    def handle(self, *, host: str, port: int, workers: int, **options: Any) -> None:
        address = free_address(host, port)
        if settings.DEBUG and not is_loopback(address):
            raise CommandError(f"DEBUG must be false to serve on {host}, which others can reach.")
        if settings.PUBLIC_URL_IS_DEFAULT and is_loopback(address):
            os.environ["PUBLIC_URL"] = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        # Workers load the settings anew: they see that variable, and share no connection or lock with us.
        multiprocessing.set_start_method("spawn", force=True)
        background = None if settings.REDIS_URL else Background()
        allow_many_connections()
        server = Supervisor(address, port, workers)
        with tempfile.TemporaryDirectory(prefix="muster-metrics-") as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # where the workers put what they count, to be summed up
            try:
                if background:
                    background.start()
                server.serve()
            finally:
                if background:
                    background.stop()


def free_address(host: str, port: int) -> str:
    if not 0 < port < 65536:
        raise CommandError(f"Cannot serve on port {port}: ports go from 1 to 65535.")
    try:
        return resolve(host, port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise CommandError(f"Cannot serve on {host} port {port}: {reason}.") from None


def allow_many_connections() -> None:
    """Each is an open file, and shells often allow 1,024, which a thousand idle clients use up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * CONNECTIONS if hard == resource.RLIM_INFINITY else min(3 * CONNECTIONS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Supervisor(MPServer):
    """granian, with a drain that ends. A second SIGTERM, or the time, kills what is left."""

    def __init__(self, address: str, port: int, workers: int) -> None:
        self.asked_to_stop = 0
        super().__init__(
            "core.server:application",
            address=address,
            port=port,
            interface=Interfaces.RSGI,
            workers=max(1, workers),
            runtime_mode=RuntimeModes.mt,  # the other aborts its process at the end
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=IDLE_SECONDS * 1000),
            websockets=False,
            backlog=CONNECTIONS,
            backpressure=CONNECTIONS,
            respawn_failed_workers=True,
            workers_kill_timeout=WHOLE_DRAIN_SECONDS - settings.LEAVING_SECONDS,
            log_level=LogLevels(settings.LOG_LEVEL.lower()),
            log_dictconfig=settings.LOGGING,
        )
        # Ignored in a worker too until it can handle it: the default would kill one that is still starting.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        self.asked_to_stop += 1
        if self.asked_to_stop > 1:
            for worker in self.wrks:
                worker.kill()
        super().signal_handler_interrupt()

    def _spawn_workers(self, *args: Any) -> None:
        with deaf_to_ctrl_c():
            super()._spawn_workers(*args)

    def _respawn_workers(self, *args: Any, **kwargs: Any) -> None:
        with deaf_to_ctrl_c():
            super()._respawn_workers(*args, **kwargs)

    def _stop_workers(self) -> None:
        for worker in self.wrks:
            if worker.is_alive():
                os.kill(worker.inner.pid, signal.SIGUSR1)
        end = time.monotonic() + max(LEAST_LEAVING_SECONDS, settings.LEAVING_SECONDS)
        while time.monotonic() < end and self.asked_to_stop < 2:
            time.sleep(0.05)
        super()._stop_workers()


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """What is started meanwhile never hears SIGINT, which a terminal sends to every process of the group: we tell
    the workers what follows from it. We hear it a moment later."""
    resource_tracker.ensure_running()  # multiprocessing's first start of it would unblock the signal again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


class Background:
    """`manage.py background` as a child process, begun again when it dies."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.begin()
        threading.Thread(target=self.keep, name="background", daemon=True).start()

    def begin(self) -> None:
        with_us = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []  # should we be killed outright
        command = [*with_us, sys.executable, str(settings.BASE_DIR / "manage.py"), "background"]
        # In a session of its own, where no Ctrl-C reaches it before we do.
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        if self.stopping.is_set():
            self.process.terminate()

    def keep(self) -> None:
        delay = 1
        while self.process:
            started = time.monotonic()
            code = self.process.wait()
            if self.stopping.is_set():
                return
            delay = 1 if time.monotonic() - started > 60 else min(60, delay * 2)
            log.error("background.died", exit_code=code, restart_in=delay)
            if self.stopping.wait(delay):
                return
            self.begin()

    def stop(self) -> None:
        self.stopping.set()
        if not self.process or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
