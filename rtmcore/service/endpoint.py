"""What a node serves over HTTP, and whose WebSocket it opens."""

from http import HTTPStatus
from typing import Final

import attrs

from rtmcore.limits import BUSY_RETRY
from rtmcore.service.config import NodeConfig
from rtmcore.wire.codec import CODECS, Codec
from rtmcore.wire.handshake import HttpRequested, UpgradeRequested, choose_subprotocol
from rtmcore.wire.packets import WEBSOCKET_PATH

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_READING: Final = frozenset({"GET", "HEAD"})
_TEXT: Final = ("Content-Type", "text/plain; charset=utf-8")
_FRESH: Final = ("Cache-Control", "no-store")


@attrs.frozen
class HttpAnswer:
    """An answer over HTTP, after which the connection ends."""

    status: int
    text: str
    retry_after: float | None = None

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Header fields besides those of the transport."""
        fields = [_TEXT, _FRESH]
        if self.retry_after is not None:
            fields.append(("Retry-After", str(max(1, round(self.retry_after)))))
        return fields


def judge_upgrade(config: NodeConfig, request: UpgradeRequested, *, draining: bool) -> Codec | HttpAnswer:
    """Decide whether a WebSocket may be opened.

    Args:
        config: The node's settings.
        request: What the client asked for; its shape has been judged.
        draining: Whether the node sends its clients away.

    Returns:
        The codec to speak, or the refusal.
    """
    if request.path != WEBSOCKET_PATH:
        return HttpAnswer(HTTPStatus.NOT_FOUND, f"There is no WebSocket here; its path is {WEBSOCKET_PATH}.")
    host = request.host.lower()
    if config.dev and _name_of(host) not in _LOOPBACK:
        return HttpAnswer(
            HTTPStatus.FORBIDDEN,
            "This is a development server: it is reached as localhost, 127.0.0.1 or [::1] only.",
        )
    if request.origin is not None and not _is_welcome(request.origin.lower(), host, config):
        return HttpAnswer(
            HTTPStatus.FORBIDDEN,
            "Pages of this origin may not connect; the server's settings list the origins that may.",
        )
    chosen = choose_subprotocol(request.subprotocols, CODECS)
    if chosen is None:
        return HttpAnswer(
            HTTPStatus.BAD_REQUEST,
            f"A client has to offer one of the subprotocols {' and '.join(CODECS)} in Sec-WebSocket-Protocol.",
        )
    if draining:
        return HttpAnswer(HTTPStatus.SERVICE_UNAVAILABLE, "The server is being stopped.", BUSY_RETRY)
    return CODECS[chosen]


def answer_request(request: HttpRequested, *, draining: bool, engine_available: bool) -> HttpAnswer:
    """Answer a request that is no upgrade.

    Args:
        request: What the client asked for.
        draining: Whether the node sends its clients away.
        engine_available: Whether the engine carries out commands.
    """
    if request.path not in ("/healthz", "/readyz", WEBSOCKET_PATH):
        return HttpAnswer(HTTPStatus.NOT_FOUND, "There is nothing here.")
    if request.method not in _READING:
        return HttpAnswer(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are served here.")
    if request.path == WEBSOCKET_PATH:
        return HttpAnswer(HTTPStatus.UPGRADE_REQUIRED, "This path speaks WebSocket only.")
    if request.path == "/healthz":
        return HttpAnswer(HTTPStatus.OK, "ok")
    if draining:
        return HttpAnswer(HTTPStatus.SERVICE_UNAVAILABLE, "draining", BUSY_RETRY)
    if not engine_available:
        return HttpAnswer(HTTPStatus.SERVICE_UNAVAILABLE, "the engine is unavailable", BUSY_RETRY)
    return HttpAnswer(HTTPStatus.OK, "ready")


def _is_welcome(origin: str, host: str, config: NodeConfig) -> bool:
    if origin in (allowed.lower() for allowed in config.allowed_origins):
        return True
    scheme, _, authority = origin.partition("://")
    default_port = _DEFAULT_PORTS.get(scheme)
    if default_port is None or not authority:
        return False
    return authority.removesuffix(default_port) == host.removesuffix(default_port)


def _name_of(host: str) -> str:
    """The host without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
