"""Redis publish/subscribe: a thread of its own that subscribes, and a word at each change.

Redis is never asked what is true. Whatever it does or fails to do, polling goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .channels import CHANNEL, EXAMINATION_SECONDS, Channel, Outage, Reach, private_channel, told

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import PubSub

logger = logging.getLogger("backsoon")

NAME = "Redis"

TIMEOUT_SECONDS = 0.25
"""For each step of a conversation with Redis, and for all of them where somebody waits."""

BEAT_SECONDS = 1.0
"""How often the listening thread looks whether it shall end."""

SILENT_BEATS = 5
"""After how many of them without a word Redis is asked whether it is still there."""

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 30.0

PAUSE_SECONDS = 0.02
"""After each message: a Redis that never stops talking must not keep a processor busy."""


@contextmanager
def connected(url: str) -> Iterator[Redis]:
    """A client whose every step is bounded and that never tries again by itself."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client: Redis = Redis.from_url(url)
    # Afterwards, since what stands in the address wins over what is given beside it.
    client.connection_pool.connection_kwargs.update(
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
        retry_on_error=[],
        health_check_interval=0,  # ours notices when no answer comes
    )
    try:
        yield client
    finally:
        client.close()
        client.connection_pool.disconnect()


# -- Hearing -----------------------------------------------------------------------------------


class Listener:
    """Subscribes to Redis and wakes the watcher. One for each run of a watcher."""

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        self._url = url
        self._wake = wake
        self._stopping = threading.Event()
        self._outage = Outage(
            "Redis wakes nobody; changes arrive by polling alone until it is back",
            "Redis wakes this process again.",
        )
        self.reach = Reach.UNTESTED

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="backsoon-redis", daemon=True).start()

    def stop(self) -> None:
        """Let the thread end, which takes it up to :data:`BEAT_SECONDS`; nobody waits for it."""
        self._stopping.set()

    def _run(self) -> None:
        delay = FIRST_RETRY_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                with connected(self._url) as client:
                    subscription = subscribed(client, CHANNEL)
                    self.reach = Reach.LISTENING
                    self._outage.ends()
                    self._wake()  # for what was said while nobody listened
                    self._listen(subscription)
            except Exception as error:  # noqa: BLE001  (there is no end to what a server can send)
                if self._stopping.is_set():
                    return
                self.reach = Reach.SILENT
                self._outage.begins(error)
            if time.monotonic() - began > LAST_RETRY_SECONDS:  # else it comes and goes
                delay = FIRST_RETRY_SECONDS
            self._stopping.wait(delay)
            delay = min(2 * delay, LAST_RETRY_SECONDS)

    def _listen(self, subscription: PubSub) -> None:
        """Until it shall end or Redis is gone, which raises an error."""
        silent = 0
        while not self._stopping.is_set():
            message = subscription.get_message(timeout=BEAT_SECONDS)
            if message is not None:
                silent = 0
                if message["type"] == "message":
                    self._wake()
                self._stopping.wait(PAUSE_SECONDS)
                continue
            silent += 1
            if silent == SILENT_BEATS:
                subscription.ping()
            elif silent > SILENT_BEATS:
                raise TimeoutError("it does not answer")


def subscribed(client: Redis, channel: str) -> PubSub:
    """A subscription to *channel* that Redis has confirmed."""
    subscription: PubSub = client.pubsub()  # type: ignore[no-untyped-call]
    subscription.subscribe(channel)
    answer: dict[str, Any] | None = subscription.get_message(timeout=TIMEOUT_SECONDS)
    if answer is None:
        raise TimeoutError("it does not answer")
    if answer["type"] != "subscribe":
        raise ValueError(f"it answered a subscription with {answer['type']!r}")
    return subscription


# -- Telling -----------------------------------------------------------------------------------

_unheard = Outage(
    "Redis could not be told of a change; the other processes learn of it by polling",
    "Redis takes word of changes again.",
)


def tell(url: str) -> None:
    """Publish a word, and wait for that no longer than :data:`TIMEOUT_SECONDS`."""
    try:
        # Before the clock runs: the first import takes longer than the conversation.
        import redis  # noqa: F401
    except ImportError as error:
        _unheard.begins(error)
        return
    # In a thread, since no timeout of a socket bounds the look-up of its host's name.
    teller = threading.Thread(target=_publish, args=(url,), name="backsoon-tell", daemon=True)
    teller.start()
    teller.join(TIMEOUT_SECONDS)


def _publish(url: str) -> None:
    try:
        with connected(url) as client:
            client.publish(CHANNEL, "")
    except Exception as error:  # noqa: BLE001  (a change is not less made because nobody hears of it)
        _unheard.begins(error)
    else:
        _unheard.ends()


# -- Examining ---------------------------------------------------------------------------------


def examine(url: str) -> Channel:
    """Say something to ourselves by way of Redis."""
    if not url:
        return Channel(NAME, Reach.OFF, 'BACKSOON["REDIS_URL"] is not set.')
    channel = private_channel()
    try:
        with connected(url) as listener, connected(url) as teller:
            subscription = subscribed(listener, channel)
            teller.publish(channel, "")
            message = subscription.get_message(timeout=EXAMINATION_SECONDS)
    except Exception as error:  # noqa: BLE001  (reported, whatever it is)
        return Channel(
            NAME,
            Reach.SILENT,
            f"Redis does not answer ({told(error)}).",
            'Start it, or correct BACKSOON["REDIS_URL"].',
        )
    if message is None or message["type"] != "message":
        return Channel(
            NAME,
            Reach.SILENT,
            "What is published to Redis does not come back.",
            'BACKSOON["REDIS_URL"] must name one server, the same for all processes.',
        )
    return Channel(NAME, Reach.LISTENING, "Redis passes word on.")
