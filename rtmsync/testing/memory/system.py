"""The whole system in this process: a node, an engine, publishers, and the time that they live in."""

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rtmcore.errors import ClientClosed
from rtmcore.service.blobs.memory import MemoryBlobStore
from rtmcore.service.blobs.service import BlobSettings
from rtmcore.service.blobs.tickets import SECRET_BYTES, TicketOffice
from rtmcore.service.config import NodeConfig
from rtmcore.service.memory import MemoryEngine
from rtmcore.service.node import Node
from rtmsync.client import Client
from rtmsync.config import ClientOptions, Options, RoomConfig, TokenProvider
from rtmsync.driver.clock import Timeout
from rtmsync.publisher import Publisher
from rtmsync.room import Room
from rtmsync.rtc import RtcChannel
from rtmsync.server.config import DEV_APP_ID
from rtmsync.server.serverkeys import ServerKeys
from rtmsync.server.tokens import AppKeys, AppVerifier, TokenKey, make_token
from rtmsync.testing.memory.clock import VirtualClock
from rtmsync.testing.memory.driver import MemoryClient
from rtmsync.testing.memory.line import MemoryPublisher
from rtmsync.testing.memory.machine import Machine
from rtmsync.testing.memory.outbox import Outbox, Sent
from rtmsync.testing.memory.rooms import MemoryRoom, MemoryRtcChannel

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

_URL: Final = "ws://rtm.invalid"
_NODE: Final = "memory"
_SECRET_BYTES: Final = 24


class MemoryOptions(ClientOptions, total=False):
    """The optional settings of a client in memory."""

    token: str | TokenProvider | None


class MemoryRoomOptions(Options, total=False):
    """The optional settings of an RTC channel or a room in memory."""

    token: str | TokenProvider | None


