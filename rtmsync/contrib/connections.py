"""What one process of a web application has open to an RTM server: nothing before its first use.

A worker publishes over HTTP where there is a server key, and otherwise over a session of its own. A forked child
begins with nothing, and leaves what its parent has open alone.
"""

import json
import logging
import os
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from rtmcore.codes import ConnectionState
from rtmcore.errors import AlreadyJoined, ClientClosed, InvalidArgument, LimitExceeded
from rtmcore.limits import TOKEN_SECONDS_DEFAULT
from rtmsync.client import Client
from rtmsync.config import Secret, TokenProvider
from rtmsync.contrib.settings import MEMORY, Settings
from rtmsync.driver.clock import Timeout
from rtmsync.driver.rivals import Remedy
from rtmsync.driver.tls import TlsConfig
from rtmsync.publisher import Publisher, PublishStatus

if TYPE_CHECKING:
    from rtmsync.testing.memory import MemorySystem, Sent

logger: Final = logging.getLogger("rtmsync.contrib")

Around: TypeAlias = Callable[[], AbstractContextManager[object]]
"""Makes what application code runs in: an application context, or fresh database connections."""

Message: TypeAlias = str | bytes | Mapping[str, Any] | list[Any]
"""What can be sent: a text, bytes, or what becomes a text of JSON."""


def as_body(message: object, dumps: Callable[[Any], str] = json.dumps) -> str | bytes:
    """A message as it is sent: texts and bytes as they are, anything else as JSON."""
    if isinstance(message, str | bytes):
        return message
    if isinstance(message, bytearray | memoryview):
        return bytes(message)
    return dumps(message)


@attrs.define(eq=False)
class _Process:
    """What belongs to one process."""

    # In memory, handlers run in the thread that waits for a login, and may use these connections.
    lock: AbstractContextManager[bool] = attrs.field(factory=threading.RLock)
    publisher: Publisher | None = None
    client: Client | None = None
    listening: bool = False
    system: "MemorySystem | None" = None


