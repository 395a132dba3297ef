#!/usr/bin/env python3
"""Runs a command beside a PostgreSQL and a Redis of its own: scripts/services.py COMMAND [ARGUMENT …]

The command finds them in DATABASE_URL and REDIS_URL. They listen on free loopback ports, keep their data in a
temporary folder without syncing it, and end with the command, also on SIGINT and SIGTERM. Exit code: the
command's; 2 when a server is not installed. Needs nothing but Python.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

ROLE = "muster"
STARTING_SECONDS = 30
ENDING_SECONDS = 20


def refuse(why: str) -> NoReturn:
    print(f"services: {why}", file=sys.stderr)
    sys.exit(2)


def postgresql_folder() -> Path | None:
    """Debian keeps initdb off the PATH; the newest version wins."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    elsewhere = shutil.which("initdb")
    return found[-1].parent if found else Path(elsewhere).resolve().parent if elsewhere else None


def redis_program() -> str | None:
    return shutil.which("redis-server") or shutil.which("valkey-server")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def unprivileged() -> dict[str, Any]:
    """Who runs PostgreSQL, which refuses to be run by root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            person = pwd.getpwnam(name)
            return {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": []}
    refuse("PostgreSQL does not run as root, and there is no user postgres.")


@contextlib.contextmanager
def running(arguments: list[str | Path], log: Path, stop: int, **who: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a session of its own, so that a Ctrl-C reaches us first, then ended by its process id."""
    with log.open("wb") as out:
        server = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **who
        )
    try:
        yield server
    finally:
        if server.poll() is None:
            server.send_signal(stop)
        try:
            server.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for(answers: Callable[[], bool], server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTING_SECONDS
    while not answers():
        if server.poll() is not None or time.monotonic() > deadline:
            print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
            sys.exit(f"services: {log.stem} did not start.")
        time.sleep(0.05)


@contextlib.contextmanager
def postgresql(programs: Path, folder: Path, role: str = ROLE) -> Iterator[str]:
    who = unprivileged()
    if who:
        os.chown(folder, who["user"], who["group"])
    data, log, port = folder / "data", folder / "postgresql.log", free_port()
    made = subprocess.run(
        [programs / "initdb", "-D", data, "-U", role, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
        capture_output=True,
        check=False,
        cwd=folder,
        **who,
    )
    if made.returncode:
        sys.exit(f"services: initdb failed. {made.stderr.decode(errors='replace')[-1000:]}")
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": folder,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": 300,
    }
    arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with running([programs / "postgres", "-D", data, *arguments], log, signal.SIGINT, cwd=folder, **who) as server:
        where = ["-h", "127.0.0.1", "-p", str(port), "-U", role]
        ready: list[str | Path] = [programs / "pg_isready", "-q", *where]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, server, log)
        subprocess.run([programs / "createdb", *where, role], check=True, stdin=subprocess.DEVNULL)
        yield f"postgres://{role}@127.0.0.1:{port}/{role}"


@contextlib.contextmanager
def redis(program: str, folder: Path) -> Iterator[str]:
    log, port = folder / "redis.log", free_port()
    arguments = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    with running([program, *arguments, "--save", "", "--appendonly", "no"], log, signal.SIGTERM) as server:
        wait_for(lambda: is_pong(port), server, log)
        yield f"redis://127.0.0.1:{port}/0"


def is_pong(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def run(command: list[str], environment: dict[str, str]) -> int:
    """The command's exit code. SIGINT and SIGTERM are passed on to it, and we wait for it."""
    try:
        child = subprocess.Popen(command, env={**os.environ, **environment})
    except OSError as error:
        sys.exit(f"services: cannot run {command[0]}: {error.strerror}")

    def pass_on(number: int, frame: Any) -> None:
        if child.poll() is None:
            child.send_signal(number)

    signal.signal(signal.SIGINT, pass_on)
    signal.signal(signal.SIGTERM, pass_on)
    code = child.wait()
    return code if code >= 0 else 128 - code


def stop_starting(number: int, frame: Any) -> None:
    """Until the command runs, a signal unwinds what was started so far."""
    sys.exit(128 + number)


def main(command: list[str]) -> int:
    if not command:
        print(__doc__)
        return 2
    programs, redis_server = postgresql_folder(), redis_program()
    missing = [] if programs else ["postgresql"]
    missing += [] if redis_server else ["redis-server"]
    if not programs or not redis_server:
        names = " ".join(missing)
        refuse(f"not installed: {names}. On Debian or Ubuntu, as root: apt install {names}")
    signal.signal(signal.SIGINT, stop_starting)
    signal.signal(signal.SIGTERM, stop_starting)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="muster-services-")))
        database_url = stack.enter_context(postgresql(programs, folder))
        redis_url = stack.enter_context(redis(redis_server, folder))
        return run(command, {"DATABASE_URL": database_url, "REDIS_URL": redis_url})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
