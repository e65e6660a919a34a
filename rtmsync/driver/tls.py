"""TLS as one more layer of bytes in and bytes out: an SSLObject between two memory buffers."""

import ssl
from typing import Final

import attrs

from rtmcore.errors import TlsError

_READ: Final = 65_536


@attrs.frozen
class TlsConfig:
    """How to recognise the server, and how to show who one is.

    Attributes:
        ca_file: Certificates to trust instead of the system's, a PEM file.
        cert_file: One's own certificate with its chain, a PEM file, where the server wants to see one.
        key_file: Its private key; by default in `cert_file` as well.
        server_hostname: The name that the server's certificate must be for; by default the URL's host.
        min_version: The oldest version to accept; by default what the system's OpenSSL accepts.
        insecure: Trust anybody, for experiments: whoever is on the way reads and changes everything. Each connect
            logs a warning.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_hostname: str | None = None
    min_version: ssl.TLSVersion | None = None
    insecure: bool = False

    def context(self) -> ssl.SSLContext:
        """An SSL context for clients with these settings.

        Raises:
            TlsError: A file cannot be read, or is not what it should be.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except OSError as error:
            files = ", ".join(
                name for name in (self.ca_file, self.cert_file, self.key_file) if name is not None
            )
            raise TlsError(
                f"The certificates in {files} cannot be used: {error}.",
                hint="Give paths of readable PEM files; a key must belong to its certificate.",
            ) from error
        if self.min_version is not None:
            context.minimum_version = self.min_version
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        return context


class TlsLayer:
    """One TLS connection: ciphertext on one side, plaintext on the other.

    After each call there may be something in `data_to_send`.

    Args:
        context: For the role that this side plays.
        server_hostname: The name that the peer must prove, for a client.
        server_side: Which role that is.

    Attributes:
        handshaken: Whether plaintext can be sent.
        ended: Whether the peer has said that nothing follows.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "ended", "handshaken")

    def __init__(
        self, context: ssl.SSLContext, *, server_hostname: str | None = None, server_side: bool = False
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self.handshaken = False
        self.ended = False

    def receive(self, data: bytes) -> bytes:
        """Take ciphertext from the socket; with `b""` the handshake begins.

        Returns:
            The plaintext in it; may be empty.

        Raises:
            TlsError: The peer cannot be trusted, does not trust this side, or does not speak TLS.
        """
        if data:
            self._incoming.write(data)
        pieces: list[bytes] = []
        try:
            if not self.handshaken:
                self._object.do_handshake()
                self.handshaken = True
            while not self.ended:
                piece = self._object.read(_READ)
                if piece:
                    pieces.append(piece)
                else:
                    self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            raise _explained(error, self.handshaken) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def encrypt(self, data: bytes) -> bytes:
        """Turn plaintext into ciphertext, together with what TLS itself has to say before it.

        Raises:
            TlsError: The connection cannot carry data any more.
        """
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            raise _explained(error, self.handshaken) from error
        return self._outgoing.read()

    def end(self) -> None:
        """Say that no more plaintext follows."""
        try:
            self._object.unwrap()
        except (ssl.SSLError, OSError, ValueError):
            pass  # the peer's own end may be missing still; nobody waits for it

    @property
    def has_output(self) -> bool:
        """Whether `data_to_send` has something."""
        return self._outgoing.pending > 0

    def data_to_send(self) -> bytes:
        """Ciphertext for the socket; may be empty."""
        return self._outgoing.read()


def _explained(error: ssl.SSLError, handshaken: bool) -> TlsError:
    """Say what an OpenSSL error means, in the words of whoever has to mend it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsError(
            f"The server's certificate is not trusted: {error.verify_message}.",
            hint="Check the host name and the server's certificate, or name its issuer with TlsConfig(ca_file=...).",
        )
    reason = (error.reason or str(error)).replace("_", " ").lower()
    hints = {
        "wrong version number": "The server does not speak TLS at this port; use ws:// or another port.",
        "tlsv13 alert certificate required": "The server wants to see a certificate: TlsConfig(cert_file=...).",
        "tlsv1 alert unknown ca": "The server does not know the issuer of this client's certificate.",
        "tlsv1 alert protocol version": "The server wants another TLS version than this side accepts.",
        "unsupported protocol": "The server wants an older TLS version than this side accepts.",
    }
    when = "failed" if handshaken else "handshake failed"
    return TlsError(f"TLS {when}: {reason}.", hint=hints.get(reason))