class MemorySystem:
    """The real server's logic, and real clients and publishers, in one thread and without sockets.

    Every call does all that it causes before it returns. Time is virtual: it passes where a call waits, and by
    `clock.advance`.

    ```python
    with MemorySystem() as rtm:
        with rtm.publisher() as publisher:
            publisher.publish("orders", "paid", sender="shop")
        assert [sent.text for sent in rtm.outbox] == ["paid"]
    ```

    It is for tests that run in one thread. Where other threads or processes take part, use a real server
    (`rtm_server`): time would pass before they had their turn.

    Args:
        app_id: The app, 32 characters; by default the one of development servers.
        clock: The time to live in, by default one of its own.
        secret: The secret with which tokens are signed, at least 32 bytes. Without one, everybody may log in without
            a token.
        server_key: What a publisher shows; by default, one is made.
        rate_limits: Whether the documented rates are kept. By default they are not, since a test does in no time
            what a program does in an hour.
    """

    def __init__(
        self,
        app_id: str = DEV_APP_ID,
        clock: VirtualClock | None = None,
        *,
        secret: str | bytes | None = None,
        server_key: str | None = None,
        rate_limits: bool = False,
    ) -> None:
        self.app_id: Final = app_id
        self.server_key: Final = server_key or secrets.token_hex(_SECRET_BYTES)
        self.clock: Final = clock or VirtualClock()
        self._key = (
            None if secret is None else TokenKey(secret.encode() if isinstance(secret, str) else secret)
        )
        engine = MemoryEngine(secrets.token_hex(8))
        self._outbox = Outbox(engine.port(_NODE), app_id)
        keys = ServerKeys({app_id: [self.server_key]})
        node = Node(
            NodeConfig(node=_NODE, rate_limits=rate_limits),
            self._outbox,
            AppVerifier([AppKeys(app_id, () if self._key is None else (self._key,))]),
            secret=lambda: secrets.token_urlsafe(_SECRET_BYTES),
            authorize=keys.authorize,
            blobs=BlobSettings(
                MemoryBlobStore(),
                TicketOffice(secrets.token_bytes(SECRET_BYTES)),
                draw=lambda: secrets.token_hex(_SECRET_BYTES),
            ),
        )
        node.record_events(keys.apps, self.clock.now())
        self._machine = Machine(node, self.clock)
        self._closed = False
        self._made: list[Client | RtcChannel | Room | Publisher] = []
        self.clock.join(self._machine)

    def __repr__(self) -> str:
        return f"<MemorySystem of {self.app_id}{', closed' if self._closed else ''}>"

    @property
    def url(self) -> str:
        """What stands where a server's URL would: nobody can connect to it."""
        return _URL

    @property
    def outbox(self) -> list[Sent]:
        """What was sent and published so far, in order: by publishers and by clients.

        What was refused is not in it. It may be cleared.
        """
        return self._outbox.sent

    def publisher(self) -> Publisher:
        """A publisher with the right server key. The caller closes it, or `close` of the system does."""
        self._check_open("publisher")
        publisher = MemoryPublisher(self._machine, _URL, app_id=self.app_id, server_key=self.server_key)
        self._made.append(publisher)
        return publisher

    def client(self, user_id: str, **options: "Unpack[MemoryOptions]") -> Client:
        """A client of a user, not logged in yet. The caller closes it, or `close` of the system does.

        It is the public class, and all of it works. Its calls let virtual time pass until they end, and
        whatever they cause has happened when they return: messages have arrived and callbacks were called, in order
        and in this thread. Only `run_forever`, and other waits without end, raise WouldDeadlock where nothing ends
        them. A `Deadline` is measured in real time.

        Args:
            user_id: Who logs in.
            options: See `rtmsync.Config`; `token` is by default what `token_for` makes. `tls` and `proxy` mean
                nothing here.
        """
        self._check_open("client")
        client = MemoryClient(self._machine, _URL, user_id=user_id, **self._given(options))
        self._made.append(client)
        return client

    def connect(self, user_id: str, **options: "Unpack[MemoryOptions]") -> Client:
        """A client of a user, logged in; see `client`."""
        client = self.client(user_id, **options)
        try:
            client.login()
        except BaseException:
            client.close()
            raise
        return client

    def rtc(self, channel: str, uid: str, **options: "Unpack[MemoryRoomOptions]") -> RtcChannel:
        """An RTC channel that was not joined yet; see `client`."""
        self._check_open("rtc")
        made = MemoryRtcChannel(self._machine, _URL, channel=channel, uid=uid, **self._given(options))
        self._made.append(made)
        return made

    def room(
        self, room: str, identity: str, timeout: Timeout = None, **options: "Unpack[MemoryRoomOptions]"
    ) -> Room:
        """A room that somebody is connected to, as by `rtmsync.connect_room`; see `client`."""
        self._check_open("room")
        config = RoomConfig.of(_URL, {"room": room, "identity": identity, **self._given(options)})
        made = MemoryRoom(self._machine, config)
        self._made.append(made)
        made.connect(timeout)
        return made

    def cut(self, user_id: str) -> None:
        """Break the connections of a user, uid or identity. His client notices at once, and comes back by itself."""
        self._machine.cut(user_id)
        self.clock.settle()

    def black_hole(self, user_id: str) -> None:
        """Let nothing through any more between a user and the server, and tell nobody. See `restore`.

        After 4 s his client is RECONNECTING; after 6 s others see him UNREACHABLE, after 30 s OFFLINE.
        """
        self._machine.hold(user_id, held=True)

    def restore(self, user_id: str) -> None:
        """End a `black_hole`."""
        self._machine.hold(user_id, held=False)
        self.clock.settle()

    def token_for(self, user: str, seconds: float = 3600.0) -> str | None:
        """A token with which a user may log in; None where none is needed.

        Args:
            user: The user id.
            seconds: How long it is valid, in virtual time.
        """
        if self._key is None:
            return None
        return make_token(self._key, app=self.app_id, user=user, now=self.clock.time(), seconds=seconds)

    def close(self) -> None:
        """End everything. Idempotent."""
        if not self._closed:
            self._closed = True
            self._machine.release()
            for made in self._made:
                made.close()
            self.clock.leave(self._machine)

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _given(self, options: Mapping[str, object]) -> dict[str, Any]:
        given = {"token": lambda user, reason: self.token_for(user), **options, "app_id": self.app_id}
        return {name: value for name, value in given.items() if name not in ("tls", "proxy")}

    def _check_open(self, operation: str) -> None:
        if self._closed:
            raise ClientClosed("The memory system is closed.", operation=operation, hint="Make another one.")
