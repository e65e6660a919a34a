"""Figures of a running client."""

import attrs


@attrs.frozen
class ClientStats:
    """What a client has done so far, and what waits in it."""

    bytes_received: int
    bytes_sent: int
    requests_waiting: int
    """Calls without an answer yet."""
    peer_messages_held: int
    """Peer messages that no subscription had room for; they are not acknowledged."""
    callbacks_called: int
    callbacks_failed: int
    """Callbacks that raised."""
    events_dropped: int
    """Events that callbacks were too slow for."""
    threads: int
    """Threads of this client that run now."""
