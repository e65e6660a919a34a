"""Django signals: what arrives, how the listener's connection stands, and what is sent.

Receivers are called with `send_robust`: one that raises is logged by Django, and the others are called all the same.
Each gets ``using``, the alias in the setting ``RTM``. `message_received` and `state_changed` are sent in the listener
only, before the handlers are called, and only to receivers that were connected before it began.
"""

from typing import Any, Final

from django.dispatch import Signal

message_received: Final[Any] = Signal()
"""The listener has got a message: ``message``, a `PeerMessage` or a `ChannelMessage`; the sender is its class."""

state_changed: Final[Any] = Signal()
"""The listener's connection is in another state: ``event``, a `StateChanged`; the sender is its class."""

sent: Final[Any] = Signal()
"""Something was published: ``destination`` (a channel or a user), ``kind`` (``"channel"`` or ``"peer"``), ``result``.

The sender is the class of the connections, and ``result`` is what publishing has returned. The message is not told.
"""
