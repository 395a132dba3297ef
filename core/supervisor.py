"""The process that keeps the others: it begins them again when they die, and ends them in order.

`serve` becomes this program once it has forked them, so that what it had loaded costs memory no longer: only the
standard library is here, without its site packages. Who dies is replaced by its `command`, which loads for itself.
See docs/adr/0042-memory.md.
"""

import json
import os
import select
import signal
import sys
import time
from typing import Any

VARIABLE = "MUSTER_SUPERVISED"
LEAVE = signal.SIGUSR1  # answer what comes, and close each connection with its answer
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
BLOCKED = {*STOPPING, LEAVE}  # where a process starts: it unblocks what it handles, and loses none that came before
LONG_LIFE = 10  # seconds; who lived for less is begun again later each time
LONGEST_REST = 10


class Child:
    def __init__(self, name: str, pid: int, command: list[str]) -> None:
        self.name, self.pid, self.command = name, pid, command
        self.begun, self.due, self.rest = time.monotonic(), 0.0, 0.0

    def begin(self) -> None:
        supervisor, self.begun = os.getpid(), time.monotonic()
        signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
        self.pid = os.fork()
        if not self.pid:
            try:
                end_with_parent(supervisor)
                os.execv(self.command[0], self.command)  # noqa: S606 - ourselves
            finally:
                os._exit(1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)

    def died(self) -> None:
        now = time.monotonic()
        self.rest = 0 if now - self.begun > LONG_LIFE else min(LONGEST_REST, 2 * self.rest or 0.5)
        self.due = now + self.rest


def end_with_parent(parent: int) -> None:
    """Nobody else would end a child whose supervisor was killed outright. Only Linux can promise that."""
    if sys.platform == "linux":
        import ctypes  # in children only: the supervisor stays small

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


class Supervisor:
    """`leaving` and `whole`: seconds from SIGTERM until the children drain, and until they are killed."""

    def __init__(
        self, children: list[dict[str, Any]], leaving: float, whole: float, folder: str, log: dict[str, str]
    ) -> None:
        self.children = [Child(**child) for child in children]
        self.leaving, self.whole, self.folder, self.log = leaving, whole, folder, log
        self.asked_to_stop = 0
        self.ear, mouth = os.pipe()
        for end in (self.ear, mouth):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
        for number in (*BLOCKED, signal.SIGCHLD):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(number, lambda *_: None)  # heard through the pipe, between two steps of ours
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)

    def keep(self) -> None:
        """Until somebody asks us to stop."""
        while not self.asked_to_stop:
            for child, status in self.reap():
                child.died()
                self.tell(f"{child.name}.died", exit_code=os.waitstatus_to_exitcode(status), restart_in=child.rest)
            now = time.monotonic()
            for child in self.children:
                if not child.pid and child.due <= now:
                    child.begin()
            self.listen(min((child.due - now for child in self.children if not child.pid), default=3600))

    def end(self) -> None:
        """A second signal kills at once what is left."""
        begun = time.monotonic()
        for number, until in ((LEAVE, self.leaving), (signal.SIGTERM, self.whole), (signal.SIGKILL, self.whole + 5)):
            for child in self.children:
                if child.pid:
                    os.kill(child.pid, number)
            while any(child.pid for child in self.children) and time.monotonic() < begun + until:
                if self.asked_to_stop > 1 and number != signal.SIGKILL:
                    break
                self.listen(begun + until - time.monotonic())
                self.reap()
        import shutil  # which is large, and only wanted now

        shutil.rmtree(self.folder, ignore_errors=True)

    def listen(self, seconds: float) -> None:
        """Until a signal comes, and `seconds` at most."""
        if select.select([self.ear], [], [], max(0, seconds))[0]:
            self.asked_to_stop += sum(number in STOPPING for number in os.read(self.ear, 512))

    def reap(self) -> list[tuple[Child, int]]:
        found = []
        for child in self.children:
            pid, status = os.waitpid(child.pid, os.WNOHANG) if child.pid else (0, 0)
            if pid:
                child.pid = 0
                found.append((child, status))
        return found

    def tell(self, event: str, **facts: Any) -> None:
        """A line like those of `core.logs`; never at the price of waiting for whoever reads them."""
        now = time.time()
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1e6):06}Z"
        line = json.dumps({**facts, "event": event, "level": "error", "logger": "muster", "at": at})
        if self.log["style"] == "text":
            line = f"{at} [error    ] {event} {' '.join(f'{name}={value}' for name, value in facts.items())}"
        try:
            if self.log["file"]:
                with open(self.log["file"], "a") as file:
                    file.write(f"{line}\n")
            elif select.select([], [2], [], 0)[1]:
                os.write(2, f"{line}\n".encode())
        except OSError:
            return


def main() -> None:
    supervisor = Supervisor(**json.loads(os.environ.pop(VARIABLE)))
    supervisor.keep()
    supervisor.end()


def become(**state: Any) -> None:
    """This program, in place of the one that runs; its children stay."""
    os.environ[VARIABLE] = json.dumps(state)
    os.execv(sys.executable, [sys.executable, "-I", "-S", __file__])  # noqa: S606 - ourselves


if __name__ == "__main__":
    main()
