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

logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(process)d %(name)s %(levelname)s %(message)s")

URL = os.environ["SHOP_URL"]
CHANNEL = os.environ["SHOP_CHANNEL"]
MASTER = os.environ.get("SHOP_MASTER")

publisher = rtmsync.Publisher(URL, app_id=DEV_APP_ID, server_key=os.environ["SHOP_KEY"])
_channels: dict[int, rtmsync.Channel] = {}
_making = threading.Lock()


def session() -> rtmsync.Channel:
    """The channel of this process's own session, which begins with the first request that wants it."""
    with _making:
        pid = os.getpid()
        if pid not in _channels:
            client = rtmsync.connect(URL, app_id=DEV_APP_ID, user_id=f"web-{pid}", rate_limits=False, proxy=None)
            _channels[pid] = client.channel(CHANNEL)
            _channels[pid].join()
        return _channels[pid]


def by_publisher(what: str) -> str:
    publisher.publish(CHANNEL, what, sender="web")
    return "published"


def by_session(what: str) -> str:
    session().send(what)
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
        logging.exception("%s failed", view)
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

    return client


inherited = _log_in()
