"""Redis, when there is one. It helps and never decides: whoever asks must do without it."""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import redis
from django.conf import settings

from core.outcome import log

T = TypeVar("T")
TIMEOUT = 0.3  # seconds for connecting and for each answer
REST = 5.0  # seconds for which a Redis that did not answer is left alone, so that a hung one costs little

_away_until = 0.0


@lru_cache(maxsize=1)
def _client() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        health_check_interval=30,
        decode_responses=True,
    )


def ask(question: Callable[["redis.Redis"], Any]) -> Any | None:
    """What `question(client)` answers; None when Redis is not configured or does not answer."""
    global _away_until
    if not settings.REDIS_URL or time.monotonic() < _away_until:
        return None
    try:
        return question(_client())
    except redis.RedisError as error:
        _away_until = time.monotonic() + REST
        log.warning("redis.away", error=type(error).__name__)
        return None


def send(*commands: tuple[Any, ...]) -> bool:
    """Several commands at once, whose answers nobody needs; whether Redis took them. A pipeline costs twice as much."""

    def exchange(client: "redis.Redis") -> bool:
        connection: Any = client.connection_pool.get_connection()
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                connection.read_response()
        except BaseException:
            connection.disconnect()  # an answer that was not read would come to the next question
            raise
        finally:
            client.connection_pool.release(connection)
        return True

    return bool(ask(exchange))


def is_there() -> bool:
    """Whether Redis answers just now, asked even while it rests."""
    try:
        return bool(_client().ping())
    except redis.RedisError:
        return False
