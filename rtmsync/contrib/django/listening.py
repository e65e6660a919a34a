"""What the listener of a Django site calls, and how its log becomes visible."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rtmcore.client.events import StateChanged
from rtmcore.models import ChannelMessage, PeerMessage
from rtmsync.contrib.django.clients import RtmConnections
from rtmsync.contrib.django.handlers import handlers_of
from rtmsync.contrib.django.signals import message_received, state_changed
from rtmsync.contrib.listening import Handler, Handlers


def announced(connections: RtmConnections) -> Handlers:
    """The handlers of a server, and before them what sends signals where somebody hears them."""

    def received(message: ChannelMessage | PeerMessage) -> None:
        message_received.send_robust(type(message), using=connections.alias, message=message)

    def changed(event: StateChanged) -> None:
        state_changed.send_robust(type(event), using=connections.alias, event=event)

    first: list[Handler] = []
    if message_received.receivers:
        # Without a receiver, messages to the listener that no handler takes stay at the server.
        first += [Handler(ChannelMessage, None, received), Handler(PeerMessage, None, received)]
    if state_changed.receivers:
        first.append(Handler(StateChanged, None, changed))
    return Handlers([*first, *handlers_of(connections.alias)])


@contextmanager
def visible_logs(stream: Any) -> Iterator[None]:
    """Show warnings of this library during a block where the site's LOGGING shows them nowhere.

    Args:
        stream: Where to.
    """
    logger = logging.getLogger("rtmsync")
    if logging.getLogger().handlers or any(
        not isinstance(handler, logging.NullHandler) for handler in logger.handlers
    ):
        yield
        return
    handler = logging.StreamHandler(stream)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
