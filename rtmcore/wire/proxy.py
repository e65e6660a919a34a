"""The way to a server through an HTTP proxy: CONNECT (RFC 9110 section 9.3.6)."""

import base64
from http import HTTPStatus
from typing import Final

from rtmcore.errors import LocalProtocolError, ProxyError
from rtmcore.wire.http import NotHttp, Refusal, ResponseReader, quoted

_UNREACHABLE: Final = "The proxy cannot reach this host and port."
_HINTS: Final[dict[int, str]] = {
    HTTPStatus.FORBIDDEN: "The proxy's rules forbid this host or port; ask its administrator.",
    HTTPStatus.METHOD_NOT_ALLOWED: "The proxy does not offer HTTP CONNECT to this port.",
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "Give the user name and password that the proxy asks for.",
    HTTPStatus.BAD_GATEWAY: _UNREACHABLE,
    HTTPStatus.SERVICE_UNAVAILABLE: _UNREACHABLE,
    HTTPStatus.GATEWAY_TIMEOUT: _UNREACHABLE,
}


class ProxyRefused(ProxyError):
    """The proxy answered HTTP CONNECT with a status other than 2xx.

    Args:
        message: One sentence with status, reason phrase and what the proxy wrote.
        status: The HTTP status; 407 asks for credentials.
        reason: Its reason phrase; may be empty.
        body: The beginning of the body, in printable characters, at most `limits.REFUSAL_EXCERPT`; the
            credentials are blacked out.
        retry_after: Seconds from a Retry-After header; None without one, or where it names a date.
        hint: What to do about it.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        reason: str = "",
        body: str = "",
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, operation="proxy CONNECT", retry_after=retry_after, hint=hint)
        self.status = status
        self.reason = reason
        self.body = body


class ProxyConnect:
    """Asks an HTTP proxy for a tunnel.

    Args:
        host: Where the tunnel leads: an ASCII name, or an address, IPv6 without brackets.
        port: 1 to 65535.
        username: For a proxy that wants credentials, sent as Basic; no colon in it.
        password: Belongs to `username`.

    Attributes:
        trailing: Bytes of the tunnel that came behind the response in the same read.

    Raises:
        LocalProtocolError: An argument is not valid in HTTP.
    """

    __slots__ = ("_authority", "_reader", "trailing")

    def __init__(
        self, host: str, port: int, *, username: str | None = None, password: str | None = None
    ) -> None:
        if not 1 <= port <= 65535:
            raise LocalProtocolError(f"A port is a number from 1 to 65535, not {port}.")
        self._authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        secrets: list[str] = []
        headers = [("Host", self._authority)]
        if username is not None:
            if ":" in username:
                raise LocalProtocolError("The user name for an HTTP proxy cannot have a colon.")
            credentials = f"{username}:{password or ''}"
            authorization = "Basic " + base64.b64encode(credentials.encode("utf-8", "replace")).decode(
                "ascii"
            )
            headers.append(("Proxy-Authorization", authorization))
            secrets += [authorization, credentials, password or ""]
        self._reader = ResponseReader("CONNECT", self._authority, headers, secrets=secrets)
        self.trailing = b""

    def request(self) -> bytes:
        """The bytes to send, once."""
        return self._reader.request

    @property
    def refusal(self) -> ProxyRefused | None:
        """What the proxy has refused with while the rest of its text is still on its way."""
        return None if self._reader.refusal is None else self._refused(self._reader.refusal)

    def receive(self, data: bytes) -> bool:
        """Take what was read from the proxy.

        Args:
            data: Any piece of the stream.

        Returns:
            True when the tunnel is there; what is sent and received from now on, `trailing` first, belongs to
            the host at its end. False as long as the response is incomplete.

        Raises:
            ProxyRefused: The proxy answered with a status other than 2xx.
            ProxyError: The proxy did not answer in HTTP.
        """
        try:
            response = self._reader.receive(data)
        except NotHttp as error:
            raise ProxyError(
                f"The proxy did not answer CONNECT {self._authority} in HTTP: {error}.",
                operation="proxy CONNECT",
                hint="Check that the proxy's URL names an HTTP proxy, with its scheme and port.",
            ) from None
        if response is None:
            return False
        if isinstance(response, Refusal):
            raise self._refused(response)
        self.trailing = self._reader.http.trailing()
        return True

    def receive_eof(self) -> None:
        """Take the end of the proxy's bytes, which is always an error here.

        Raises:
            ProxyError: Always; with the refusal that it ends, if there is one.
        """
        if self._reader.refusal is not None:
            raise self._refused(self._reader.refusal)
        raise ProxyError(
            f"The proxy closed the connection before it answered CONNECT {self._authority}.",
            operation="proxy CONNECT",
        )

    def _refused(self, refusal: Refusal) -> ProxyRefused:
        body = refusal.excerpt()
        return ProxyRefused(
            f"The proxy refused CONNECT {self._authority} with {refusal.status_line()}{quoted(body)}.",
            status=refusal.status,
            reason=refusal.phrase(),
            body=body,
            retry_after=refusal.retry_after(),
            hint=_HINTS.get(refusal.status),
        )
