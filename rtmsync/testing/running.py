"""A real server for a test, clients of it, and the faults that may happen between them."""

import importlib.util
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rtmcore.codes import ConnectionState
from rtmcore.errors import StateError
from rtmcore.limits import APP_ID_LENGTH
from rtmsync.client import Client
from rtmsync.publisher import Publisher
from rtmsync.server.config import ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey, make_token
from rtmsync.testing.faultproxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self, Unpack

    from rtmsync.config import ClientOptions, TokenProvider
    from rtmsync.testing.loop import RefuseHow
    from rtmsync.testing.rules import Directions, HoleMode

_HOST: Final = "127.0.0.1"
_SECRET_BYTES: Final = 32
_TOKEN_SECONDS: Final = 3600.0
_LONG_AGO: Final = 86_400.0
_AT_ONCE: Final = 0.001
_GOODBYE: Final = 2.0
"""Seconds that a client has to say goodbye at the end of a test: nobody waits longer for a broken connection."""


class RunningServer:
    """A server on a free port of the loopback, in a thread of this process.

    It keeps what must last in a directory, so that it can be restarted. Whoever logs in needs a token, where PyJWT is
    installed; the documented rates are not kept.

    Args:
        data_dir: Where the journal is kept.
        settings: Of `rtmsync.server.config.ServerConfig`, in place of these.

    Attributes:
        app_id: Its one app.
        server_key: What publishers show.
        secret: The key that tokens are signed with.
    """

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        self.app_id: Final = secrets.token_hex(APP_ID_LENGTH // 2)
        self.server_key: Final = secrets.token_hex(_SECRET_BYTES)
        self.secret: Final = secrets.token_hex(_SECRET_BYTES)
        self._key = TokenKey(self.secret.encode()) if importlib.util.find_spec("jwt") else None
        self._settings: dict[str, Any] = {
            "apps": [AppKeys(self.app_id, () if self._key is None else (self._key,))],
            "host": _HOST,
            "port": 0,
            "data_dir": data_dir,
            "server_keys": {self.app_id: [self.server_key]},
            "rate_limits": False,
            "drain_seconds": 0.0,
            **settings,
        }
        self._server: Server | None = None
        self._publishers: list[Publisher] = []

    def __repr__(self) -> str:
        return f"<RunningServer {self.url}>"

    @property
    def port(self) -> int:
        """The TCP port; it stays the same over restarts."""
        return int(self._settings["port"])

    @property
    def url(self) -> str:
        """What clients connect to."""
        return f"ws://{_HOST}:{self.port}"

    @property
    def server(self) -> Server:
        """The server itself.

        Raises:
            StateError: It is stopped.
        """
        if self._server is None:
            raise StateError("The server of this test is stopped.", hint="Call start() first.")
        return self._server

    def start(self) -> None:
        """Start it, if it is stopped; returns once clients can connect."""
        if self._server is None:
            server = Server(ServerConfig(**self._settings))
            server.start()
            self._settings["port"] = server.port
            self._server = server

    def stop(self) -> None:
        """Stop it at once, without a goodbye to clients. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def restart(self, down: float = 0.0) -> None:
        """Stop it and start it again, on the same port and with what it has kept.

        Args:
            down: Seconds without a server in between.
        """
        self.stop()
        time.sleep(down)
        self.start()

    def token_for(
        self,
        user: str,
        seconds: float = _TOKEN_SECONDS,
        scopes: "Mapping[str, object] | None" = None,
    ) -> str | None:
        """A token with which a user may log in; None where no PyJWT is installed, since none is needed then.

        Args:
            user: The user id.
            seconds: How long it is valid, above 0.
            scopes: What he may do; None for all that an ordinary user may.
        """
        return self._token(user, time.time(), seconds, scopes)

    def expired_token_for(self, user: str) -> str | None:
        """A token whose time is over; None as in `token_for`."""
        return self._token(user, time.time() - _LONG_AGO, _TOKEN_SECONDS, None)

    def publisher(self) -> Publisher:
        """A publisher with the right server key; closed with the server of the test."""
        publisher = Publisher(self.url, app_id=self.app_id, server_key=self.server_key)
        self._publishers.append(publisher)
        return publisher

    def close(self) -> None:
        """Stop it, and close what it has made."""
        for publisher in self._publishers:
            publisher.close()
        self.stop()

    def __enter__(self) -> "Self":
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _token(
        self, user: str, now: float, seconds: float, scopes: "Mapping[str, object] | None"
    ) -> str | None:
        if self._key is None:
            return None
        return make_token(self._key, app=self.app_id, user=user, now=now, seconds=seconds, scopes=scopes)


class ClientFactory:
    """Makes clients of a server, and closes them at the end of the test.

    ```python
    def test_it(rtm_client_factory):
        alice, bob = rtm_client_factory("alice"), rtm_client_factory("bob")
    ```

    Args:
        server: The server.
        faults: What stands between, or None.
    """

    def __init__(self, server: RunningServer, faults: "Faults | None") -> None:
        self._server = server
        self._faults = faults
        self._made: list[Client] = []

    def __call__(
        self,
        user_id: str | None = None,
        *,
        login: bool = True,
        token: "str | TokenProvider | None" = None,
        **options: "Unpack[ClientOptions]",
    ) -> Client:
        """Make a client.

        Args:
            user_id: Who logs in; by default somebody whom there is not yet.
            login: Whether the client logs in before it is returned.
            token: By default, a function that makes one whenever one is needed.
            options: See `rtmsync.Config`.
        """
        server = self._server
        given: dict[str, Any] = {"proxy": None, **options}
        client = Client(
            server.url if self._faults is None else self._faults.url,
            app_id=server.app_id,
            user_id=user_id or f"user-{secrets.token_hex(6)}",
            token=token or (lambda user, reason: server.token_for(user)),
            **given,
        )
        self._made.append(client)
        if login:
            client.login()
        return client

    def close(self) -> None:
        """Close all of them."""
        if self._faults is not None:
            self._faults.heal()
        for client in self._made:
            client.close(_GOODBYE)


class Faults:
    """What can go wrong between clients and their server.

    Clients that `rtm_client_factory` makes in the same test come this way; others do with `url`.

    Args:
        server: The server.

    Attributes:
        proxy: The proxy in between, for faults of more kinds: at a certain byte, of one connection, by rules.
    """

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self.proxy: Final = FaultProxy(_HOST, server.port)

    @property
    def url(self) -> str:
        """What clients connect to in place of the server's URL."""
        return self.proxy.url

    def cut(self) -> int:
        """Break all connections; clients come back by themselves. How many there were."""
        return self.proxy.cut()

    def delay(self, seconds: float, jitter: float = 0.0) -> None:
        """Forward bytes so many seconds later, up to `jitter` more; 0 ends it."""
        self.proxy.delay(seconds, jitter)

    def black_hole(self, direction: "Directions" = "both", *, mode: "HoleMode" = "hold") -> None:
        """Forward nothing and tell nobody, until `heal`; see `FaultProxy.blackhole`."""
        self.proxy.blackhole(direction, mode=mode)

    def heal(self) -> None:
        """End a `black_hole`."""
        self.proxy.heal()

    def refuse(self, on: bool = True, how: "RefuseHow" = "closed") -> None:
        """Refuse connections to come, or accept them again."""
        self.proxy.refuse(on, how)

    def kick(self, user: str, reason: str = "") -> bool:
        """Have the server put a user out: his client becomes ABORTED. Whether he was online."""
        with Publisher(
            self._server.url, app_id=self._server.app_id, server_key=self._server.server_key
        ) as publisher:
            return publisher.kick(user, reason)

    def expire_token(self, client: Client) -> None:
        """Have the token of a connected client expire now.

        It gets `TokenHasExpired`; what the server does is its policy, which
        ``@pytest.mark.rtm_server(token_policy="abort")`` changes.

        Args:
            client: The client.

        Raises:
            StateError: No PyJWT is installed, so that there are no tokens; or the client is not connected.
        """
        token = self._server.token_for(client.user_id, _AT_ONCE)
        if token is None:
            raise StateError(
                "Without PyJWT there are no tokens that could expire.",
                operation="expire_token",
                hint="Install rtmsync[server].",
            )
        if client.state is not ConnectionState.CONNECTED:
            raise StateError(
                f"The client is {client.state.name}, not CONNECTED, so its token cannot be replaced.",
                operation="expire_token",
            )
        client.renew_token(token)

    def restart(self, down: float = 0.0) -> None:
        """Restart the server; see `RunningServer.restart`."""
        self._server.restart(down)

    def __enter__(self) -> "Self":
        self.proxy.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.proxy.stop()
