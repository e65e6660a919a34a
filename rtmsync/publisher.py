"""Acting without a session: for web applications and scripts that have something to say, or to ask."""

import enum
import os
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlencode

from rtmcore.client.config import Endpoint
from rtmcore.codes import (
    ChannelMemberCountError,
    QueryPeersOnlineError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.errors import ClientClosed, ConnectionFailed, InvalidArgument, RtmError
from rtmcore.limits import BAN_TIMEOUT, HISTORY_PAGE_SIZES, OPERATION_TIMEOUT, PUBLISH_TIMEOUT
from rtmcore.models import EventBatch, HistoryPage, MembershipEvent, UserEvent
from rtmcore.wire.exchange import HttpResponse
from rtmsync import http_answers
from rtmsync.config import Secret
from rtmsync.driver.clock import Deadline, Timeout, seconds_of
from rtmsync.driver.http import HttpLine, Line
from rtmsync.driver.lifecycle import LIFECYCLE
from rtmsync.driver.tls import TlsConfig
from rtmsync.http_answers import Found, late, understood
from rtmsync.http_questions import check_key, message_fields, new_key, question, quoted, written

if TYPE_CHECKING:
    from typing_extensions import Self

_USER_EVENTS: Final = "/user_events"
_CHANNEL_EVENTS: Final = "/channel_events"

_E = TypeVar("_E", UserEvent, MembershipEvent)


class PublishStatus(enum.Enum):
    """What became of a message that a `Publisher` sent to a user."""

    SENT = "message_sent"
    """He is online, and the server has it for him."""
    DELIVERED = "message_delivered"
    """His client has acknowledged it."""
    CACHED = "message_cached"
    """He is offline, and it is stored."""
    PEER_UNREACHABLE = "peer_offline"
    """He is offline, and it is not stored."""


class Publisher:
    """Acts with a server key, for any user of an app, without a session and without a thread.

    It sends messages, puts users out, counts members, and asks for the history and for who came and went.

    Each call is one HTTP request. The connection is kept and made anew where the server has closed it meanwhile; a
    repeated request is carried out once. Several threads may share a publisher: their calls take turns. A forked
    child makes a connection of its own. Proxies are not used, and the look-up of the server's name takes the time
    that the system takes for it.

    ```python
    with rtmsync.Publisher("wss://rtm.example.com", app_id=APP, server_key=KEY) as publisher:
        publisher.send_peer("alice", "your order is ready", sender="shop", offline=True)
    ```

    Args:
        url: Of the server, as clients have it: ``ws://…`` or ``wss://…``.
        app_id: The app id, 32 characters.
        server_key: The key that the server has for this app. Shown as ``***``.
        tls: How to recognise the server; by default with the system's certificates.

    Raises:
        InvalidArgument: A value is not possible.
    """

    def __init__(
        self, url: str, *, app_id: str, server_key: str, tls: TlsConfig | ssl.SSLContext | None = None
    ) -> None:
        self._endpoint = Endpoint.parse(url)
        if not isinstance(server_key, str) or not server_key.isascii() or not server_key.isprintable():
            raise InvalidArgument(
                "The server key is a text of visible ASCII characters.", operation="publisher"
            )
        self._key = Secret(server_key)
        self._base = f"/rtm/v1/apps/{quoted(app_id, 'publisher')}"
        self._tls = tls
        self._closed = False
        self._owns = {os.getpid(): _Own()}

    # --- Messages -----------------------------------------------------------------

    def send_peer(
        self,
        user: str,
        message: str | bytes,
        *,
        sender: str,
        offline: bool = False,
        ttl: float | None = None,
        history: bool = False,
        wait_for_ack: bool = False,
        idempotency_key: str | None = None,
        timeout: Timeout = None,
    ) -> PublishStatus:
        """Send a message to a user.

        Args:
            user: The receiver.
            message: Text, or bytes as they are; not empty, at most 32 KiB.
            sender: Who it comes from; he need not be logged in.
            offline: Store the message where the receiver is offline, for up to 7 days.
            ttl: Seconds after which a stored message is dropped instead, above 0 and up to 604,800.
            history: Keep a text in the history for 7 days.
            wait_for_ack: Wait until the receiver's client has acknowledged it, for up to 10 s.
            idempotency_key: At most 128 visible ASCII characters. Within 120 s, the same call with the same one sends
                nothing and has the first one's result; with other arguments it raises InvalidArgument. By default,
                each call has one of its own.
            timeout: Seconds in all, 11 by default.

        Returns:
            What became of it.

        Raises:
            RtmError: With a `SendPeerMessageError` as its code: InvalidArgument, RateLimited (above 500 in 1 s for the
                app), RequestTimeout (see its `outcome_unknown`), …
            NotAuthorized: The server key is wrong.
            ConnectionFailed: The server cannot be reached.
        """
        document = {"destination": user, "offline": offline, "history": history, "wait_for_ack": wait_for_ack}
        document.update(message_fields(message, SendPeerMessageError.INVALID_MESSAGE, "send_peer"))
        if ttl is not None:
            document["ttl"] = ttl
        budget = Deadline(seconds_of(timeout, PUBLISH_TIMEOUT))
        path = f"/users/{quoted(sender, 'send_peer')}/peer_messages"
        return self._call(
            "send_peer", SendPeerMessageError, "POST", path, document, idempotency_key, budget, _status
        )

    def publish(
        self,
        channel: str,
        message: str | bytes,
        *,
        sender: str,
        history: bool = False,
        idempotency_key: str | None = None,
        timeout: Timeout = None,
    ) -> int:
        """Send a message to a channel, whose member the sender need not be.

        Args:
            channel: The channel id.
            message: Text, or bytes as they are; not empty, at most 32 KiB.
            sender: Who it comes from.
            history: Keep a text in the history for 7 days.
            idempotency_key: See `send_peer`.
            timeout: Seconds in all, 11 by default.

        Returns:
            The message's id.

        Raises:
            RtmError: With a `SendChannelMessageError` as its code; RateLimited above 1,000 in 1 s for the app.
            NotAuthorized, ConnectionFailed: See `send_peer`.
        """
        document = {"channel": channel, "history": history}
        document.update(message_fields(message, SendChannelMessageError.INVALID_MESSAGE, "publish"))
        budget = Deadline(seconds_of(timeout, PUBLISH_TIMEOUT))
        path = f"/users/{quoted(sender, 'publish')}/channel_messages"
        return self._call(
            "publish",
            SendChannelMessageError,
            "POST",
            path,
            document,
            idempotency_key,
            budget,
            http_answers.message_id,
        )

    def member_counts(self, channels: Iterable[str], *, timeout: Timeout = None) -> dict[str, int]:
        """Ask how many members channels have.

        Args:
            channels: 1 to 32 channel ids.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With a `ChannelMemberCountError` as its code.
            NotAuthorized, ConnectionFailed: See `send_peer`.
        """
        names = [channels] if isinstance(channels, str) else list(channels)
        budget = Deadline(seconds_of(timeout, OPERATION_TIMEOUT))
        path = f"/counts?{urlencode([('channels', name) for name in names], errors='surrogatepass')}"
        return self._call(
            "member_counts",
            ChannelMemberCountError,
            "GET",
            path,
            None,
            None,
            budget,
            http_answers.member_counts,
        )

    # --- The history --------------------------------------------------------------

    def history(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        channel: str | None = None,
        start: float | None = None,
        end: float | None = None,
        offset: int = 0,
        limit: int = HISTORY_PAGE_SIZES[0],
        ascending: bool = False,
        timeout: Timeout = None,
    ) -> HistoryPage:
        """Ask for messages that their senders wanted to be kept, of any user and any channel.

        Args:
            source: Only messages of this user.
            destination: Only messages to this user.
            channel: Only messages to this channel. One of these three is needed, and of the last two only one.
            start: Only messages from this time on, in seconds since 1970; None for all that are kept.
            end: Only messages before this time, in seconds since 1970; None for all until now.
            offset: Messages to leave out at the beginning.
            limit: Messages at most, 20, 50 or 100. There may be fewer where they are large: for the next page, add
                as many as you got to `offset`.
            ascending: Oldest first; otherwise newest first.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With a `QueryPeersOnlineError` as its code, since the documents name none for the history:
                InvalidArgument, RateLimited (above 100 in 1 s, with those that the app's users ask), …
            NotAuthorized, ConnectionFailed: See `send_peer`.
        """
        query = question(source, destination, channel, start, end)
        query += [("offset", str(offset)), ("limit", str(limit)), ("order", "asc" if ascending else "desc")]
        budget = Deadline(seconds_of(timeout, OPERATION_TIMEOUT))
        path = f"/history?{urlencode(query, errors='surrogatepass')}"
        return self._call(
            "history", QueryPeersOnlineError, "GET", path, None, None, budget, http_answers.history_page
        )

    def history_count(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        channel: str | None = None,
        start: float | None = None,
        end: float | None = None,
        timeout: Timeout = None,
    ) -> int:
        """Ask how many messages are kept. For arguments and errors see `history`."""
        query = question(source, destination, channel, start, end)
        budget = Deadline(seconds_of(timeout, OPERATION_TIMEOUT))
        path = f"/history/count?{urlencode(query, errors='surrogatepass')}"
        return self._call(
            "history_count",
            QueryPeersOnlineError,
            "GET",
            path,
            None,
            None,
            budget,
            http_answers.history_count,
        )

    # --- Who comes and goes -------------------------------------------------------

    def user_events(
        self, *, idempotency_key: str | None = None, timeout: Timeout = None
    ) -> EventBatch[UserEvent]:
        """Take the oldest events out of the feed of users: who has come online, and who has gone offline.

        The server keeps the newest 2,000 while nobody takes them, and hands each out once, at most 1,000 in a call.
        Where a call did not get its answer, the next one of this publisher asks for the same events again, for up
        to 120 s.

        Args:
            idempotency_key: Within 120 s, another call with the same one has the first one's events. By default see
                above.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With a `QueryPeersOnlineError` as its code; RateLimited above 10 in 1 s for the app.
            NotAuthorized, ConnectionFailed: See `send_peer`.
        """
        return self._take("user_events", _USER_EVENTS, idempotency_key, timeout, http_answers.user_event)

    def channel_events(
        self, *, idempotency_key: str | None = None, timeout: Timeout = None
    ) -> EventBatch[MembershipEvent]:
        """Take the oldest events out of the feed of channels: who has joined which one, and who has left it.

        Channels of more than 512 members, whose clients are told nothing of it, are in it as well. For the rest see
        `user_events`.
        """
        return self._take(
            "channel_events", _CHANNEL_EVENTS, idempotency_key, timeout, http_answers.membership_event
        )

    # --- Putting out --------------------------------------------------------------

    def ban(
        self, user: str, reason: str = "", *, idempotency_key: str | None = None, timeout: Timeout = None
    ) -> None:
        """Put a user out, and keep him out until `unban`; see `rtmsync.server.server.Server.ban`.

        Args:
            user: The user id.
            reason: Why, for the user, at most 500 characters.
            idempotency_key: See `send_peer`.
            timeout: Seconds in all, 10 by default.

        Raises:
            InvalidArgument, NotAuthorized, ConnectionFailed, ServerFailure, RequestTimeout: It was not done, or not
                in time.
        """
        budget = Deadline(seconds_of(timeout, BAN_TIMEOUT))
        path = f"/bans/{quoted(user, 'ban')}"
        self._call("ban", None, "POST", path, {"reason": reason}, idempotency_key, budget, http_answers.done)

    def unban(self, user: str, *, idempotency_key: str | None = None, timeout: Timeout = None) -> None:
        """Let a user log in again, whether he was banned or not. See `ban`."""
        budget = Deadline(seconds_of(timeout, BAN_TIMEOUT))
        path = f"/bans/{quoted(user, 'unban')}"
        self._call("unban", None, "DELETE", path, None, idempotency_key, budget, http_answers.done)

    def kick(
        self, user: str, reason: str = "", *, idempotency_key: str | None = None, timeout: Timeout = None
    ) -> bool:
        """Put a user out, who may log in again at once.

        His client becomes ABORTED / BANNED_BY_SERVER, at once or when it comes back. It does not log in by itself.

        Args:
            user: The user id.
            reason: Why, for the user, at most 500 characters.
            idempotency_key: See `send_peer`: a repeat spares who has logged in meanwhile.
            timeout: Seconds in all, 10 by default.

        Returns:
            Whether there was anybody to be put out: False where the user is offline.

        Raises:
            InvalidArgument, NotAuthorized, ConnectionFailed, ServerFailure, RequestTimeout: See `ban`.
        """
        budget = Deadline(seconds_of(timeout, BAN_TIMEOUT))
        path = f"/users/{quoted(user, 'kick')}/kick"
        return self._call(
            "kick", None, "POST", path, {"reason": reason}, idempotency_key, budget, http_answers.was_there
        )

    def kick_member(
        self,
        channel: str,
        user: str,
        reason: str = "",
        *,
        idempotency_key: str | None = None,
        timeout: Timeout = None,
    ) -> bool:
        """Take a member out of a channel; he may join again.

        His client gets `ChannelLost` with the reason KICKED, at once or when it comes back. The others get
        `MemberLeft`.

        Args:
            channel: The channel id.
            user: The user id.
            reason: Why, for the user, at most 500 characters.
            idempotency_key: See `send_peer`: a repeat spares who has joined again meanwhile.
            timeout: Seconds in all, 10 by default.

        Returns:
            Whether he was a member.

        Raises:
            InvalidArgument, NotAuthorized, ConnectionFailed, ServerFailure, RequestTimeout: See `ban`.
        """
        budget = Deadline(seconds_of(timeout, BAN_TIMEOUT))
        path = f"/channels/{quoted(channel, 'kick_member')}/members/{quoted(user, 'kick_member')}/kick"
        return self._call(
            "kick_member",
            None,
            "POST",
            path,
            {"reason": reason},
            idempotency_key,
            budget,
            http_answers.was_there,
        )

    # --- The publisher itself -----------------------------------------------------

    def close(self) -> None:
        """End the connection. Idempotent; every later call raises `ClientClosed`."""
        own = self._own()
        with own.lock:
            self._closed = True
            own.drop()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Publisher to {self._endpoint.authority}{', closed' if self._closed else ''}>"

    # --- Inside -------------------------------------------------------------------

    def _take(
        self, operation: str, path: str, key: str | None, timeout: Timeout, event: Callable[[Any], _E]
    ) -> EventBatch[_E]:
        def read(answer: Any) -> EventBatch[_E]:
            events = tuple(event(one) for one in answer["events"])
            return EventBatch(events, int(answer["lost"]), int(answer["left"]), str(answer["epoch"]))

        budget = Deadline(seconds_of(timeout, OPERATION_TIMEOUT))
        if key is not None:
            return self._call(operation, QueryPeersOnlineError, "GET", path, None, key, budget, read)
        untaken = self._own().untaken[path]
        try:
            key = untaken.popleft()
        except IndexError:
            key = new_key()
        try:
            return self._call(operation, QueryPeersOnlineError, "GET", path, None, key, budget, read)
        except BaseException:
            untaken.append(key)
            raise

    def _call(
        self,
        operation: str,
        family: type[enum.IntEnum] | None,
        method: str,
        path: str,
        document: dict[str, Any] | None,
        key: str | None,
        budget: Deadline,
        read: Callable[[Any], Found],
    ) -> Found:
        headers = [("Authorization", f"Bearer {self._key.value}"), ("Content-Type", "application/json")]
        if key is not None:
            check_key(key, operation)
        headers.append(("Idempotency-Key", new_key() if key is None else key))
        body = None if document is None else written(document, operation, family)
        try:
            with self._turn(budget):
                answer = self._exchange(method, self._base + path, headers, body, budget)
        except TimeoutError:
            raise late(operation, family) from None
        except RtmError as error:
            error.operation = operation
            if isinstance(error, ClientClosed) and family is not None:
                error.code = family.__members__.get("NOT_INITIALIZED")
            raise
        except OSError as error:
            raise ConnectionFailed(
                f"The connection to {self._endpoint.authority} broke: {error.strerror or error}.",
                operation=operation,
            ) from error
        return understood(answer, operation, family, read)

    @contextmanager
    def _turn(self, budget: Deadline) -> Iterator[None]:
        """Wait for the calls of other threads."""
        own = self._own()
        if not own.lock.acquire(timeout=budget.remaining()):
            raise TimeoutError
        try:
            yield
        finally:
            own.lock.release()

    def _exchange(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes | None, budget: Deadline
    ) -> HttpResponse:
        if self._closed:
            raise ClientClosed("The publisher is closed.", hint="Make another one.")
        own = self._own()
        reused = own.line is not None
        try:
            line = own.line
            if line is None:
                line = own.open(self._endpoint, self._tls, budget)
            try:
                answer = line.ask(method, target, headers, body, budget)
            except TimeoutError:
                raise
            except (OSError, ConnectionFailed):
                if not reused or line.http.started:
                    raise
                # The server had closed it while it was idle; the key keeps a repeat from being sent twice.
                own.drop()
                line = own.open(self._endpoint, self._tls, budget)
                answer = line.ask(method, target, headers, body, budget)
        except BaseException:
            own.drop()
            raise
        if not answer.reusable:
            own.drop()
        return answer

    def _own(self) -> "_Own":
        """What this process has; after a fork the parent's connection is left to the parent.

        Several threads may be the first of a process: one thing is kept, and each inherited one is left once.
        """
        pid = os.getpid()
        own = self._owns.get(pid)
        if own is None:
            own = self._owns.setdefault(pid, _Own())
            for owner in [owner for owner in list(self._owns) if owner != pid]:
                left = self._owns.pop(owner, None)
                if left is not None:
                    left.leave_behind()
        return own


class _Own:
    """What of a publisher belongs to one process.

    Attributes:
        pid: The process.
        lock: Held during a call.
        line: The connection, or None.
        untaken: Keys of calls for events that did not get their answer: the next calls ask for the same ones.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.line: Line | None = None
        self.untaken: dict[str, deque[str]] = {_USER_EVENTS: deque(), _CHANNEL_EVENTS: deque()}

    def open(self, endpoint: Endpoint, tls: TlsConfig | ssl.SSLContext | None, budget: Deadline) -> Line:
        """A new connection, as `HttpLine` makes it; it is ended with the interpreter at the latest."""
        LIFECYCLE.enter(self)
        self.line = line = HttpLine(endpoint, tls, budget)
        return line

    def drop(self) -> None:
        """End the connection, if there is one."""
        line, self.line = self.line, None
        if line is not None:
            line.close()

    def leave_behind(self) -> None:
        """In a forked child: give the inherited descriptor back without a word to the server."""
        line, self.line = self.line, None
        if line is not None:
            line.abandon()

    def begin_exit(self) -> None:
        """The interpreter ends: end the connection, unless a thread that nobody waits for is using it."""
        if self.lock.acquire(blocking=False):
            try:
                self.drop()
            finally:
                self.lock.release()

    def await_end(self, until: float) -> bool:
        """There is nothing to wait for."""
        return True


def _status(answer: Any) -> PublishStatus:
    return PublishStatus(answer["code"])
