"""A site that publishes from its views, to be served by whatever serves WSGI.

What it is made of stands in the environment: ``SHOP_URL``, ``SHOP_KEY``, ``SHOP_CHANNEL``; with ``SHOP_MASTER`` the
process that loads it logs in at once, as the user of that name, and stays so while it forks its workers.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import rtmsync
from rtmsync.server.config import DEV_APP_ID

logging.basicConfig(
    level=logging.INFO, stream=sys.stderr, format="%(process)d %(name)s %(levelname)s %(message)s"
)

URL = os.environ["SHOP_URL"]
CHANNEL = os.environ["SHOP_CHANNEL"]
MASTER = os.environ.get("SHOP_MASTER")

publisher = rtmsync.Publisher(URL, app_id=DEV_APP_ID, server_key=os.environ["SHOP_KEY"])


class Session:
    """The session of one process, which begins with the first request that wants it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: rtmsync.Client | None = None
        self._channel: rtmsync.Channel | None = None

    def channel(self) -> rtmsync.Channel:
        with self._lock:
            if self._channel is None:
                user = f"web-{os.getpid()}"
                self._client = rtmsync.connect(
                    URL, app_id=DEV_APP_ID, user_id=user, rate_limits=False, proxy=None
                )
                self._channel = self._client.channel(CHANNEL)
                self._channel.join()
            return self._channel

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


_sessions: dict[int, Session] = {}
"""By process: what one has made, also a lock, is nothing for those that are forked from it."""


def close() -> None:
    """For processes that end without the hooks of `atexit`."""
    publisher.close()
    _sessions.setdefault(os.getpid(), Session()).close()


def by_publisher(what: str) -> str:
    publisher.publish(CHANNEL, what, sender="web")
    return "published"


def by_session(what: str) -> str:
    _sessions.setdefault(os.getpid(), Session()).channel().send(what)
    return "sent"


def with_inherited(what: str) -> str:
    """What becomes of the session of the process that has loaded this, in one that was forked from it."""
    assert inherited is not None
    state = inherited.state.name
    try:
        inherited.send_peer("nobody", what)
    except rtmsync.RtmError as error:
        return f"{state} {type(error).__name__}"
    return f"{state} sent"


VIEWS: dict[str, Callable[[str], str]] = {
    "publisher": by_publisher,
    "session": by_session,
    "inherited": with_inherited,
}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """``/<view>/<what>``: the answer says what became of it, and in which process."""
    _, view, what = environ["PATH_INFO"].split("/")
    time.sleep(0.005)  # as if there were something to do: so every worker gets its part
    try:
        status, body = "200 OK", VIEWS[view](what)
    except Exception as error:
        logging.getLogger("shop").exception("%s failed", view)
        status, body = "500 Internal Server Error", repr(error)
    start_response(status, [("Content-Type", "text/plain"), ("Connection", "close")])
    return [f"{os.getpid()} {body}".encode()]


def _log_in() -> rtmsync.Client | None:
    if MASTER is None:
        return None
    client = rtmsync.connect(URL, app_id=DEV_APP_ID, user_id=MASTER, rate_limits=False, proxy=None)

    @client.on(rtmsync.PeerMessage)
    def answer(message: rtmsync.PeerMessage) -> None:
        client.send_peer(message.sender, f"{os.getpid()} {client.state.name} {client.connection.attempt}")

    # uWSGI forks without holding the interpreter's lock and without its hooks. What a thread holds in that moment,
    # be it the lock of `logging`, is held for ever in the workers; so let there be silence. Both sides have just said
    # something, and say nothing again for 1.5 s; where the machine stood still meanwhile, once more.
    for _ in range(20):
        client.member_counts(CHANNEL)
        begun = time.monotonic()
        time.sleep(0.5)
        if time.monotonic() < begun + 0.75:
            break
    return client


inherited = _log_in()
