"""A channel, as a client uses it."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

from rtmcore.client.core import ClientCore
from rtmcore.client.events import ChannelGap
from rtmcore.client.requests import Ticket
from rtmcore.codes import JoinChannelError, SendChannelMessageError
from rtmcore.errors import Aborted, AlreadyJoined, ClientClosed, NotInChannel, NotLoggedIn
from rtmcore.files import FileMessage
from rtmcore.models import ChannelAttribute, ChannelMessage, JoinResult, PublishResult
from rtmsync.bodies import kind_and_body
from rtmsync.driver.clock import FOREVER, Timeout, checked_seconds
from rtmsync.driver.driver import Driver, Intent
from rtmsync.driver.futures import ClientFuture
from rtmsync.driver.queues import Lagged
from rtmsync.driver.router import CHANNEL_EVENTS
from rtmsync.subscriptions import EventSource, MessageIterator

if TYPE_CHECKING:
    from rtmsync.client import Client


class Channel(EventSource):
    """A channel of one client; made by `Client.channel`, which asks nobody. Objects of the same id are alike.

    As a context manager it joins, and leaves at the end:

    ```python
    with client.channel("ops") as ops:
        ops.send("hello")
    ```

    Its events, for `on` and `events`: ChannelMessage, ChannelGap, ChannelLost, MemberJoined, MemberLeft,
    MemberCountChanged, ChannelAttributesUpdated; of this channel only.

    Attributes:
        id: 1 to 64 bytes of the documented characters.
    """

    __slots__ = ("_client", "_joins", "id")

    _EVENTS = CHANNEL_EVENTS

    def __init__(self, client: "Client", id: str) -> None:
        self._client = client
        self.id = id
        # Whether it was by this object that the channel was joined, if it is.
        self._joins = False

    def __repr__(self) -> str:
        return f"<Channel {self.id!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Channel):
            return NotImplemented
        return self._client is other._client and self.id == other.id

    def __hash__(self) -> int:
        return hash((id(self._client), self.id))

    def __reduce__(self) -> Any:
        raise TypeError("A Channel belongs to a client with sockets and threads; pickle its id.")

    @property
    def joined(self) -> bool:
        """Whether the client is in this channel, also while it is reconnecting."""
        return self.id in self._driver.core.channels

    # --- Joining and leaving ------------------------------------------------------------------------------------

    def join(self, timeout: Timeout = None) -> JoinResult:
        """Join the channel; its messages come from now on.

        Args:
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With a `JoinChannelError` as its code: AlreadyJoined (202 where another object of the same
                channel has joined it), StateError where `leave` was called meanwhile, LimitExceeded above 20
                channels, RateLimited, RequestTimeout, NotLoggedIn, …
        """
        seconds = self._client._seconds("join", timeout)
        result: JoinResult = self._driver.call("join", self._join(seconds), seconds)
        return result

    def join_future(self, timeout: Timeout = None) -> "ClientFuture[JoinResult]":
        """Like `join`, without waiting."""
        return self._driver.future(self._join(self._client._seconds("join", timeout)))

    def leave(self, timeout: Timeout = None) -> None:
        """Leave the channel. A `join` of it that is under way ends with ABORTED_BY_LEAVE.

        Args:
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With a `LeaveChannelError` as its code: NotInChannel (4 where the server has put this client
                out of it), RequestTimeout, NotLoggedIn, …
        """
        seconds = self._client._seconds("leave", timeout)
        self._driver.call("leave", self._leave(seconds), seconds)

    def leave_future(self, timeout: Timeout = None) -> "ClientFuture[None]":
        """Like `leave`, without waiting."""
        return self._driver.future(self._leave(self._client._seconds("leave", timeout)))

    def __enter__(self) -> "Channel":
        self.join()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.leave()
        except (Aborted, ClientClosed, NotInChannel, NotLoggedIn):
            pass  # then the channel was left already
        except Exception:
            if error is None:
                raise

    # --- Talking ------------------------------------------------------------------------------------------------

    @overload
    def send(
        self, message: str | FileMessage, timeout: Timeout = None, *, history: bool = False
    ) -> PublishResult: ...
    @overload
    def send(
        self,
        message: bytes,
        timeout: Timeout = None,
        *,
        description: str | None = None,
        history: bool = False,
    ) -> PublishResult: ...
    def send(
        self,
        message: str | bytes | FileMessage,
        timeout: Timeout = None,
        *,
        description: str | None = None,
        history: bool = False,
    ) -> PublishResult:
        """Send a message to all other members.

        Args:
            message: Text, bytes as they are, or the message that an upload made; at most 32 KiB, with the description.
            timeout: Seconds in all, 10 by default.
            description: What there is to say about bytes.
            history: Keep a text in the history for 7 days; bytes are not kept.

        Returns:
            The message's place in the channel's log: the server has accepted it.

        Raises:
            RtmError: With a `SendChannelMessageError` as its code: NotInChannel, InvalidArgument, RateLimited,
                RequestTimeout (see its `outcome_unknown`), NotLoggedIn, …
        """
        driver, seconds = self._driver, self._client._seconds("send", timeout)
        intent = self._send(driver, message, description, history, seconds)
        result: PublishResult = driver.call("send", intent, seconds)
        return result

    @overload
    def send_future(
        self, message: str | FileMessage, timeout: Timeout = None, *, history: bool = False
    ) -> "ClientFuture[PublishResult]": ...
    @overload
    def send_future(
        self,
        message: bytes,
        timeout: Timeout = None,
        *,
        description: str | None = None,
        history: bool = False,
    ) -> "ClientFuture[PublishResult]": ...
    def send_future(
        self,
        message: str | bytes | FileMessage,
        timeout: Timeout = None,
        *,
        description: str | None = None,
        history: bool = False,
    ) -> "ClientFuture[PublishResult]":
        """Like `send`, without waiting: many messages can be under way."""
        driver, seconds = self._driver, self._client._seconds("send", timeout)
        return driver.future(self._send(driver, message, description, history, seconds))

    def members(self, timeout: Timeout = None) -> tuple[str, ...]:
        """The user ids of the members; of more than 512 a random choice.

        Args:
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With a `GetMembersError` as its code.
        """
        seconds = self._client._seconds("members", timeout)
        users: tuple[str, ...] = self._driver.call("members", self._members(seconds), seconds)
        return users

    def members_future(self, timeout: Timeout = None) -> "ClientFuture[tuple[str, ...]]":
        """Like `members`, without waiting."""
        return self._driver.future(self._members(self._client._seconds("members", timeout)))

    # --- Attributes ---------------------------------------------------------------------------------------------

    def set_attributes(
        self, attributes: Mapping[str, str], *, notify: bool = False, timeout: Timeout = None
    ) -> None:
        """Replace the attributes of the channel; see `Client.set_channel_attributes`. It need not be joined."""
        self._client.set_channel_attributes(self.id, attributes, notify=notify, timeout=timeout)

    def set_attributes_future(
        self, attributes: Mapping[str, str], *, notify: bool = False, timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `set_attributes`, without waiting."""
        return self._client.set_channel_attributes_future(self.id, attributes, notify=notify, timeout=timeout)

    def update_attributes(
        self, attributes: Mapping[str, str], *, notify: bool = False, timeout: Timeout = None
    ) -> None:
        """Add or change some attributes; see `Client.update_channel_attributes`. It need not be joined."""
        self._client.update_channel_attributes(self.id, attributes, notify=notify, timeout=timeout)

    def update_attributes_future(
        self, attributes: Mapping[str, str], *, notify: bool = False, timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `update_attributes`, without waiting."""
        return self._client.update_channel_attributes_future(
            self.id, attributes, notify=notify, timeout=timeout
        )

    def delete_attributes(
        self, keys: str | Iterable[str], *, notify: bool = False, timeout: Timeout = None
    ) -> None:
        """Delete some attributes; see `Client.delete_channel_attributes`. It need not be joined."""
        self._client.delete_channel_attributes(self.id, keys, notify=notify, timeout=timeout)

    def delete_attributes_future(
        self, keys: str | Iterable[str], *, notify: bool = False, timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `delete_attributes`, without waiting."""
        return self._client.delete_channel_attributes_future(self.id, keys, notify=notify, timeout=timeout)

    def clear_attributes(self, *, notify: bool = False, timeout: Timeout = None) -> None:
        """Delete all attributes; see `Client.clear_channel_attributes`. It need not be joined."""
        self._client.clear_channel_attributes(self.id, notify=notify, timeout=timeout)

    def clear_attributes_future(
        self, *, notify: bool = False, timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `clear_attributes`, without waiting."""
        return self._client.clear_channel_attributes_future(self.id, notify=notify, timeout=timeout)

    def get_attributes(
        self, keys: str | Iterable[str] | None = None, timeout: Timeout = None
    ) -> dict[str, ChannelAttribute]:
        """The attributes, with who wrote each and when; see `Client.get_channel_attributes`."""
        return self._client.get_channel_attributes(self.id, keys, timeout)

    def get_attributes_future(
        self, keys: str | Iterable[str] | None = None, timeout: Timeout = None
    ) -> "ClientFuture[dict[str, ChannelAttribute]]":
        """Like `get_attributes`, without waiting."""
        return self._client.get_channel_attributes_future(self.id, keys, timeout)

    # --- Listening ----------------------------------------------------------------------------------------------

    @overload
    def messages(
        self, idle_timeout: float | None = None, *, gaps: Literal[False] = False
    ) -> MessageIterator[ChannelMessage]: ...
    @overload
    def messages(
        self, idle_timeout: float | None = None, *, gaps: Literal[True]
    ) -> MessageIterator[ChannelMessage | ChannelGap | Lagged]: ...
    def messages(self, idle_timeout: float | None = None, *, gaps: bool = False) -> MessageIterator[Any]:
        """Iterate over the messages of the other members, from now on.

        The iterator ends after so many seconds of silence, when the channel is left, at logout and at close.

        Args:
            idle_timeout: Seconds from 0; None to wait for as long as it takes.
            gaps: Where messages are missing, also yield what says so: `ChannelGap` after an outage that was too
                long, `Lagged` where this loop was too slow. Otherwise the iterator's `lost` counts them.

        Raises:
            NotInChannel: While iterating: the channel could not be joined again after an outage.
            Aborted: While iterating: the session was ended for good, for instance by another login.
        """
        idle = FOREVER if idle_timeout is None else checked_seconds(idle_timeout, "idle_timeout")
        return MessageIterator(self._driver, self.id, idle, gaps)

    # --- Inside -------------------------------------------------------------------------------------------------

    @property
    def _driver(self) -> Driver[ClientCore]:
        return self._client._driver

    @property
    def _part(self) -> str:
        return self.id

    def _join(self, seconds: float) -> Intent:
        core = self._driver.core

        def intent(now: float) -> Ticket:
            try:
                ticket = core.join(self.id, timeout=seconds, now=now)
            except AlreadyJoined as error:
                if not self._joins:
                    error.code = JoinChannelError.ALREADY_JOINED_CHANNEL_OF_SAME_ID
                    error.message = "Another object of this channel has joined it, or is joining it, already."
                raise
            self._joins = True
            return ticket

        return intent

    def _leave(self, seconds: float) -> Intent:
        core = self._driver.core
        return lambda now: core.leave(self.id, timeout=seconds, now=now)

    def _members(self, seconds: float) -> Intent:
        core = self._driver.core
        return lambda now: core.members(self.id, timeout=seconds, now=now)

    def _send(
        self,
        driver: Driver[ClientCore],
        message: str | bytes | FileMessage,
        description: str | None,
        history: bool,
        seconds: float,
    ) -> Intent:
        core = driver.core

        def intent(now: float) -> Ticket:
            kind, body = kind_and_body(message, SendChannelMessageError.INVALID_MESSAGE, "send")
            return core.publish(
                self.id, kind, body, description=description, history=history, timeout=seconds, now=now
            )

        return intent
