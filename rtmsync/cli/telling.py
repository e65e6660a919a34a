"""How a change of the connection's state is told to a person."""

import time
from typing import Final

from rtmcore.client.events import StateChanged
from rtmcore.codes import ConnectionState
from rtmcore.errors import Aborted
from rtmsync.cli.output import clock_time, note

_SENTENCES: Final = {
    ConnectionState.DISCONNECTED: "logged out",
    ConnectionState.CONNECTING: "connecting",
    ConnectionState.CONNECTED: "connected",
    ConnectionState.RECONNECTING: "the network is silent, coming back by itself",
    ConnectionState.ABORTED: "the session was ended for good",
}


def tell_state(event: StateChanged) -> None:
    """Print a change of state on standard error."""
    because = "" if event.cause is None else f" ({event.cause.message})"
    note(
        f"{clock_time(time.time())} {event.state.name} {event.reason.name}: {_SENTENCES[event.state]}{because}"
    )


def abortion(event: StateChanged, operation: str) -> Aborted:
    """The error for a session that was ended for good."""
    return Aborted(
        f"The session was ended ({event.reason.name}).",
        reason=event.reason,
        operation=operation,
        state=event.state.name,
        hint="Somebody logged in under the same name, or the server refuses it. One name per client.",
    )
