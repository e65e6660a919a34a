"""One user of the demo in a process of its own: takes orders on standard input, tells what happens on standard output.

Both are lines of JSON. The process ends with its orders, so that it never outlives the demo.
"""

import json
import sys
import threading
import time
from concurrent.futures import Future
from typing import Any

from rtmsync import ChannelGap, ChannelMessage, Client, PeerMessage, RtmError, StateChanged

_writing = threading.Lock()


def tell(what: str, **facts: Any) -> None:
    with _writing:
        print(json.dumps({"is": what, "at": time.monotonic(), **facts}), flush=True)


def state_changed(event: StateChanged) -> None:
    cause = None if event.cause is None else event.cause.message
    tell("state", state=event.state.name, reason=event.reason.name, previous=event.previous.name, cause=cause)


def got_channel_message(message: ChannelMessage) -> None:
    tell("got", sender=message.sender, to=f"#{message.channel}", id=message.id, text=message.text)


def got_peer_message(message: PeerMessage) -> None:
    tell("got", sender=message.sender, to=None, id=message.id, text=message.text)


def lost(event: ChannelGap) -> None:
    tell("trouble", text=f"{event.lost} messages to #{event.channel} are lost")


class User:
    """Carries out orders with one client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._channels: dict[str, Any] = {}
        self._counts: dict[str, int] = {}

    def join(self, channel: str) -> None:
        """Become a member of a channel."""
        joined = self._client.channel(channel)
        joined.join()
        self._channels[channel] = joined
        tell("joined", channel=channel)

    def send(self, to: str, lines: list[str], pace: float) -> None:
        """Send lines to a channel (#name) or a user, one every `pace` seconds, without waiting for answers."""
        for text in lines:
            started = time.monotonic()
            number = self._counts[to] = self._counts.get(to, 0) + 1
            tell("sent", to=to, number=number, text=text)
            try:
                if to.startswith("#"):
                    future: Future[Any] = self._channels[to[1:]].send_future(text)
                else:
                    future = self._client.send_peer_future(to, text)
            except RtmError as error:
                tell("answered", to=to, number=number, id=None, error=str(error))
            else:
                future.add_done_callback(lambda done, to=to, number=number: self._answered(done, to, number))
            time.sleep(max(0.0, started + pace - time.monotonic()))

    @staticmethod
    def _answered(future: "Future[Any]", to: str, number: int) -> None:
        error = future.exception()
        if error is None:
            result = future.result()
            status = getattr(result, "status", None)
            tell(
                "answered",
                to=to,
                number=number,
                id=result.message_id,
                status=status.name if status is not None else None,
            )
        else:
            tell("answered", to=to, number=number, id=None, error=str(error))


def main(url: str, app_id: str, name: str) -> int:
    client = Client(url, app_id=app_id, user_id=name, proxy=None)
    client.on(StateChanged, state_changed)
    client.on(ChannelMessage, got_channel_message)
    client.on(PeerMessage, got_peer_message)
    client.on(ChannelGap, lost)
    with client:
        client.login()
        user = User(client)
        for line in sys.stdin:
            order = json.loads(line)
            what = order.pop("do")
            if what == "join":
                user.join(**order)
            elif what == "send":
                # Beside the reading, so that a user can talk to two others at once.
                threading.Thread(target=user.send, kwargs=order, daemon=True).start()
            else:
                client.logout()
                break
    tell("gone")
    return 0
