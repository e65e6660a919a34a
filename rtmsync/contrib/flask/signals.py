"""What other extensions can hear of, as blinker signals. They are sent in the listener, inside an application context.

The sender is the application. Whatever listens runs before the application's own handlers.
"""

from typing import Final

from blinker import Namespace

_SIGNALS: Final = Namespace()

message_received: Final = _SIGNALS.signal("rtm-message-received")
"""A message to a channel that the listener is in, or to the listener itself: `message`, `extension`."""

state_changed: Final = _SIGNALS.signal("rtm-state-changed")
"""The listener's connection is in another state: `event`, `extension`."""
