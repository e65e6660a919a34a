"""Tickets: what lets somebody upload and download for a short while, signed by the server and kept nowhere."""

import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Final

import attrs

from rtmcore.limits import MEDIA_TICKET_LENGTH, MEDIA_TICKET_SECONDS
from rtmcore.service.grants import DOWN, UP, Grant

SECRET_BYTES: Final = 32
"""Bytes of the secret that tickets are signed with."""

_FORM: Final = re.compile(r"t1\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})")


@attrs.frozen
class Ticket:
    """What a ticket says.

    Attributes:
        app: The app that it is good for.
        user: Who it was given to.
        may: `grants.UP` and `grants.DOWN`, or one of them.
        expires: Milliseconds since 1970.
        issued: The same, of when it was given.
    """

    app: str
    user: str
    may: tuple[str, ...]
    expires: int
    issued: int


class BadTicket(Exception):
    """A ticket is not good; the sentence is for its bearer."""


class TicketOffice:
    """Issues tickets and verifies them.

    Args:
        secret: `SECRET_BYTES` unpredictable bytes, which nobody else knows. Tickets are good as long as it stays.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES:
            raise ValueError(f"The secret of tickets has {len(secret)} bytes; it needs {SECRET_BYTES}.")
        self._key = sha256(b"tickets of rtm.v1 transfers " + secret).digest()

    def issue(self, app: str, user: str, grant: Grant, wall_ms: int) -> tuple[str, Ticket]:
        """Make a ticket: it ends after `limits.MEDIA_TICKET_SECONDS`, or with the token where that is earlier.

        Args:
            app: The app id.
            user: The user id.
            grant: What the user's token permits.
            wall_ms: Milliseconds since 1970.

        Returns:
            The ticket's text, and what it says.
        """
        expires = wall_ms + MEDIA_TICKET_SECONDS * 1000
        if grant.expires is not None:
            expires = min(expires, grant.expires)
        ticket = Ticket(app, user, tuple(grant.transfers), expires, wall_ms)
        said = json.dumps([app, user, *([way in ticket.may for way in (UP, DOWN)]), expires, wall_ms])
        body = _text(said.encode())
        return f"t1.{body}.{_text(self._sign(body))}", ticket

    def verify(self, text: str, app: str, wall_ms: int) -> Ticket:
        """Judge a ticket.

        Args:
            text: As somebody brought it.
            app: The app that it is used for.
            wall_ms: Milliseconds since 1970.

        Returns:
            What it says.

        Raises:
            BadTicket: It was not issued here, has been changed, is for another app, or has expired.
        """
        found = _FORM.fullmatch(text) if len(text) <= MEDIA_TICKET_LENGTH else None
        if found is None or not hmac.compare_digest(_text(self._sign(found[1])), found[2]):
            raise BadTicket("The ticket is missing or wrong.")
        known, user, up, down, expires, issued = json.loads(_bytes(found[1]))
        if not hmac.compare_digest(known.encode(), app.encode("utf-8", "replace")):
            raise BadTicket("The ticket is for another app.")
        if wall_ms >= expires:
            raise BadTicket("The ticket has expired; ask for another one.")
        may = tuple(way for way, permitted in ((UP, up), (DOWN, down)) if permitted)
        return Ticket(known, user, may, expires, issued)

    def _sign(self, body: str) -> bytes:
        return hmac.new(self._key, body.encode(), sha256).digest()


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
