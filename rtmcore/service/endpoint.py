"""What a node serves over HTTP, and whose WebSocket it opens."""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import attrs

from rtmcore.limits import BUSY_RETRY
from rtmcore.service.config import NodeConfig
from rtmcore.service.context import NodeContext
from rtmcore.wire.codec import CODECS, Codec
from rtmcore.wire.handshake import HttpRequested, UpgradeRequested, choose_subprotocol
from rtmcore.wire.http import Headers, header_values
from rtmcore.wire.packets import WEBSOCKET_PATH

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
METRICS_PATH: Final = "/metrics"
_BEARER: Final = re.compile(r"[Bb]earer +([\x21-\x7e]+)")
_READING: Final = frozenset({"GET", "HEAD"})
_FRESH: Final = ("Cache-Control", "no-store")


@attrs.frozen
class HttpAnswer:
    """An answer over HTTP, after which the connection ends."""

    status: int
    text: str
    retry_after: float | None = None
    content_type: str = "text/plain; charset=utf-8"

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Header fields besides those of the transport."""
        fields = [("Content-Type", self.content_type), _FRESH]
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
    unwelcome = judge_origin(config, request.host, request.origin)
    if unwelcome is not None:
        return unwelcome
    chosen = choose_subprotocol(request.subprotocols, CODECS)
    if chosen is None:
        return HttpAnswer(
            HTTPStatus.BAD_REQUEST,
            f"A client has to offer one of the subprotocols {' and '.join(CODECS)} in Sec-WebSocket-Protocol.",
        )
    if draining:
        return HttpAnswer(HTTPStatus.SERVICE_UNAVAILABLE, "The server is being stopped.", BUSY_RETRY)
    return CODECS[chosen]


Observe = Callable[[str], HttpAnswer | None]
"""The page for those who watch the server. Given the key that came with the request, or an empty text; None where
there is no such page for whoever asks."""


def judge_origin(config: NodeConfig, host: str, origin: str | None) -> HttpAnswer | None:
    """Decide whether a page may talk to this server, so that none does it behind its user's back.

    Args:
        config: The node's settings.
        host: The request's Host.
        origin: Its Origin; None where it has none, and so comes from no page.

    Returns:
        The refusal, or None.
    """
    host = host.lower()
    if config.dev and _name_of(host) not in _LOOPBACK:
        return HttpAnswer(
            HTTPStatus.FORBIDDEN,
            "This is a development server: it is reached as localhost, 127.0.0.1 or [::1] only.",
        )
    if origin is not None and not _is_welcome(origin.lower(), host, config):
        return HttpAnswer(
            HTTPStatus.FORBIDDEN,
            "Pages of this origin may not connect; the server's settings list the origins that may.",
        )
    return None


def answer_request(context: NodeContext, request: HttpRequested, observe: Observe) -> HttpAnswer:
    """Answer a request that is no upgrade.

    Args:
        context: The node's common ground.
        request: What the client asked for.
        observe: Makes the page of the metrics.
    """
    metrics = None
    if request.path == METRICS_PATH and (not context.config.dev or _is_for_loopback(request)):
        metrics = observe(bearer(request.headers))
    if metrics is None and request.path not in ("/healthz", "/readyz", WEBSOCKET_PATH):
        return HttpAnswer(HTTPStatus.NOT_FOUND, "There is nothing here.")
    if request.method not in _READING:
        return HttpAnswer(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are served here.")
    if metrics is not None:
        return metrics
    if request.path == WEBSOCKET_PATH:
        return HttpAnswer(HTTPStatus.UPGRADE_REQUIRED, "This path speaks WebSocket only.")
    if request.path == "/healthz":
        return HttpAnswer(HTTPStatus.OK, "ok")
    if context.draining:
        return HttpAnswer(HTTPStatus.SERVICE_UNAVAILABLE, "draining", BUSY_RETRY)
    if not context.engine_available:
        return HttpAnswer(HTTPStatus.SERVICE_UNAVAILABLE, "the engine is unavailable", BUSY_RETRY)
    return HttpAnswer(HTTPStatus.OK, "ready")


def bearer(headers: Headers) -> str:
    """The key that comes with a request, or an empty text."""
    found = [_BEARER.fullmatch(value) for value in header_values(headers, "authorization")]
    return found[0].group(1) if len(found) == 1 and found[0] is not None else ""


def _is_for_loopback(request: HttpRequested) -> bool:
    return all(_name_of(host.lower()) in _LOOPBACK for host in header_values(request.headers, "host"))


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
