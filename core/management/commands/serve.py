"""`manage.py serve`: the production server, as `./run` and the container start it."""

import argparse
import logging
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from granian._granian import CallbackScheduler
from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import mp
from granian.server.mp import MPServer

from core import aside, supervisor, telemetry
from core.heap import keep_memory_small
from core.logs import leave_out_callers
from core.management.commands import background
from core.outcome import log
from core.preload import preload
from core.server import Application, is_loopback, resolve
from core.short_ways import short_ways

LEAST_LEAVING_SECONDS = 0.5  # in which connections are closed with their next answer, whatever LEAVING_SECONDS says
WHOLE_DRAIN_SECONDS = 29  # containers are usually killed after 30
IDLE_SECONDS = 10  # for the headers of a request, and so also between two of them on one connection
CONNECTIONS = 4096  # a worker; half-open ones are cheap, and 1,000 of them must not keep others out


class Command(BaseCommand):
    help = "Serve in production: workers, and without REDIS_URL the background work. SIGTERM drains."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes")
        parser.add_argument("--again", choices=["web", "background"], help=argparse.SUPPRESS)  # what died

    def handle(self, *, host: str, port: int, workers: int, again: str | None, **options: Any) -> None:
        keep_memory_small()
        if again:
            run = background.run if again == "background" else lambda: work(server_at(host, port), preload())
            be_child(again, os.getppid(), run)
        address = free_address(host, port)
        if settings.DEBUG and not is_loopback(address):
            raise CommandError(f"DEBUG must be false to serve on {host}, which others can reach.")
        if settings.PUBLIC_URL_IS_DEFAULT and is_loopback(address):
            begin_anew_as(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        signal.pthread_sigmask(signal.SIG_BLOCK, supervisor.BLOCKED)
        allow_many_connections()
        run = partial(work, server_at(address, port), preload())
        children = [forked("web", run) for _ in range(max(1, workers))]
        if not settings.REDIS_URL:
            children.append(forked("background", background.run))
        itself = [sys.executable, str(settings.BASE_DIR / "manage.py"), "serve", "--host", address, "--port", str(port)]
        log.info("serve.began", address=address, port=port, workers=workers)
        logging.shutdown()
        commands = [{"name": name, "pid": pid, "command": [*itself, "--again", name]} for name, pid in children]
        supervisor.become(
            children=[*commands, {"name": "aside", "pid": 0, "command": aside.command()}],
            leaving=max(LEAST_LEAVING_SECONDS, settings.LEAVING_SECONDS),
            whole=WHOLE_DRAIN_SECONDS,
            folder=os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""),
            log={"style": settings.LOG_FORMAT, "file": settings.LOG_FILE},
        )


def free_address(host: str, port: int) -> str:
    if not 0 < port < 65536:
        raise CommandError(f"Cannot serve on port {port}: ports go from 1 to 65535.")
    try:
        return resolve(host, port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise CommandError(f"Cannot serve on {host} port {port}: {reason}.") from None


def begin_anew_as(public_url: str) -> None:
    """With settings that know where we are, for whoever just tries it out on another port."""
    if public_url != settings.PUBLIC_URL:
        os.environ["PUBLIC_URL"] = public_url
        shutil.rmtree(os.environ.pop("PROMETHEUS_MULTIPROC_DIR", ""), ignore_errors=True)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same program


def allow_many_connections() -> None:
    """Each is an open file, and shells often allow 1,024, which a thousand idle clients use up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * CONNECTIONS if hard == resource.RLIM_INFINITY else min(3 * CONNECTIONS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def forked(name: str, run: Callable[[], None]) -> tuple[str, int]:
    ours = os.getpid()
    return name, os.fork() or be_child(name, ours, run)


def be_child(name: str, parent: int, run: Callable[[], None]) -> NoReturn:
    """What the supervisor will clean up is none of a child's business, so it ends without Python's own ending."""
    code = 1
    try:
        supervisor.end_with_parent(parent)
        with suppress(OSError):
            Path("/proc/self/comm").write_text(name)  # what top shows
        telemetry.start()
        run()
        code = 0
    except Exception:
        log.exception(f"{name}.failed")
    finally:
        telemetry.stop()
        logging.shutdown()
        os._exit(code)


def server_at(address: str, port: int) -> MPServer:
    """granian, of which only the worker is used: `core.supervisor` keeps them."""
    server = MPServer(
        "muster",
        address=address,
        port=port,
        interface=Interfaces.RSGI,
        runtime_mode=RuntimeModes.mt,  # the other aborts its process at the end
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=IDLE_SECONDS * 1000),
        websockets=False,
        backlog=CONNECTIONS,
        backpressure=CONNECTIONS,
        log_level=LogLevels(settings.LOG_LEVEL.lower()),
        log_dictconfig=settings.LOGGING,
    )
    server._init_shared_socket()
    return server


def work(server: MPServer, wsgi: Any) -> None:
    """A worker: this process answers requests until SIGTERM."""
    leave_out_callers()
    application = Application(wsgi, settings.HASHING_PATHS, short_ways())
    mp._new_cbscheduler = partial(scheduler, application)  # type: ignore[attr-defined]
    server._spawn_worker(0, server._spawn_rsgi_worker, lambda: application).inner.run()


def scheduler(application: Application, loop: Any, callback: Any, impl_asyncio: bool) -> CallbackScheduler:
    """What granian calls, on a thread of its own, for each request. Its own one makes a task on the event loop."""
    made = CallbackScheduler(loop, callback, None, None, None)  # type: ignore[call-arg]
    made._schedule_fn = lambda watcher: application.take(watcher.scope, watcher.proto)  # type: ignore[attr-defined]
    return made
