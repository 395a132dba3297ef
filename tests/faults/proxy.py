"""Between the service and PostgreSQL: counts what is asked, and kills the asker at the n-th question.

So a process dies at a chosen statement of a request, without a hook in the product.
"""

import asyncio
import os
import re
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.serving import free_port


class Killer:
    def __init__(self, target: int) -> None:
        self.target, self.port = target, free_port()
        self.count, self.at, self.is_after = 0, 0, False
        self.killed: list[int] = []
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self.listen(), self.loop).result(10)

    async def listen(self) -> None:
        self.server = await asyncio.start_server(self.relay, "127.0.0.1", self.port)

    def arm(self, at: int, *, is_after: bool = False) -> None:
        """From now on count; kill before question `at` gets through, or after it did and before its answer does."""
        self.count, self.at, self.is_after = 0, at, is_after
        self.killed.clear()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection("127.0.0.1", self.target)
        caller = writer.get_extra_info("peername")[1]
        muted = asyncio.Event()
        with suppress(OSError):
            await asyncio.gather(self.ask(reader, to, caller, muted), self.answer(there, writer, muted))
        for each in (writer, to):
            each.close()

    async def ask(self, reader: Any, to: Any, caller: int, muted: asyncio.Event) -> None:
        while data := await reader.read(65536):
            self.count += 1
            if self.count == self.at:
                if self.is_after:
                    muted.set()
                    to.write(data)
                    await to.drain()
                    await asyncio.sleep(0.2)  # the database does it
                self.kill(caller)
                break
            to.write(data)
            await to.drain()
        to.close()

    async def answer(self, there: Any, writer: Any, muted: asyncio.Event) -> None:
        while data := await there.read(65536):
            if muted.is_set():
                return
            writer.write(data)
            await writer.drain()

    def kill(self, port: int) -> None:
        pid = owner_of(port)
        if pid:
            os.kill(pid, signal.SIGKILL)
            self.killed.append(pid)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)


def owner_of(port: int) -> int:
    """The process whose end of a connection has this port."""
    table = Path("/proc/net/tcp").read_text()
    line = re.search(rf"^ *\d+: [0-9A-F]+:{port:04X} [0-9A-F:]+ 01 .*$", table, re.MULTILINE)
    if not line:
        return 0
    socket = f"socket:[{line.group().split()[9]}]"
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(entry) == socket:
                return int(entry.parts[2])
    return 0
