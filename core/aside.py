"""A process of `serve` that computes hashes for the others, and gives way to all of them and to everybody else.

Who computes for a quarter of a second without pause is in the way of those who want a millisecond, again and again:
Linux gives each session of processes its share, in pieces as long as its clock ticks (4 ms). A thread of a worker could
give way as well, but while it has Python's lock all others wait with it. The process has nothing but the standard
library and what hashes, so that it costs little memory. See docs/adr/0053-hashes-aside.md.
"""

import ctypes
import errno
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

SECONDS = 2.0  # for an answer; then whoever waits computes for itself, as urgent as all others
WAITING = 128  # connections
REST = 0.1  # seconds
LEAST_URGENT = 19  # niceness
LONGEST_SLICE = 100_000_000  # nanoseconds; Linux takes none that is longer
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # numbers of the system call, which Python does not know


def bcrypt(password: str, salt: str) -> str:
    import bcrypt

    return bcrypt.hashpw(password.encode(), salt.encode()).decode()


def argon2(  # noqa: PLR0917 - as they come in JSON
    password: str, salt: str, rounds: int, memory: int, parallelism: int, length: int, kind: int, version: int
) -> str:
    """`salt` in Latin-1, since it is made of bytes; `memory` in KiB."""
    from argon2.low_level import Type, hash_secret

    secret, salted = password.encode(), salt.encode("latin-1")
    return hash_secret(secret, salted, rounds, memory, parallelism, length, Type(kind), version).decode()


HASHES: dict[str, Callable[..., str]] = {"bcrypt": bcrypt, "argon2": argon2}


def computed(hash_name: str, *given: Any) -> str:
    """By that process; where it is not there or was left too little, by this one, as urgent as all others."""
    with suppress(OSError):
        return str(ask(hash_name, *given))
    return HASHES[hash_name](*given)


def command() -> list[str]:
    """What starts it."""
    return [sys.executable, "-I", "-S", __file__, *filter(None, sys.path)]


def address() -> str:
    """In the folder of the processes of one `serve`, which nobody else enters. Raises OSError where there is none."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        raise FileNotFoundError
    return f"{folder}/aside"


def ask(*question: Any) -> Any:
    """What that process answers, both in terms of JSON. Raises OSError where it is not there, had no answer, or was
    left too little to find one in time."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(address())
        connection.sendall(json.dumps(question).encode())
        connection.shutdown(socket.SHUT_WR)
        answer = whole(connection)
    if not answer:
        raise ConnectionError
    return json.loads(answer)


def whole(connection: socket.socket) -> bytes:
    return b"".join(iter(partial(connection.recv, 64 * 1024), b""))


def main() -> None:
    sys.path += sys.argv[1:]
    from core.heap import keep_memory_small

    keep_memory_small()
    with suppress(OSError):
        Path("/proc/self/comm").write_text("aside")  # what top shows
    run(lambda hash_name, *given: HASHES[hash_name](*given))


def run(compute: Callable[..., Any]) -> None:
    """Until SIGTERM, after which what was begun is finished."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # blocked in a child of `serve`
    give_way()
    place = Path(address())
    place.unlink(missing_ok=True)  # of one that died
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen(WAITING)
        threads = [
            threading.Thread(target=answer_all, args=[listener, compute], daemon=True)
            for _ in range(os.cpu_count() or 1)
        ]
        for thread in threads:
            thread.start()
        stop.wait()
        place.unlink(missing_ok=True)
        listener.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def answer_all(listener: socket.socket, compute: Callable[..., Any]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError as error:
            if error.errno == errno.EINVAL:  # it was shut down
                return
            time.sleep(REST)  # too many open files, perhaps
            continue
        with connection, suppress(Exception):  # without an answer, whoever asked finds out for itself what is wrong
            connection.settimeout(SECONDS)
            question = json.loads(whole(connection))
            if is_waited_for(connection):
                connection.sendall(json.dumps(compute(*question)).encode())


def is_waited_for(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, 0)  # which tells that the other end is closed, and nothing else
    return not poll.poll(0)


def give_way() -> None:
    """Let this process have a processor when nobody else wants it: least urgent, in a session of its own, since Linux
    shares out among sessions first, and with a slice so long that whoever wakes up interrupts it at once (from Linux
    6.12 on; `sched_runtime` of sched_setattr(2)). Threads that it begins are as it is."""
    with suppress(OSError):
        os.setsid()
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(LEAST_URGENT))
    with suppress(OSError):
        os.nice(LEAST_URGENT)
    if sys.platform == "linux" and (call := SCHED_SETATTR.get(os.uname().machine)):
        attributes = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, 0, LEAST_URGENT, 0, LONGEST_SLICE, 0, 0)
        ctypes.CDLL(None).syscall(call, 0, attributes, 0)


if __name__ == "__main__":
    main()
