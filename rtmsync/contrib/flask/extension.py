"""The extension itself: what views use, and what is registered for the listener."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import attrs
from flask import Flask, current_app, has_app_context, jsonify, send_file
from flask.typing import ResponseReturnValue

from rtmcore.client.events import StateChanged
from rtmcore.errors import InvalidArgument, StateError
from rtmcore.limits import TOKEN_SECONDS_DEFAULT, TOKEN_SECONDS_MAX
from rtmcore.models import ChannelMessage, PeerMessage
from rtmsync.client import Client
from rtmsync.contrib.connections import Connections
from rtmsync.contrib.flask.signals import message_received, state_changed
from rtmsync.contrib.listening import Handler, Handlers, listening, run_listener
from rtmsync.contrib.settings import Settings
from rtmsync.driver.clock import Timeout
from rtmsync.publisher import Publisher, PublishStatus

if TYPE_CHECKING:
    from rtmsync.testing.memory import MemorySystem, Sent

E = TypeVar("E")
R = TypeVar("R")

Scopes: TypeAlias = Mapping[str, object]
TokenView: TypeAlias = Callable[[], ResponseReturnValue]

DEFAULT_PREFIX: Final = "RTM_"

SCRIPT: Final = Path(__file__).parents[1] / "django" / "static" / "rtmsync" / "rtm.js"
"""The client for pages; Django insists on this place."""


@attrs.define(eq=False)
class RTMState:
    """What one application has of one server; it is in ``app.extensions``.

    Attributes:
        app: The application.
        prefix: What the names of its settings begin with.
        handlers: What the listener calls.
    """

    app: Flask = attrs.field(repr=False)
    prefix: str
    handlers: Handlers = attrs.field(repr=False)
    _made: dict[None, Connections] = attrs.field(factory=dict, init=False, repr=False)

    @property
    def settings(self) -> Settings:
        """The settings in the application's configuration.

        Raises:
            InvalidArgument: One sentence on the first mistake.
        """
        return self.connections.settings

    @property
    def connections(self) -> Connections:
        """What this process has open; the configuration is read at the first use."""
        made = self._made.get(None)
        if made is not None:
            return made
        fresh = Connections(
            self.read(), around=self.app.app_context, dumps=self.app.json.dumps, log=self.app.logger
        )
        return self._made.setdefault(None, fresh)

    @property
    def outbox(self) -> "list[Sent]":
        """What was published and sent so far; with ``RTM_TRANSPORT="memory"`` only."""
        return self.connections.outbox

    @property
    def system(self) -> "MemorySystem":
        """What stands for the server, with its clients and its clock; with ``RTM_TRANSPORT="memory"`` only."""
        return self.connections.system

    def read(self) -> Settings:
        """Read the configuration as it is now.

        Raises:
            InvalidArgument: One sentence on the first mistake.
        """
        given = {
            name[len(self.prefix) :]: value
            for name, value in self.app.config.items()
            if name.startswith(self.prefix)
        }
        return Settings.from_mapping(given, prefix=self.prefix, base=self.app.name)

    def close(self) -> None:
        """Close what this process has open. The next use reads the configuration again."""
        made = self._made.pop(None, None)
        if made is not None:
            made.close()

    def listen(self, channels: tuple[str, ...] = (), *, tell: Callable[[str], object]) -> int:
        """Be the one listener until a signal; see `rtmsync.contrib.listening.run_listener`."""
        connections = self.connections
        client = connections.listening_client()
        return run_listener(
            client,
            self._with_signals(),
            channels=(*self.settings.channels, *channels),
            around=self.app.app_context,
            tell=tell,
        )

    def listening(self, *channels: str) -> AbstractContextManager[Client]:
        """Be the listener while a `with` block runs, without signals: for tests. See `rtmsync.contrib.listening`."""
        return listening(
            self.connections.listening_client(),
            self._with_signals(),
            channels=(*self.settings.channels, *channels),
            around=self.app.app_context,
        )

    def _with_signals(self) -> Handlers:
        """The handlers, and what sends blinker signals where somebody hears them."""
        first = []
        if message_received.receivers:
            # Without a receiver, messages to the listener that no handler takes stay at the server.
            first += [
                Handler(ChannelMessage, None, self._message_received),
                Handler(PeerMessage, None, self._message_received),
            ]
        if state_changed.receivers:
            first.append(Handler(StateChanged, None, self._state_changed))
        return Handlers([*first, *self.handlers])

    def _message_received(self, message: ChannelMessage | PeerMessage) -> None:
        message_received.send(self.app, message=message, extension=self)

    def _state_changed(self, event: StateChanged) -> None:
        state_changed.send(self.app, event=event, extension=self)


class RTM:
    """An RTM server in Flask applications. Making one, and `init_app`, open nothing.

    The settings are read from the application's configuration at the first use: ``RTM_URL`` and ``RTM_APP_ID`` are
    needed, ``RTM_SERVER_KEY`` to publish over HTTP, ``RTM_SECRET`` or ``RTM_TOKEN`` to make tokens, ``RTM_LISTENER``
    to listen; see `rtmsync.contrib.settings.Settings` for all of them.

    Args:
        app: An application to begin with, in place of `init_app`.
        config_prefix: What the names of the settings begin with; another one for a second server. In lower case and
            without the underscore at its end, it is the name in ``app.extensions`` too.

    Raises:
        InvalidArgument: The prefix cannot be told from another one.
    """

    def __init__(self, app: Flask | None = None, *, config_prefix: str = DEFAULT_PREFIX) -> None:
        if not config_prefix.isupper() or not config_prefix.endswith("_"):
            raise InvalidArgument(
                f"config_prefix is capital letters with an underscore at the end, not {config_prefix!r}.",
                operation="init_app",
            )
        if config_prefix != DEFAULT_PREFIX and config_prefix.startswith(DEFAULT_PREFIX):
            raise InvalidArgument(
                f"config_prefix {config_prefix!r} begins with {DEFAULT_PREFIX!r}, which is one itself.",
                operation="init_app",
                hint="Put the other word first, as in CHAT_RTM_.",
            )
        self._prefix = config_prefix
        self._name = config_prefix[:-1].lower()
        self._handlers = Handlers()
        if app is not None:
            self.init_app(app)

    def __repr__(self) -> str:
        return f"<RTM {self._name}>"

    def init_app(self, app: Flask) -> None:
        """Make this available in an application.

        Args:
            app: The application. Where its configuration names a server already, it is checked now.

        Raises:
            InvalidArgument: The configuration has a mistake.
            StateError: The application has another extension of this name.
        """
        found = app.extensions.get(self._name)
        if isinstance(found, RTMState) and found.handlers is not self._handlers:
            raise StateError(
                f"The application has another RTM with the prefix {self._prefix!r}.",
                operation="init_app",
                hint="Give a second server another config_prefix.",
            )
        state = RTMState(app, self._prefix, self._handlers)
        if app.config.get(f"{self._prefix}URL") is not None:
            state.read()
        app.extensions[self._name] = state

    # --- In views, handlers and commands --------------------------------------------------------------------------

    @property
    def state(self) -> RTMState:
        """What the current application has.

        Raises:
            StateError: There is no current application, or `init_app` was not called for it.
        """
        if not has_app_context():
            raise StateError(
                "There is no current application.",
                operation="rtm",
                hint="Call this in a view, a handler or a command, or inside `with app.app_context():`.",
            )
        state = current_app.extensions.get(self._name)
        if not isinstance(state, RTMState):
            raise StateError(
                f"The application {current_app.name!r} does not know this RTM.",
                operation="rtm",
                hint="Call rtm.init_app(app) where the application is made.",
            )
        return state

    @property
    def publisher(self) -> Publisher:
        """What acts with the server key, without a session: it also puts users out and reads the history.

        Raises:
            InvalidArgument: ``RTM_SERVER_KEY`` is not set.
        """
        return self.state.connections.publisher

    @property
    def client(self) -> Client:
        """The session of this process, which logs in at its first use; in the listener the listener's.

        Raises:
            RtmError: The login has failed, as in `Client.login`.
        """
        return self.state.connections.client

    @property
    def outbox(self) -> "list[Sent]":
        """What was published and sent so far; with ``RTM_TRANSPORT="memory"`` only."""
        return self.state.outbox

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
        """Send a message to a channel: text, bytes, or what the application's JSON provider makes a text of.

        For arguments and errors see `Connections.publish`. Returns the message's id.
        """
        return self.state.connections.publish(
            channel,
            message,
            sender=sender,
            history=history,
            idempotency_key=idempotency_key,
            timeout=timeout,
        )

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
        """Send a message to a user: text, bytes, or what the application's JSON provider makes a text of.

        For arguments and errors see `Connections.send_peer`. Returns what became of it.
        """
        return self.state.connections.send_peer(
            user,
            message,
            sender=sender,
            offline=offline,
            ttl=ttl,
            history=history,
            idempotency_key=idempotency_key,
            timeout=timeout,
        )

    def token_for(
        self, user: str, *, seconds: float = TOKEN_SECONDS_DEFAULT, scopes: Scopes | None = None
    ) -> str:
        """Make a token with which a user's page or program logs in.

        Args:
            user: The user id.
            seconds: How long it is valid, up to 24 hours.
            scopes: What the user may do, such as ``{"login": True, "join": ["orders-*"]}``; everything by default.

        Raises:
            InvalidArgument: Neither ``RTM_SECRET`` nor a function in ``RTM_TOKEN`` is set, or a value is not possible.
        """
        return self.state.connections.token_for(user, seconds=seconds, scopes=scopes)

    # --- Where the application is made ----------------------------------------------------------------------------

    def token_view(
        self,
        user: Callable[[], str | None],
        *,
        seconds: float = TOKEN_SECONDS_DEFAULT,
        scopes: Scopes | Callable[[str], Scopes] | None = None,
    ) -> TokenView:
        """A view that gives a logged-in user what his page needs to connect: ``url``, ``app_id``, ``user``, ``token``.

        It answers POST only, since tokens do not belong into caches, and 401 to whoever is not logged in. Where the
        server needs no tokens the token is null.

        ```python
        app.add_url_rule("/rtm/token", view_func=rtm.token_view(lambda: session.get("user")))
        ```

        Args:
            user: Called in the request; returns the user id, or None where nobody is logged in.
            seconds: How long a token is valid.
            scopes: What the user may do, or a function of the user id that returns that; everything by default.

        Raises:
            InvalidArgument: The time is not possible.
        """
        if not 0 < seconds <= TOKEN_SECONDS_MAX:
            raise InvalidArgument(
                f"A token is valid for more than 0 and at most {TOKEN_SECONDS_MAX} seconds, not {seconds:g}.",
                operation="token_view",
            )

        def rtm_token() -> ResponseReturnValue:
            name = user()
            if not name:
                return jsonify(error="not_logged_in"), 401
            connections = self.state.connections
            settings, token = connections.settings, None
            if settings.makes_tokens:
                granted = scopes(name) if callable(scopes) else scopes
                token = connections.token_for(name, seconds=seconds, scopes=granted)
            answer = jsonify(url=settings.public_url, app_id=settings.app_id, user=name, token=token)
            answer.headers["Cache-Control"] = "no-store"
            return answer

        # Flask looks here for the methods of a rule that names none.
        setattr(rtm_token, "methods", ("POST",))  # noqa: B010
        return rtm_token

    def script_view(self) -> ResponseReturnValue:
        """A view that gives pages ``rtm.js``, the module with which they talk to the server.

        ```python
        app.add_url_rule("/rtm.js", view_func=rtm.script_view)
        ```
        """
        return send_file(SCRIPT, mimetype="text/javascript")

    def on(
        self, event: type[E], *, channel: str | None = None
    ) -> Callable[[Callable[[E], R]], Callable[[E], R]]:
        """Have a function called by the listener with each event of a class; see `Handlers.on`."""
        return self._handlers.on(event, channel=channel)

    def on_channel(
        self, channel: str
    ) -> Callable[[Callable[[ChannelMessage], R]], Callable[[ChannelMessage], R]]:
        """Have a function called by the listener with each message to a channel, which it joins.

        Handlers run one after another in the order of the messages, each in an application context of its own, whose
        end runs the application's teardown functions. One that raises is logged, and the next has its turn.
        """
        return self._handlers.on_channel(channel)

    def on_peer_message(self, function: Callable[[PeerMessage], R]) -> Callable[[PeerMessage], R]:
        """Have a function called by the listener with each message that a user sends to it; see `on_channel`."""
        return self._handlers.on_peer_message(function)

    def on_state_changed(self, function: Callable[[StateChanged], R]) -> Callable[[StateChanged], R]:
        """Have a function called when the listener's connection is in another state."""
        return self._handlers.on_state_changed(function)


def state_of(app: Flask, name: str) -> RTMState:
    """What an application has under a name in its extensions.

    Raises:
        StateError: There is no RTM of this name.
    """
    state: Any = app.extensions.get(name)
    if isinstance(state, RTMState):
        return state
    known = [found for found, value in app.extensions.items() if isinstance(value, RTMState)]
    raise StateError(
        f"The application {app.name!r} has no RTM named {name!r}"
        f"{'; there is ' + ', '.join(known) if known else ''}.",
        operation="rtm",
        hint="Call rtm.init_app(app) where the application is made.",
    )
