"""Who acts, and from where: names, their sessions, and the places that answers and notices go to."""

from typing import Final, NamedTuple

import attrs

RTM: Final = "rtm"
RTC: Final = "rtc"
ROOM: Final = "room"
KINDS: Final = (RTM, RTC, ROOM)
"""The name spaces: nobody is kicked across them."""


class Name(NamedTuple):
    """Who a session belongs to: one live session for each."""

    app: str
    kind: str
    """The name space: `rtm`, `rtc` or `room`."""
    name: str
    """The user, the uid or the identity."""
    scope: str = ""
    """The RTC channel or the room that the name is good for; empty for `rtm`."""


class Place(NamedTuple):
    """Where an answer or notice goes: a transport of a session on a node."""

    node: str
    connection: int


@attrs.frozen
class Session:
    """The right to act for a name: the fence of its session, and the transport that speaks for it.

    An engine refuses a command (`Fenced`) unless the fence is the current one of
    the name, and the place the one that claimed it last.
    """

    name: Name
    fence: int
    place: Place
