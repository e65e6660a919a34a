"""The online states of users, and who is told of them."""

import attrs

from rtmcore.codes import PeerOnlineState
from rtmcore.service.commands.names import Session


@attrs.frozen
class SubscribePresence:
    """Be told of the online states of users. Answered by `Settled` or `Refusal` (with OVERFLOW above 512 in all).

    A `PresenceNotice` with the states of all who are new follows the answer. Ends with the session.
    """

    session: Session
    cmid: int
    floor: int
    users: tuple[str, ...]


@attrs.frozen
class UnsubscribePresence:
    """Be told of users no longer. Answered by `Settled`, also for unknown ones."""

    session: Session
    cmid: int
    floor: int
    users: tuple[str, ...]


@attrs.frozen
class QueryPresence:
    """Ask for the online states of users. Answered by `States` (UNREACHABLE counts as ONLINE)."""

    session: Session
    cmid: int
    floor: int
    users: tuple[str, ...]


@attrs.frozen
class ListSubscriptions:
    """Ask for the users that the session has subscribed to. Answered by `UserNames`."""

    session: Session
    cmid: int
    floor: int


@attrs.frozen
class States:
    """Online states of users."""

    states: tuple[tuple[str, PeerOnlineState], ...]


@attrs.frozen
class UserNames:
    """Users."""

    users: tuple[str, ...]


@attrs.frozen
class PresenceNotice:
    """Online states of users that a session on this node has subscribed to.

    After a resume: those of all of them, since changes may have been missed.
    """

    session: Session
    states: tuple[tuple[str, PeerOnlineState], ...]
