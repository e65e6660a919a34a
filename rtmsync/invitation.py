"""Call invitations: a user asks another one to a call, who accepts or refuses."""

import os
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from rtmcore.client.calling import IncomingInvitation, Invitation, OutgoingInvitation
from rtmcore.client.core import ClientCore
from rtmcore.client.events import LocalInvitationChanged, RemoteInvitationChanged
from rtmcore.client.requests import Ticket
from rtmcore.codes import (
    LocalInvitationError,
    LocalInvitationState,
    RemoteInvitationError,
    RemoteInvitationState,
)
from rtmcore.connection.invitations import LOCAL_ENDS, REMOTE_ENDS
from rtmcore.limits import INVITATION_WAIT
from rtmsync.driver.clock import Timeout, seconds_of
from rtmsync.driver.driver import Driver, Intent
from rtmsync.driver.futures import ClientFuture, forked
from rtmsync.invitation_events import (
    LOCAL_EVENTS,
    REMOTE_EVENTS,
    LocalInvitationAccepted,
    LocalInvitationCanceled,
    LocalInvitationFailure,
    LocalInvitationReceivedByPeer,
    LocalInvitationRefused,
    RemoteInvitationAccepted,
    RemoteInvitationCanceled,
    RemoteInvitationFailure,
    RemoteInvitationReceived,
    RemoteInvitationRefused,
)
from rtmsync.subscriptions import EventSource

if TYPE_CHECKING:
    from typing_extensions import Self

_NUMBERS: Final = count(1)


class _Side(EventSource):
    """What both sides of an invitation have in common."""

    __slots__ = ("_client", "_invitation", "part")

    _invitation: Any

    def __init__(self, driver: Driver[ClientCore], invitation: Invitation) -> None:
        self._client = driver
        self._invitation = invitation
        #: Names it among the events of its client; no channel has such a name.
        self.part = f"invitation/{next(_NUMBERS)}"
        invitation.context = self

    @property
    def channel_id(self) -> str:
        """A channel that the two may use, at most 64 bytes; nobody joins it by himself."""
        channel_id: str = self._invitation.channel_id
        return channel_id

    @property
    def response(self) -> str:
        """What the callee has said when it accepted or refused; empty before."""
        response: str = self._invitation.response
        return response

    @property
    def _driver(self) -> Driver[ClientCore]:
        return self._client

    @property
    def _part(self) -> str:
        return self.part

    def _do(self, operation: str, action: Callable[[ClientCore, float], None]) -> None:
        driver = self._client
        if driver.pid != os.getpid():
            raise forked(operation)
        driver.act(operation, lambda now: action(driver.core, now))

    def _waiting(self, timeout: Timeout) -> tuple[Intent, float]:
        core, invitation = self._client.core, self._invitation
        seconds = seconds_of(timeout, INVITATION_WAIT)
        if self._client.pid != os.getpid():
            raise forked("wait")

        def intent(now: float) -> Ticket:
            return core.invitations.wait(invitation, timeout=seconds, now=now)

        return intent, seconds


class LocalInvitation(_Side):
    """An invitation that this client sends; made by `Client.invite`, sent by `send`, and used once.

    Its events, for `on` and `events`: LocalInvitationReceivedByPeer, LocalInvitationAccepted,
    LocalInvitationRefused, LocalInvitationCanceled, LocalInvitationFailure. Subscribe before `send`; the client has
    the events of all its invitations. After the last one a queue ends.

    Attributes:
        part: Names it among the events of its client.
    """

    __slots__ = ()

    _EVENTS = LOCAL_EVENTS

    _invitation: OutgoingInvitation

    def __repr__(self) -> str:
        return f"<LocalInvitation to {self.callee!r}, {self.state.name}>"

    @property
    def callee(self) -> str:
        """Who is invited."""
        return self._invitation.callee

    @property
    def content(self) -> str:
        """What it says, at most 8 KiB."""
        return self._invitation.content

    @property
    def state(self) -> LocalInvitationState:
        """Where it stands; updated before the event that tells of it."""
        return self._invitation.state

    @property
    def error(self) -> LocalInvitationError | None:
        """Why it has failed; None unless it is in FAILURE."""
        return self._invitation.error

    @property
    def _gone(self) -> bool:
        return self._invitation.state in LOCAL_ENDS

    def send(self) -> "Self":
        """Send it; it waits for nothing. `wait` and the events tell what comes of it.

        It is sent again for 30 s while the callee is offline. Without a login it fails at once, with
        NOT_LOGGED_IN: the state, `wait` and a LocalInvitationFailure say so, and no exception.

        Returns:
            The invitation.

        Raises:
            InvitationAlreadySent, InvitationAlreadyEnded: It was used before.
            InvalidArgument: The callee, the content or the channel id is not possible.
            LimitExceeded: 64 invitations of this client are under way.
            ClientClosed: The client is closed.
        """
        self._do("send", lambda core, now: core.invitations.send(self._invitation, now))
        return self

    def cancel(self, content: str = "") -> None:
        """Cancel it; it waits for nothing. The callee is told.

        Args:
            content: What the callee is told, at most 8 KiB; the content of the invitation where it is empty.

        Raises:
            InvitationNotStarted: It was not sent.
            InvitationAlreadyAccepted: The acceptance came first: the call stands.
            InvitationAlreadyEnded: It is over.
            InvalidArgument: The content is not possible.
        """
        self._do("cancel", lambda core, now: core.invitations.cancel(self._invitation, content, now))

    def wait(self, timeout: Timeout = None) -> LocalInvitationState:
        """Wait until it is decided.

        Args:
            timeout: Seconds, 90 by default: longer than any invitation takes.

        Returns:
            ACCEPTED_BY_REMOTE, REFUSED_BY_REMOTE or CANCELED.

        Raises:
            InvitationFailed: It has failed; a `LocalInvitationError` says why.
            InvitationNotStarted: It was not sent.
            RequestTimeout: It is not decided yet; it goes on.
        """
        intent, seconds = self._waiting(timeout)
        state: LocalInvitationState = self._client.call("wait", intent, seconds)
        return state

    def wait_future(self, timeout: Timeout = None) -> "ClientFuture[LocalInvitationState]":
        """Like `wait`, without waiting."""
        return self._client.future(self._waiting(timeout)[0])


