"""A load generator that costs little: HTTP/1.1 over kept connections, each of which repeats a script."""

import asyncio
import time
from collections.abc import Generator
from dataclasses import dataclass, field

Answer = tuple[int, bytes]
Script = Generator[bytes, Answer, None]
"""Yields requests, and is sent the status and body of each. It ends by itself or is dropped when the time is up."""

ANSWER_SECONDS = 30


class Refused(Exception):
    """A subject answered otherwise than its script expects: then there is nothing to measure."""


@dataclass
class Load:
    """What came of it: the time of each answer in ms, over so many seconds. A 503 is none."""

    seconds: float = 0.0
    turned_away: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return len(self.latencies)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def request(method: str, path: str, host: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "User-Agent: bench", "Accept: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connection(asyncio.Protocol):
    def __init__(self, script: Script, load: Load, until: float) -> None:
        self.script, self.load, self.until = script, load, until
        self.received = bytearray()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.send(next(self.script))

    def send(self, data: bytes) -> None:
        self.started = time.perf_counter()
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self.received += data
        answer = parsed(self.received)
        if answer is None:
            return None
        now = time.perf_counter()
        if answer[0] == 503:
            self.load.turned_away += 1
        else:
            self.load.latencies.append((now - self.started) * 1000)
        self.received.clear()
        try:
            following = self.script.send(answer)
        except StopIteration:
            return self.finish()
        except Exception as error:
            return self.finish(error)
        return self.send(following) if now < self.until else self.finish()

    def connection_lost(self, error: Exception | None) -> None:
        self.finish(error or Refused("the server closed a connection"))

    def finish(self, error: Exception | None = None) -> None:
        if not self.done.done():
            self.transport.close()
            if error:
                self.done.set_exception(error)
            else:
                self.done.set_result(None)


def parsed(received: bytearray) -> Answer | None:
    """Status and body once they are whole. All subjects send a Content-Length."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[:end]).lower()
    at = head.find(b"\r\ncontent-length:")
    length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    if len(received) < end + 4 + length:
        return None
    return int(received[9:12]), bytes(received[end + 4 :])


def generate(port: int, scripts: list[Script], seconds: float, beside: tuple[list[Script], Load] | None = None) -> Load:
    """Run all scripts at once, each on a connection of its own, for so long; those beside are counted by themselves."""
    return asyncio.run(_generate(port, scripts, seconds, beside or ([], Load())))


async def _generate(port: int, scripts: list[Script], seconds: float, beside: tuple[list[Script], Load]) -> Load:
    load, started = Load(), time.perf_counter()
    made = [await _connect(port, script, load, started + seconds) for script in scripts]
    made += [await _connect(port, script, beside[1], started + seconds) for script in beside[0]]
    async with asyncio.timeout(seconds + ANSWER_SECONDS):
        await asyncio.gather(*(one.done for one in made))
    load.seconds = time.perf_counter() - started
    return load


async def _connect(port: int, script: Script, load: Load, until: float) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(script, load, until), "127.0.0.1", port)
    return connection