class Connections:
    """The connections of one process to one server, made when they are needed. All threads share them.

    Args:
        settings: Where to, and as whom.
        around: What the application's code runs in where this library calls it by itself: what makes the tokens for
            sessions.
        dumps: Makes JSON of a message that is neither text nor bytes.
        log: Says it where another process has put this one out.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        around: Around = nullcontext,
        dumps: Callable[[Any], str] = json.dumps,
        log: logging.Logger = logger,
    ) -> None:
        self.settings = settings
        self._log = log
        self._around = around
        self._dumps = dumps
        self._processes: dict[int, _Process] = {}

    def __repr__(self) -> str:
        return f"<Connections to {self.settings.url}>"

    # --- What there is --------------------------------------------------------------------------------------------

    @property
    def publisher(self) -> Publisher:
        """What publishes over HTTP, without a session and without a thread.

        Raises:
            InvalidArgument: There is no SERVER_KEY.
        """
        mine = self._mine()
        with mine.lock:
            if mine.publisher is None:
                mine.publisher = self._make_publisher(mine)
            return mine.publisher

    @property
    def client(self) -> Client:
        """The session of this process, logged in. In the listener process it is the listener's.

        Raises:
            RtmError: The login has failed, as in `Client.login`. The next use tries again.
        """
        mine = self._mine()
        with mine.lock:
            if mine.client is None:
                mine.client = self._make_client(mine, self.settings.own_user_id())
            if not mine.listening and mine.client.state is ConnectionState.DISCONNECTED:
                try:
                    mine.client.login()
                except ClientClosed:
                    mine.client = self._make_client(mine, self.settings.own_user_id())
                    mine.client.login()
            return mine.client

    def listening_client(self) -> Client:
        """The session of the one listener process, not logged in; from now on it is this process's `client`.

        Raises:
            InvalidArgument: There is no LISTENER.
        """
        if self.settings.listener is None:
            raise InvalidArgument(
                "LISTENER is not set: as whom does the listener log in?",
                operation="listen",
                hint="Set one fixed user id, and run one listener with it.",
            )
        mine = self._mine()
        with mine.lock:
            if mine.client is not None:
                mine.client.close()
            mine.client, mine.listening = self._make_client(mine, self.settings.listener), True
            return mine.client

    @property
    def outbox(self) -> "list[Sent]":
        """What was published and sent so far, oldest first; of the memory transport only. It may be cleared."""
        return self.system.outbox

    @property
    def system(self) -> "MemorySystem":
        """What stands for the server with the memory transport.

        Raises:
            InvalidArgument: The transport is the network.
        """
        mine = self._mine()
        with mine.lock:
            return self._memory(mine)

    # --- What can be done -----------------------------------------------------------------------------------------

    def publish(
        self,
        channel: str,
        message: object,
        *,
        sender: str | None = None,
        history: bool = False,
        idempotency_key: str | None = None,
        timeout: Timeout = None,
    ) -> int:
        """Send a message to a channel.

        Args:
            channel: The channel id.
            message: A text, bytes, or what becomes a text of JSON; at most 32 KiB.
            sender: Who it comes from; by default SENDER, or in the listener process the listener. To give one needs a
                server key, as `idempotency_key` does.
            history: Keep a text in the history for 7 days.
            idempotency_key: See `Publisher.publish`.
            timeout: Seconds in all; by default those of OPTIONS, or 11.

        Returns:
            The message's id.

        Raises:
            RtmError: As `Publisher.publish`, or without a server key as `Channel.join` and `Channel.send`.
        """
        body, timeout = as_body(message, self._dumps), self._timeout("send", timeout)
        if self._over_http:
            return self.publisher.publish(
                channel,
                body,
                sender=sender or self._sender(),
                history=history,
                idempotency_key=idempotency_key,
                timeout=timeout,
            )
        client = self.client
        _check_session(client, sender, idempotency_key)
        joined = client.channel(channel)
        if not joined.joined:
            try:
                joined.join()
            except AlreadyJoined:
                pass  # another thread was quicker
            except LimitExceeded as error:
                error.hint = "Set a server key: publishing over HTTP joins no channel."
                raise
        return joined.send(body, timeout, history=history).message_id

    def send_peer(
        self,
        user: str,
        message: object,
        *,
        sender: str | None = None,
        offline: bool = False,
        ttl: float | None = None,
        history: bool = False,
        idempotency_key: str | None = None,
        timeout: Timeout = None,
    ) -> PublishStatus:
        """Send a message to a user. For what is not said here see `publish`.

        Args:
            user: The receiver.
            message: A text, bytes, or what becomes a text of JSON; at most 32 KiB.
            sender: Who it comes from.
            offline: Store the message where the receiver is offline, for up to 7 days.
            ttl: Seconds after which a stored message is dropped instead.
            history: Keep a text in the history for 7 days.
            idempotency_key: See `Publisher.send_peer`.
            timeout: Seconds in all.

        Returns:
            What became of it.

        Raises:
            RtmError: As `Publisher.send_peer`, or without a server key as `Client.send_peer`.
        """
        body, timeout = as_body(message, self._dumps), self._timeout("send_peer", timeout)
        if self._over_http:
            return self.publisher.send_peer(
                user,
                body,
                sender=sender or self._sender(),
                offline=offline,
                ttl=ttl,
                history=history,
                idempotency_key=idempotency_key,
                timeout=timeout,
            )
        client = self.client
        _check_session(client, sender, idempotency_key)
        result = client.send_peer(user, body, offline=offline, ttl=ttl, history=history, timeout=timeout)
        return PublishStatus[result.status.name]

    def token_for(
        self,
        user: str,
        *,
        seconds: float = TOKEN_SECONDS_DEFAULT,
        scopes: Mapping[str, object] | None = None,
    ) -> str:
        """Make a token with which a user's browser or program logs in; see `Settings.make_token`."""
        return self.settings.make_token(user, seconds=seconds, scopes=scopes)

    def close(self) -> None:
        """Close what this process has open. The next use opens it anew."""
        mine = self._processes.pop(os.getpid(), None)
        if mine is not None:
            _close(mine)

    # --- Inside ---------------------------------------------------------------------------------------------------

    @property
    def _over_http(self) -> bool:
        return self.settings.server_key is not None or self.settings.transport == MEMORY

    def _mine(self) -> _Process:
        """What belongs to this process. No lock is taken: a child may have inherited one that is held for ever."""
        pid = os.getpid()
        mine = self._processes.get(pid)
        if mine is not None:
            return mine
        mine = self._processes.setdefault(pid, _Process())
        for other in [each for each in list(self._processes) if each != pid]:
            inherited = self._processes.pop(other, None)
            if inherited is not None:
                # In a child, this gives back descriptors and says nothing to the server.
                _close(inherited)
        return mine

    def _sender(self) -> str:
        """Who a message comes from by default. What a handler publishes does not come back to the handlers."""
        listener = self.settings.listener
        return listener if listener is not None and self._mine().listening else self.settings.sender

    def _timeout(self, operation: str, timeout: Timeout) -> Timeout:
        if timeout is not None:
            return timeout
        seconds: float | None = self.settings.options.get("timeouts", {}).get(operation)
        return seconds

    def _make_publisher(self, mine: _Process) -> Publisher:
        settings = self.settings
        if settings.transport == MEMORY:
            return self._memory(mine).publisher()
        if settings.server_key is None:
            raise InvalidArgument(
                "SERVER_KEY is not set, so there is no publisher.",
                operation="publisher",
                hint="Give the server a key of the app and set it here, or use the client.",
            )
        tls = settings.options.get("tls")
        return Publisher(
            settings.url,
            app_id=settings.app_id,
            server_key=settings.server_key.value,
            tls=tls if isinstance(tls, ssl.SSLContext | TlsConfig) else None,
        )

    def _make_client(self, mine: _Process, user_id: str) -> Client:
        settings = self.settings
        options = {"remedy": self._remedy(user_id), **settings.options}
        if settings.transport == MEMORY:
            options.pop("tls", None)
            return self._memory(mine).client(user_id, **options)
        return Client(settings.url, app_id=settings.app_id, user_id=user_id, token=self._token(), **options)

    def _remedy(self, user_id: str) -> Remedy:
        """What is wrong with the deployment where a process is put out by its sibling."""
        if user_id == self.settings.listener:
            advice = "run one listener at a time"
        elif self.settings.shared_user_id:
            advice = (
                "all workers of this application have this user id, so set SERVER_KEY to publish over HTTP, or a "
                "USER_ID with {pid}"
            )
        else:
            advice = (
                "let nobody else log in with this user id; a USER_ID with {rand} is one that nobody else has"
            )
        return Remedy(advice, self._log)

    def _token(self) -> str | TokenProvider | None:
        token = self.settings.token
        if isinstance(token, Secret):
            return token.value
        if not self.settings.makes_tokens:
            return None
        self.settings.token_function()  # what cannot be imported is told now, not after the login's time

        def provide(user: str, reason: str) -> str:
            # On a thread of the library's own, where nothing has been set up for the application's code.
            with self._around():
                return self.token_for(user)

        return provide

    def _memory(self, mine: _Process) -> "MemorySystem":
        if self.settings.transport != MEMORY:
            raise InvalidArgument(f"There is an outbox with TRANSPORT={MEMORY!r} only.", operation="outbox")
        if mine.system is None:
            # Only here: it brings the whole server along.
            from rtmsync.testing.memory import MemorySystem

            mine.system = MemorySystem(self.settings.app_id)
        return mine.system


def _check_session(client: Client, sender: str | None, idempotency_key: str | None) -> None:
    if sender not in (None, client.user_id):
        raise InvalidArgument(
            f"Without SERVER_KEY a message comes from the session's user, {client.user_id!r}.",
            operation="publish",
            hint="Leave out the sender, or set a server key.",
        )
    if idempotency_key is not None:
        raise InvalidArgument(
            "An idempotency_key needs SERVER_KEY: a session repeats nothing by itself.", operation="publish"
        )


def _close(process: _Process) -> None:
    for one in (process.client, process.publisher, process.system):
        if one is not None:
            one.close()
