"""An RTM server with the keys of a web application's settings, for those who develop it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rtmcore.client.config import Endpoint
from rtmcore.errors import InvalidArgument
from rtmsync.contrib.settings import Settings

if TYPE_CHECKING:
    from rtmsync.server.config import ServerConfig


def server_config(
    settings: Settings,
    *,
    host: str | None = None,
    port: int | None = None,
    data: Path | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    origins: Iterable[str] = (),
) -> "ServerConfig":
    """What a server is told so that it fits an application's settings.

    Args:
        settings: The application's: URL, APP_ID, SERVER_KEY and SECRET count.
        host: Address to listen on; by default the host in the URL.
        port: TCP port; by default the one in the URL.
        data: Directory of the journal; without one all is in memory.
        tls_cert: Certificate with its chain, PEM.
        tls_key: Its private key, PEM; by default in the same file.
        origins: Of pages that may connect.

    Raises:
        InvalidArgument: The settings are not those of a server that is run here.
    """
    from rtmsync.server.config import ServerConfig, is_loopback
    from rtmsync.server.keyfiles import parse_keys
    from rtmsync.server.tokens import AppKeys

    endpoint = Endpoint.parse(settings.url)
    address = host or endpoint.host
    if endpoint.tls and tls_cert is None and port is None:
        raise InvalidArgument(
            "The URL begins with wss://: give --tls-cert; or --host and --port, where a proxy before this server "
            "speaks TLS.",
            operation="serve",
        )
    keys = () if settings.secret is None else parse_keys(settings.secret.value, "SECRET")
    server_keys = {} if settings.server_key is None else {settings.app_id: [settings.server_key.value]}
    return ServerConfig(
        apps=[AppKeys(settings.app_id, keys)],
        host=address,
        port=endpoint.port if port is None else port,
        data_dir=data,
        tls_certificate=tls_cert,
        tls_key=tls_key,
        allowed_origins=tuple(origins),
        dev=not keys and is_loopback(address),
        server_keys=server_keys,
    )


def serve(config: "ServerConfig", tell: Callable[[str], object]) -> None:
    """Run a server until SIGTERM or SIGINT.

    Args:
        config: Its settings.
        tell: Gets a sentence once clients can connect.

    Raises:
        RtmError: It cannot begin; see `rtmsync.server.server.Server.open`.
    """
    from rtmsync.server.ending import ended_by_signals
    from rtmsync.server.logs import LogSettings, logging_as
    from rtmsync.server.server import Server

    server = Server(config)
    with logging_as(LogSettings()):
        server.open()
        with ended_by_signals(server):
            tell(f"The RTM server listens on {server.url}; Ctrl-C ends it.")
            server.run()
