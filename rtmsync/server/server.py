"""A server: configuration, engine, node and loop put together, in this thread or one of its own."""

import logging
import os
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs

from rtmcore.errors import InvalidArgument, ServerFailure
from rtmcore.limits import BAN_TIMEOUT, WAIT_SLICE
from rtmcore.service.blobs.catalog import blob_caps_of
from rtmcore.service.blobs.memory import MemoryBlobStore
from rtmcore.service.blobs.service import BlobSettings
from rtmcore.service.blobs.tickets import SECRET_BYTES, TicketOffice
from rtmcore.service.config import NodeConfig
from rtmcore.service.engine import EnginePort
from rtmcore.service.memory import MemoryEngine, caps_of
from rtmcore.service.node import Node
from rtmsync.driver.clock import Clock
from rtmsync.server.config import ServerConfig
from rtmsync.server.loop import ServerLoop
from rtmsync.server.metrics import Metrics
from rtmsync.server.orders import Orders
from rtmsync.server.serverkeys import ServerKeys
from rtmsync.server.tokens import AppVerifier, check_judgeable

if TYPE_CHECKING:
    from rtmsync.server.blobs.store import FileBlobStore
    from rtmsync.server.engines.embedded import EmbeddedEngine

_log = logging.getLogger("rtmsync.server")

_BACKLOG = 1024
_FILES = "media"
"""The folder of the data directory in which files and images are."""

_ID_BYTES = 24
"""Unpredictable bytes in the id of a file."""

_SHOWN = 128
"""Characters of what a client says that a log shows."""
_KEPT = ("host", "port", "data_dir", "dev", "node")
"""The settings that a reload cannot change."""


