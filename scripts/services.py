#!/usr/bin/env python3
"""Runs a command beside a PostgreSQL and a Redis of its own: scripts/services.py [OPTION …] COMMAND [ARGUMENT …]

  --replica    also a streaming replica, in DATABASE_REPLICA_URL
  --pgbouncer  also a PgBouncer in transaction mode: it is DATABASE_URL then, and DATABASE_POOLED is true

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
from urllib.parse import urlsplit

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


def pgbouncer_program() -> str | None:
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


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
    make_data(folder, programs / "initdb", "-U", role, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
    port = free_port()
    with started(programs, folder, port):
        where = ["-h", "127.0.0.1", "-p", str(port), "-U", role]
        subprocess.run([programs / "createdb", *where, role], check=True, stdin=subprocess.DEVNULL)
        yield f"postgres://{role}@127.0.0.1:{port}/{role}"


@contextlib.contextmanager
def replica(programs: Path, folder: Path, primary_url: str) -> Iterator[str]:
    copy_primary(programs, folder, primary_url)
    port = free_port()
    with started(programs, folder, port):
        yield f"postgres://{ROLE}@127.0.0.1:{port}/{ROLE}"


def copy_primary(programs: Path, folder: Path, primary_url: str) -> None:
    """The data of a server that will follow it by streaming replication."""
    folder.mkdir()
    make_data(folder, programs / "pg_basebackup", "-d", primary_url, "-R", "-X", "stream", "-c", "fast", "-N")


def make_data(folder: Path, program: Path, *options: str) -> None:
    """What `program -D folder/data` makes, owned by who may run PostgreSQL."""
    who = unprivileged()
    if who:
        os.chown(folder, who["user"], who["group"])
    command: list[str | Path] = [program, "-D", folder / "data", *options]
    made = subprocess.run(command, capture_output=True, check=False, cwd=folder, **who)
    if made.returncode:
        sys.exit(f"services: {program.name} failed. {made.stderr.decode(errors='replace')[-1000:]}")


@contextlib.contextmanager
def started(programs: Path, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A PostgreSQL on the data that stand in the folder."""
    log, who = folder / "postgresql.log", unprivileged()
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
    command: list[str | Path] = [programs / "postgres", "-D", folder / "data", *arguments]
    with running(command, log, signal.SIGINT, cwd=folder, **who) as server:
        ready: list[str | Path] = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", ROLE]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, server, log)
        yield server


@contextlib.contextmanager
def pgbouncer(programs: Path, program: str, folder: Path, database_url: str) -> Iterator[str]:
    """In front of every database of that server. Timeouts come by role, since it takes none at the start."""
    limits = ("statement_timeout = '5s'", "lock_timeout = '4s'", "idle_in_transaction_session_timeout = '15s'")
    alter = [part for limit in limits for part in ("-c", f"ALTER ROLE {ROLE} SET {limit}")]
    subprocess.run([programs / "psql", "-q", "-d", database_url, *alter], check=True, stdin=subprocess.DEVNULL)
    behind, port, log = urlsplit(database_url).port, free_port(), folder / "pgbouncer.log"
    (folder / "pgbouncer.users").write_text(f'"{ROLE}" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={behind}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder}/pgbouncer.users\n"
        "pool_mode = transaction\ndefault_pool_size = 20\nmax_client_conn = 1000\n"
        "query_wait_timeout = 5\nserver_connect_timeout = 2\nserver_login_retry = 1\n"
    )
    with running([program, folder / "pgbouncer.ini"], log, signal.SIGINT, cwd=folder, **unprivileged()) as server:
        wait_for(lambda: is_listening(port), server, log)
        yield f"postgres://{ROLE}@127.0.0.1:{port}/{ROLE}"


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


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
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, frame: Any) -> None:
        if child is None:
            early.append(number)
        elif child.poll() is None:
            child.send_signal(number)

    # Before it starts: a signal in between must reach it, not end us and leave it running.
    signal.signal(signal.SIGINT, pass_on)
    signal.signal(signal.SIGTERM, pass_on)
    try:
        child = subprocess.Popen(command, env={**os.environ, **environment})
    except OSError as error:
        sys.exit(f"services: cannot run {command[0]}: {error.strerror}")
    for number in early:
        child.send_signal(number)
    code = child.wait()
    return code if code >= 0 else 128 - code


def stop_starting(number: int, frame: Any) -> None:
    """Until the command runs, a signal unwinds what was started so far."""
    sys.exit(128 + number)


def main(arguments: list[str]) -> int:
    command = arguments[:]
    options = set()
    while command and command[0] in ("--replica", "--pgbouncer"):
        options.add(command.pop(0))
    if not command:
        print(__doc__)
        return 2
    needed = {"postgresql": postgresql_folder(), "redis-server": redis_program()}
    if "--pgbouncer" in options:
        needed["pgbouncer"] = pgbouncer_program()
    if missing := " ".join(name for name, found in needed.items() if not found):
        refuse(f"not installed: {missing}. On Debian or Ubuntu, as root: apt install {missing}")
    signal.signal(signal.SIGINT, stop_starting)
    signal.signal(signal.SIGTERM, stop_starting)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="muster-services-")))
        return run(command, start(stack, folder, options))


def start(stack: contextlib.ExitStack, folder: Path, options: set[str]) -> dict[str, str]:
    """Where they are, by the names of the environment."""
    programs, redis_server, pooler = postgresql_folder(), redis_program(), pgbouncer_program()
    assert programs
    assert redis_server
    found = {"DATABASE_URL": stack.enter_context(postgresql(programs, folder))}
    found["REDIS_URL"] = stack.enter_context(redis(redis_server, folder))
    if "--replica" in options:
        found["DATABASE_REPLICA_URL"] = stack.enter_context(
            replica(programs, folder / "replica", found["DATABASE_URL"])
        )
    if "--pgbouncer" in options and pooler:
        found["DATABASE_URL"] = stack.enter_context(pgbouncer(programs, pooler, folder, found["DATABASE_URL"]))
        found["DATABASE_POOLED"] = "true"
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
