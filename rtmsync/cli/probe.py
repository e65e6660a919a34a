"""The steps from a URL to a working session, one at a time, so that the one that fails can be named.

It walks the way of the client with plain blocking calls: what a client does in one go and repeats until it works
is done here once, measured, and explained.
"""

import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from rtmcore.client.config import Endpoint
from rtmcore.codes import LoginError
from rtmcore.errors import (
    ConnectionFailed,
    InvalidArgument,
    NameResolutionError,
    ProxyError,
    RequestTimeout,
    RtmError,
    TlsError,
    error_for,
)
from rtmcore.identifiers import explain_invalid_id, is_valid_app_id
from rtmcore.limits import (
    APP_ID_LENGTH,
    INSTANCE_ID_MAX,
    READ_CHUNK,
    TOKEN_LEEWAY,
    TOKEN_WILL_EXPIRE_BEFORE,
)
from rtmcore.wire.codec import CODECS
from rtmcore.wire.handshake import NONCE_BYTES
from rtmcore.wire.packets import Bye, Done, Failed, Hello, Leave, Packet, Ready, Refused, Welcome
from rtmcore.wire.proxy import ProxyConnect
from rtmcore.wire.transport import ClientTransport, Closed, Opened, Received
from rtmsync.cli.credentials import Minter, read_claims
from rtmsync.cli.options import Login
from rtmsync.driver.clock import Clock
from rtmsync.driver.proxies import ProxyAddress, choose_proxy
from rtmsync.driver.tls import TlsConfig

ROUND_TRIPS: Final = 5
_CERTIFICATE_SOON: Final = 14 * 86_400
_MS: Final = 1000

_VERIFY_HINTS: Final = {
    9: "The certificate is not valid yet: check the clock of this machine, then that of the server.",
    10: "The certificate has expired: have it renewed. If it has not, the clock of this machine is wrong.",
    18: "The certificate is its own issuer: name it with --ca-file, or use one from a known issuer.",
    19: "The chain ends in an issuer that is not trusted here: name its certificate with --ca-file.",
    20: "The issuer is not trusted here: name its certificate with --ca-file, and see that the server sends its "
    "chain.",
    62: "The certificate is for another name: use the name in it, or have one made for this name.",
}


@attrs.frozen
class Finding:
    """What came out of a step that did not fail.

    Args:
        text: One sentence without its full stop.
        advice: What should be done all the same; None where all is well.
    """

    text: str
    advice: str | None = None