class RemoteInvitation(_Side):
    """An invitation to this client; it comes in a RemoteInvitationReceived, and is answered once.

    Its events, for `on` and `events`: RemoteInvitationAccepted, RemoteInvitationRefused, RemoteInvitationCanceled,
    RemoteInvitationFailure; the client has those of all. After the last one a queue ends.

    Attributes:
        part: Names it among the events of its client.
    """

    __slots__ = ()

    _EVENTS = REMOTE_EVENTS

    _invitation: IncomingInvitation

    def __repr__(self) -> str:
        return f"<RemoteInvitation from {self.caller!r}, {self.state.name}>"

    @property
    def caller(self) -> str:
        """Who invites."""
        return self._invitation.caller

    @property
    def content(self) -> str:
        """What the invitation says."""
        return self._invitation.content

    @property
    def state(self) -> RemoteInvitationState:
        """Where it stands; updated before the event that tells of it."""
        return self._invitation.state

    @property
    def error(self) -> RemoteInvitationError | None:
        """Why it has failed; None unless it is in FAILURE."""
        return self._invitation.error

    @property
    def _gone(self) -> bool:
        return self._invitation.state in REMOTE_ENDS

    def accept(self, response: str = "") -> None:
        """Accept it; it waits for nothing. The call stands when the caller has confirmed: see `wait` and the events.

        Args:
            response: What the caller is told, at most 8 KiB.

        Raises:
            InvitationAlreadyAccepted: It was accepted before.
            InvitationAlreadyEnded: It is over.
            InvalidArgument: The response is not possible.
        """
        self._do("accept", lambda core, now: core.invitations.accept(self._invitation, response, now))

    def refuse(self, response: str = "") -> None:
        """Refuse it; it waits for nothing. The caller is told.

        Args:
            response: What the caller is told, at most 8 KiB, for example that one is busy.

        Raises:
            InvitationAlreadyAccepted: It was accepted before.
            InvitationAlreadyEnded: It is over.
            InvalidArgument: The response is not possible.
        """
        self._do("refuse", lambda core, now: core.invitations.refuse(self._invitation, response, now))

    def wait(self, timeout: Timeout = None) -> RemoteInvitationState:
        """Wait until it is decided.

        Args:
            timeout: Seconds, 90 by default: longer than any invitation takes.

        Returns:
            ACCEPTED, REFUSED or CANCELED.

        Raises:
            InvitationFailed: It has failed; a `RemoteInvitationError` says why.
            RequestTimeout: It is not decided yet; it goes on.
        """
        intent, seconds = self._waiting(timeout)
        state: RemoteInvitationState = self._client.call("wait", intent, seconds)
        return state

    def wait_future(self, timeout: Timeout = None) -> "ClientFuture[RemoteInvitationState]":
        """Like `wait`, without waiting."""
        return self._client.future(self._waiting(timeout)[0])


def told(driver: Driver[ClientCore], event: Any) -> Any:
    """The event that an application hears, for one of the core: about invitations it has the application's object."""
    if isinstance(event, LocalInvitationChanged):
        return _told_of_local(driver, event.invitation, event.state)
    if isinstance(event, RemoteInvitationChanged):
        return _told_of_remote(driver, event.invitation, event.state)
    return event


def _told_of_local(
    driver: Driver[ClientCore], changed: OutgoingInvitation, state: LocalInvitationState
) -> object:
    found = changed.context
    invitation = found if isinstance(found, LocalInvitation) else LocalInvitation(driver, changed)
    if state is LocalInvitationState.RECEIVED_BY_REMOTE:
        return LocalInvitationReceivedByPeer(invitation)
    if state is LocalInvitationState.ACCEPTED_BY_REMOTE:
        return LocalInvitationAccepted(invitation, changed.response)
    if state is LocalInvitationState.REFUSED_BY_REMOTE:
        return LocalInvitationRefused(invitation, changed.response)
    if changed.error is not None:
        return LocalInvitationFailure(invitation, changed.error)
    return LocalInvitationCanceled(invitation)


def _told_of_remote(
    driver: Driver[ClientCore], changed: IncomingInvitation, state: RemoteInvitationState
) -> object:
    found = changed.context
    invitation = found if isinstance(found, RemoteInvitation) else RemoteInvitation(driver, changed)
    if state is RemoteInvitationState.INVITATION_RECEIVED:
        return RemoteInvitationReceived(invitation)
    if state is RemoteInvitationState.ACCEPTED:
        return RemoteInvitationAccepted(invitation)
    if state is RemoteInvitationState.REFUSED:
        return RemoteInvitationRefused(invitation)
    if changed.error is not None:
        return RemoteInvitationFailure(invitation, changed.error)
    return RemoteInvitationCanceled(invitation, changed.cancel_content)