class Server:
    """A server for one or several apps, with nothing else running.

    Nothing happens at construction. `run` serves in the calling thread until
    `stop`; `start` does so in a thread of its own and returns once clients can
    connect, which is how tests and programs embed it.

    Args:
        config: The settings.
        engine: Given the engine's port, returns the one that is used: for what watches the engine, and for tests that
            let it fail. By default the port itself.
        sync_files: Makes a file or directory of the files and images last, given its descriptor.
    """

    def __init__(
        self,
        config: ServerConfig,
        *,
        engine: Callable[[EnginePort], EnginePort] | None = None,
        sync_files: Callable[[int], None] = os.fsync,
    ) -> None:
        self.config = config
        self._wrap = engine
        self._sync_files = sync_files
        self._blobs: FileBlobStore | MemoryBlobStore | None = None
        self._port = 0
        self._loop: ServerLoop | None = None
        self._node: Node | None = None
        self._embedded: EmbeddedEngine | None = None
        self._memory: MemoryEngine | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._orders = Orders(config)
        self._verifier = AppVerifier(config.apps)
        self._server_keys = ServerKeys(config.server_keys)
        self._metrics = Metrics(config)
        self._reloading = threading.Lock()

    @property
    def port(self) -> int:
        """The TCP port; where the configuration leaves it to the system, 0 before the server was opened."""
        return self._port or self.config.port

    @property
    def url(self) -> str:
        """What clients connect to."""
        scheme = "ws" if self.config.tls_certificate is None else "wss"
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"{scheme}://{host}:{self.port}"

    def open(self) -> None:
        """Bind the port and open the journal; clients can connect, and wait until the server runs.

        Raises:
            InvalidArgument: The address cannot be bound, or the TLS files cannot be read.
            ServerFailure: The data directory cannot be used.
            StateError: An app has keys, and PyJWT is not installed, or `cryptography`, which such a key needs.
        """
        if self._loop is not None:
            return
        check_judgeable(self.config.apps)
        context = _tls_context(self.config)
        listener = _listen(self.config.host, self.config.port)
        try:
            node_id = self.config.node or f"node-{secrets.token_hex(4)}"
            port = self._open_engine(node_id)
            if self._wrap is not None:
                port = self._wrap(port)
            self._node = Node(
                _node_config(self.config, node_id),
                port,
                self._verifier,
                secret=lambda: secrets.token_urlsafe(24),
                authorize=self._server_keys.authorize,
                observe=self._metrics.page,
                blobs=self._open_blobs(),
                note=_note,
            )
            self._node.record_events(self._server_keys.apps, Clock.now())
            self._loop = ServerLoop(self._node, [listener], context)
        except BaseException:
            listener.close()
            self._close_engine()
            raise
        self._orders.open(self._loop, self._node)
        self._metrics.open(self._node, self._loop, self._embedded or self._memory, self._blobs)
        self._port = int(listener.getsockname()[1])

    def run(self) -> None:
        """Serve in this thread until `stop` or the end of a `drain`."""
        self.open()
        assert self._loop is not None
        _log.info("serving on %s", self.url, extra={"fields": {"url": self.url}})
        try:
            self._orders.begin()
            self._loop.run()
        finally:
            self._orders.end()
            self._close_engine()
            _log.info("stopped")

    def start(self) -> None:
        """Serve in a thread of its own; returns once clients can connect.

        Raises:
            InvalidArgument, ServerFailure, StateError: See `open`.
        """
        self.open()
        self._thread = threading.Thread(target=self._run_in_thread, name="rtm-server", daemon=True)
        self._thread.start()

    def reload(self, config: ServerConfig) -> tuple[str, ...]:
        """Go on with other settings, as far as they can change while clients are connected. Nobody is sent away.

        Apps and their keys, certificates and formats, the server keys, the TLS files, which are read again, the
        allowed origins, the rates, the token policy and `drain_seconds` count from now on, for logins and connections
        that begin. The limits count for all: a connected client keeps to those that its welcome told, and what is
        beyond the new ones is refused. ``host``, ``port``, ``data_dir``, ``dev`` and ``node`` need a restart, and so
        does to begin or to end with TLS. Any thread may call this, but no signal handler.

        Args:
            config: The settings.

        Returns:
            A sentence for each setting that was changed and needs a restart; it stays as it was.

        Raises:
            InvalidArgument: The settings are not possible, or the TLS files cannot be read. Nothing has changed then.
            StateError: What judges the apps' tokens is not installed; see `open`. Nothing has changed then either.
        """
        with self._reloading:
            kept = {name: getattr(self.config, name) for name in _KEPT}
            changed = [name for name in _KEPT if getattr(config, name) != kept[name]]
            if (config.tls_certificate is None) is not (self.config.tls_certificate is None):
                changed.append("tls_certificate")
                kept.update(tls_certificate=self.config.tls_certificate, tls_key=self.config.tls_key)
            merged = attrs.evolve(config, **kept)
            check_judgeable(merged.apps)
            context = _tls_context(merged)
            self.config = merged
            self._verifier.replace(merged.apps)
            self._server_keys.replace(merged.server_keys)
            self._metrics.use(merged)
            self._orders.reload(merged)
            if self._loop is not None:
                self._loop.use(context)
                self._loop.call(self._record_events)
            if self._node is not None:
                self._node.use(_node_config(merged, self._node.config.node))
            engine = self._embedded or self._memory
            if engine is not None:
                engine.caps = caps_of(merged.limits)
            if self._blobs is not None:
                self._blobs.caps = blob_caps_of(merged.limits)
        _log.info("the settings were reloaded")
        return tuple(f"{name} stays as it was: it changes with a restart only." for name in changed)

    def drain(self) -> None:
        """Send all clients away, spread over `config.drain_seconds`, then stop. Safe in a signal handler."""
        loop = self._loop
        if loop is not None:
            loop.call(self._drain)

    def stop(self, timeout: float = 10.0) -> None:
        """Stop at once and wait for the thread that `start` made. Idempotent.

        Args:
            timeout: Seconds to wait for it.

        Raises:
            ServerFailure: The thread did not end, or had failed.
        """
        if self._loop is not None:
            self._loop.stop()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        thread.join(timeout)
        if thread.is_alive():
            raise ServerFailure(f"The server did not stop within {timeout:g} s.", operation="stop")
        self._thread = None
        if self._failure is not None:
            raise ServerFailure("The server had failed.", operation="stop") from self._failure

    def wait(self) -> None:
        """Wait until a server that `start` began has ended."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(WAIT_SLICE)

    def stats(self) -> dict[str, int]:
        """Counters of the node, by name. Any thread may call this."""
        return self._node.stats() if self._node is not None else {}

    def ban(self, app: str, user: str, reason: str = "", *, timeout: float = BAN_TIMEOUT) -> None:
        """Put a user out, and keep him out until `unban`; with a data directory, across restarts too.

        A client of his becomes ABORTED / BANNED_BY_SERVER, at once or when it comes back, and each login raises
        `rtmsync.Banned` with the reason. Messages to him are kept as for anybody who is away. To ban him again
        changes the reason. Any thread may call this, but no signal handler in the thread that serves.

        Args:
            app: The app id, one of those that the server holds.
            user: The user id.
            reason: Why, for the user, at most `limits.BAN_REASON_LENGTH` characters.
            timeout: Seconds to wait until it is done, which with a data directory means on the disk.

        Raises:
            InvalidArgument: There can be no such user, or the reason is too long.
            LimitExceeded: `limits.BANS` users are banned already.
            ServerFailure: It was not done in time, and may be done all the same; or the server stopped meanwhile.
            StateError: The server has not been started, or has stopped.
            WouldDeadlock: This is the thread that serves.
        """
        self._orders.ban(app, user, reason, timeout)

    def unban(self, app: str, user: str, *, timeout: float = BAN_TIMEOUT) -> None:
        """Let a user log in again, whether he was banned or not. See `ban`.

        Args:
            app: The app id, one of those that the server holds.
            user: The user id.
            timeout: Seconds to wait until it is done.

        Raises:
            InvalidArgument, ServerFailure, StateError, WouldDeadlock: See `ban`.
        """
        self._orders.unban(app, user, timeout)

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # --- Inside -------------------------------------------------------------------

    def _open_engine(self, node_id: str) -> EnginePort:
        caps = caps_of(self.config.limits)
        if self.config.data_dir is None:
            self._memory = MemoryEngine(epoch=secrets.token_hex(8), caps=caps)
            return self._memory.port(node_id)
        from rtmsync.server.engines.embedded import EmbeddedEngine

        self._embedded = EmbeddedEngine(
            self.config.data_dir, epoch=secrets.token_hex(8), wake=self._wake, caps=caps
        )
        self._embedded.start(Clock.now(), time.time_ns() // 1000)
        return self._embedded.port(node_id)

    def _open_blobs(self) -> BlobSettings:
        caps = blob_caps_of(self.config.limits)
        if self.config.data_dir is None:
            self._blobs, secret = MemoryBlobStore(caps), secrets.token_bytes(SECRET_BYTES)
        else:
            from rtmsync.server.blobs.store import FileBlobStore

            directory = self.config.data_dir / _FILES
            store = FileBlobStore(directory, wake=self._wake, caps=caps, sync=self._sync_files)
            secret = store.open(time.time_ns() // 1000)
            self._blobs = store
        return BlobSettings(self._blobs, TicketOffice(secret), draw=lambda: secrets.token_hex(_ID_BYTES))

    def _close_engine(self) -> None:
        blobs, self._blobs = self._blobs, None
        try:
            if blobs is not None and not isinstance(blobs, MemoryBlobStore):
                blobs.close()
        finally:
            self._close_journal()

    def _close_journal(self) -> None:
        if self._embedded is not None:
            self._embedded.close()
            self._embedded = None

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.wake()

    def _run_in_thread(self) -> None:
        try:
            self.run()
        except BaseException as error:  # noqa: BLE001 - handed to whoever calls stop()
            self._failure = error
            _log.exception("the server failed")

    def _record_events(self, now: float) -> None:
        assert self._node is not None
        self._node.record_events(self._server_keys.apps, now)

    def _drain(self, now: float) -> None:
        assert self._node is not None
        assert self._loop is not None
        _log.info("draining over %g s", self.config.drain_seconds)
        self._loop.stop_when_empty()
        self._node.drain(now, self.config.drain_seconds)


def _note(what: str, fields: Mapping[str, object]) -> None:
    if _log.isEnabledFor(logging.DEBUG):
        shown = {name: value[:_SHOWN] if isinstance(value, str) else value for name, value in fields.items()}
        words = " ".join(f"{name}={value!r}" for name, value in shown.items())
        _log.debug("%s: %s", what, words, extra={"fields": {"event": what, **shown}})


def _node_config(config: ServerConfig, node: str) -> NodeConfig:
    return NodeConfig(
        node=node,
        allowed_origins=tuple(config.allowed_origins),
        dev=config.dev,
        rate_limits=config.rate_limits,
        rate_factor=config.rate_factor,
        rates=config.rates,
        limits=config.limits,
        token_policy=config.token_policy,
        durability="memory" if config.data_dir is None else "disk",
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InvalidArgument(f"Cannot listen on {host!r}: {error}.", operation="serve") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InvalidArgument(
            f"Cannot listen on {host}, port {port}: {error.strerror}.",
            operation="serve",
            hint="Choose another port with --port, or end the process that uses it.",
        ) from error
    return listener


def _tls_context(config: ServerConfig) -> ssl.SSLContext | None:
    if config.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgument(
            f"Cannot use the TLS certificate {config.tls_certificate}: {error}.",
            operation="serve",
            hint="Both files have to be PEM, and the key has to belong to the certificate.",
        ) from error
    return context