class Probe:
    """A connection that is made step by step.

    Call the steps in the order of `steps`, without those that do not concern this connection. Each returns a
    `Finding` or raises what went wrong.

    Args:
        login: Whom to log in, where.
        timeout: Seconds for each step.
    """

    def __init__(self, login: Login, timeout: float) -> None:
        self._login = login
        self._timeout = timeout
        self._token: str | None = None
        self._user = ""
        self._endpoint: Endpoint | None = None
        self._proxy: ProxyAddress | None = None
        self._addresses: list[tuple[socket.AddressFamily, Any]] = []
        self._socket: socket.socket | None = None
        self._trailing = b""
        self._transport: ClientTransport | None = None
        self._welcome: Welcome | None = None
        self._welcomed_at = 0.0

    def steps(self) -> tuple[tuple[str, Callable[[], Finding]], ...]:
        """Name and function of each step, in order."""
        return (
            ("settings", self.check_settings),
            ("proxy", self.choose_proxy),
            ("name", self.resolve),
            ("tcp", self.connect),
            ("tunnel", self.open_tunnel),
            ("tls", self.start_tls),
            ("upgrade", self.upgrade),
            ("login", self.log_in),
            ("clock", self.compare_clocks),
            ("round trip", self.measure),
            ("token", self.check_token),
        )

    def concerns(self, step: str) -> bool:
        """Whether a step applies, as far as that is known by now."""
        if step == "tunnel":
            return self._proxy is not None
        return step != "tls" or (self._endpoint is not None and self._endpoint.tls)

    def close(self) -> None:
        """Log out, if there was a login, and close the connection."""
        try:
            if self._welcome is not None and self._transport is not None:
                self._transport.send([Bye(self._welcome.fence)], Clock.now())
                self._flush()
        except (RtmError, OSError):
            pass  # it is over anyway
        if self._socket is not None:
            self._socket.close()

    # --- Before the network --------------------------------------------------------

    def check_settings(self) -> Finding:
        """Judge what can be judged without a server."""
        login = self._login
        self._endpoint = Endpoint.parse(login.url)
        if not is_valid_app_id(login.app_id):
            raise InvalidArgument(
                f"The app id has {len(login.app_id)} characters; it has to have {APP_ID_LENGTH} visible ones.",
                hint="Give the server's app id with --app-id or RTM_APP_ID.",
            )
        self._token = login.token() if isinstance(login.token, Minter) else login.token
        self._user = login.user or f"rtm-doctor-{secrets.token_hex(4)}"
        wrong = explain_invalid_id(self._user, "user id")
        if wrong:
            raise InvalidArgument(wrong, hint="Give another one with --user or RTM_USER_ID.")
        token = "no token" if self._token is None else "a token"
        finding = Finding(f"user {self._user}, app {login.app_id}, {token}")
        advice = None if self._token is None else self._doubt(self._token)
        return finding if advice is None else attrs.evolve(finding, advice=advice)

    def _doubt(self, token: str) -> str | None:
        """What is wrong with a token as far as it can be seen from here; the server has the last word."""
        try:
            _, claims = read_claims(token)
        except RtmError as error:
            return f"{error.message} See where it came from."
        if claims.get("sub") != self._user:
            return f"The token is for the user {claims.get('sub')!r}: make one for {self._user!r}."
        audience = claims.get("aud")
        if self._login.app_id not in (audience if isinstance(audience, list) else [audience]):
            return "The token is for another app: make one for this app id."
        expires = claims.get("exp")
        if isinstance(expires, int | float) and expires <= time.time():
            return f"The token expired {time.time() - expires:.0f} s ago by the clock here: make a new one."
        return None

    def choose_proxy(self) -> Finding:
        """See whether the way leads through an HTTP proxy."""
        endpoint = self._known_endpoint()
        self._proxy = choose_proxy(self._login.proxy, endpoint.host, endpoint.port, endpoint.tls)
        if self._proxy is None:
            return Finding("none")
        source = "the environment" if self._login.proxy == "auto" else "--proxy"
        return Finding(f"{self._proxy.host}, port {self._proxy.port}, from {source}")

    # --- The network ---------------------------------------------------------------

    def resolve(self) -> Finding:
        """Look the name of the server, or of the proxy, up."""
        host, port = self._first_hop()
        start = Clock.now()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NameResolutionError(
                f"The name {host} has no address: {getattr(error, 'strerror', None) or error}.",
                hint="Check its spelling, and that this machine's name servers (/etc/resolv.conf) answer.",
            ) from error
        for family, _, _, _, address in found:
            if (family, address) not in self._addresses:
                self._addresses.append((family, address))
        shown = ", ".join(dict.fromkeys(str(address[0]) for _, address in self._addresses))
        return Finding(f"{host} is {shown}{_took(start)}")

    def connect(self) -> Finding:
        """Connect to the first address that answers."""
        host, port = self._first_hop()
        failures: list[str] = []
        last: OSError | None = None
        for family, address in self._addresses:
            start = Clock.now()
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.settimeout(self._timeout)
            try:
                sock.connect(address)
            except OSError as error:
                sock.close()
                last = error
                failures.append(f"{address[0]}: {error.strerror or error}")
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = sock
            advice = f"These addresses do not answer: {'; '.join(failures)}." if failures else None
            return Finding(f"connected to {address[0]}, port {port}{_took(start)}", advice)
        kind = ConnectionFailed if self._proxy is None else ProxyError
        raise kind(
            f"No connection to {host}, port {port} ({'; '.join(failures)}).", hint=self._tcp_hint(last)
        ) from last

    def _tcp_hint(self, error: OSError | None) -> str:
        if self._proxy is not None:
            return "Check the proxy's host and port, or go without it: --proxy none."
        if isinstance(error, ConnectionRefusedError):
            return "Nothing listens there: start the server (rtm serve --dev), or correct host and port in --url."
        if isinstance(error, TimeoutError):
            return "Nothing answers: a firewall drops the packets, or the host is down. Try from another network."
        return "Check the network of this machine and the host in --url."

    def open_tunnel(self) -> Finding:
        """Ask the proxy for a way to the server."""
        assert self._proxy is not None
        endpoint, start = self._known_endpoint(), Clock.now()
        tunnel = ProxyConnect(
            endpoint.host, endpoint.port, username=self._proxy.username, password=self._proxy.password
        )
        sock = self._known_socket()
        sock.sendall(tunnel.request())
        for data in self._pieces(start + self._timeout, "The proxy did not answer"):
            if not data:
                tunnel.receive_eof()
            if tunnel.receive(data):
                break
        self._trailing = tunnel.trailing
        return Finding(f"the proxy leads to {endpoint.host}, port {endpoint.port}{_took(start)}")

    def start_tls(self) -> Finding:
        """Shake hands, and look at the certificate."""
        endpoint, start = self._known_endpoint(), Clock.now()
        settings = self._login.tls or TlsConfig()
        name = settings.server_hostname or endpoint.host
        context = settings.context()
        try:
            secured = context.wrap_socket(self._known_socket(), server_hostname=name)
        except ssl.SSLCertVerificationError as error:
            raise TlsError(
                f"The certificate is refused: {error.verify_message.rstrip('.')}.",
                hint=_VERIFY_HINTS.get(error.verify_code),
            ) from error
        except TimeoutError as error:
            raise _late("The server did not answer the TLS handshake", self._timeout) from error
        except (ssl.SSLError, OSError) as error:
            raise TlsError(
                f"The TLS handshake failed: {getattr(error, 'reason', None) or error}.",
                hint="See whether the server speaks TLS at this port; if it does not, the URL begins with ws://.",
            ) from error
        self._socket = secured
        certificate = secured.getpeercert() or {}
        return _judge_certificate(certificate, f"{secured.version()}{_took(start)}")

    # --- The protocol --------------------------------------------------------------

    def upgrade(self) -> Finding:
        """Turn the connection into a WebSocket."""
        endpoint, start = self._known_endpoint(), Clock.now()
        self._transport = ClientTransport(
            host=endpoint.authority,
            target=endpoint.target,
            subprotocols=tuple(CODECS),
            nonce=secrets.token_bytes(NONCE_BYTES),
            mask_key=lambda: secrets.token_bytes(4),
            now=start,
        )
        for event in self._events("The server did not answer the WebSocket upgrade"):
            if isinstance(event, Opened):
                return Finding(f"the server speaks {event.subprotocol}{_took(start)}")
        raise ConnectionFailed(
            "The server closed the connection instead of answering the WebSocket upgrade.",
            hint="See whether it expects TLS at this port: then the URL begins with wss://.",
        )

    def log_in(self) -> Finding:
        """Send the hello and wait for the session."""
        start = Clock.now()
        hello = Hello(
            app=self._login.app_id,
            user=self._user,
            token=self._token,
            iid=secrets.token_hex(INSTANCE_ID_MAX // 2),
            attempt=1,
            login=True,
            sdk="rtm doctor",
        )
        self._known_transport().send([hello], start)
        for packet in self._packets("The server did not answer the login"):
            if isinstance(packet, Refused):
                raise _refusal(packet)
            if isinstance(packet, Welcome):
                self._welcome, self._welcomed_at = packet, time.time()
            elif isinstance(packet, Ready) and self._welcome is not None:
                return Finding(f"logged in as {self._user} on {self._welcome.node}{_took(start)}")
        raise ConnectionFailed(
            "The server closed the connection instead of answering the login.", hint="See the server's log."
        )

    def compare_clocks(self) -> Finding:
        """Compare the clock here with the server's, as tokens are judged by both."""
        behind = self._known_welcome().now / _MS - self._welcomed_at
        if abs(behind) <= TOKEN_LEEWAY:
            return Finding(f"the clocks agree within {max(1.0, abs(behind)):.0f} s")
        which = "behind" if behind > 0 else "ahead of"
        return Finding(
            f"the clock here is {abs(behind):.0f} s {which} the server's",
            "Set the clock of this machine (NTP): tokens made here may count as expired or not yet valid.",
        )

    def measure(self) -> Finding:
        """Time requests that change nothing: leaving a channel that this user is not in."""
        times: list[float] = []
        for number in range(1, ROUND_TRIPS + 1):
            start = Clock.now()
            self._known_transport().send([Leave(number, "rtm-doctor")], start)
            for packet in self._packets("The server did not answer a request"):
                if isinstance(packet, Done | Failed) and packet.i == number:
                    times.append(Clock.now() - start)
                    break
            else:
                raise ConnectionFailed(
                    "The server closed the connection after the login.", hint="See its log."
                )
        return Finding(f"{min(times) * _MS:.1f} to {max(times) * _MS:.1f} ms for {ROUND_TRIPS} requests")

    def check_token(self) -> Finding:
        """See how long the token lasts."""
        welcome = self._known_welcome()
        if welcome.token_expires is None:
            return Finding("the server asks for none")
        left = (welcome.token_expires - welcome.now) / _MS
        text = f"valid for {left:.0f} s more"
        if left > TOKEN_WILL_EXPIRE_BEFORE:
            return Finding(text)
        then = (
            "the session ends then"
            if welcome.token_policy == "abort"
            else "a reconnect after that needs a new one"
        )
        return Finding(text, f"Make a token that lasts longer: {then}.")

    # --- Inside --------------------------------------------------------------------

    def _known_endpoint(self) -> Endpoint:
        assert self._endpoint is not None
        return self._endpoint

    def _known_socket(self) -> socket.socket:
        assert self._socket is not None
        return self._socket

    def _known_transport(self) -> ClientTransport:
        assert self._transport is not None
        return self._transport

    def _known_welcome(self) -> Welcome:
        assert self._welcome is not None
        return self._welcome

    def _first_hop(self) -> tuple[str, int]:
        if self._proxy is not None:
            return self._proxy.host, self._proxy.port
        endpoint = self._known_endpoint()
        return endpoint.host, endpoint.port

    def _flush(self) -> None:
        for data in self._known_transport().data_to_send():
            self._known_socket().sendall(data)

    def _pieces(self, deadline: float, silence: str) -> Iterator[bytes]:
        """What the peer sends, piece by piece, and an empty piece at its end."""
        sock = self._known_socket()
        while True:
            sock.settimeout(max(0.001, deadline - Clock.now()))
            try:
                data = sock.recv(READ_CHUNK)
            except TimeoutError as error:
                raise _late(silence, self._timeout) from error
            except OSError as error:
                raise ConnectionFailed(
                    f"The connection broke: {error.strerror or error}.",
                    hint="Something between here and the server ends connections: a firewall, a proxy, a limit.",
                ) from error
            yield data
            if not data:
                return

    def _events(self, silence: str) -> Iterator[Opened | Received]:
        """What the WebSocket says until it ends; an end for a reason is raised."""
        transport = self._known_transport()
        deadline = Clock.now() + self._timeout
        if self._trailing:
            transport.receive_data(self._trailing, Clock.now())
            self._trailing = b""
        self._flush()
        pieces = self._pieces(deadline, silence)
        while True:
            while (event := transport.next_event()) is not None:
                if isinstance(event, Closed):
                    if event.error is not None:
                        raise event.error
                    return
                if isinstance(event, Opened | Received):
                    yield event
            data = next(pieces, b"")
            if data:
                transport.receive_data(data, Clock.now())
            else:
                transport.receive_eof(Clock.now())
            transport.handle_timer(Clock.now())
            self._flush()

    def _packets(self, silence: str) -> Iterator[Packet]:
        for event in self._events(silence):
            if isinstance(event, Received):
                yield from event.packets


def _took(start: float) -> str:
    return f" ({(Clock.now() - start) * _MS:.1f} ms)"


def _late(silence: str, seconds: float) -> RequestTimeout:
    return RequestTimeout(
        f"{silence} within {seconds:g} s.",
        hint="See whether host and port are right, and whether a firewall or proxy swallows what is sent.",
    )


def _refusal(refused: Refused) -> RtmError:
    try:
        code = LoginError(refused.code)
        error = error_for(
            code,
            refused.text,
            operation="login",
            retry_after=None if refused.retry is None else refused.retry / _MS,
        )
    except ValueError:
        return RtmError(refused.text, operation="login")
    if code == LoginError.INVALID_APP_ID:
        error.hint = "Give the app id that the server was started with: --app-id or RTM_APP_ID."
    return error


def _judge_certificate(certificate: Any, text: str) -> Finding:
    issuer = dict(field[0] for field in certificate.get("issuer", ()))
    name = issuer.get("organizationName") or issuer.get("commonName") or "an unnamed issuer"
    ends = certificate.get("notAfter")
    if ends is None:
        return Finding(text)
    left = ssl.cert_time_to_seconds(ends) - time.time()
    finding = Finding(f"{text}, certificate from {name}, valid for {left / 86_400:.0f} days more")
    if left < _CERTIFICATE_SOON:
        return attrs.evolve(finding, advice="The certificate ends soon: have it renewed.")
    return finding
