"""New tokens for sessions that are logged in, and what an old one's end does to them."""

from rtmcore.codes import LoginError, RenewTokenError
from rtmcore.errors import AuthError
from rtmcore.figures import RENEWALS
from rtmcore.limits import TOKEN_BYTES
from rtmcore.service.commands.names import Session
from rtmcore.service.config import ABORT
from rtmcore.service.connections import NEVER, Connection
from rtmcore.service.context import NodeContext
from rtmcore.service.desk import Desk
from rtmcore.service.grants import Grant, TokenVerifier, login_code
from rtmcore.wire.packets import Renewed, RenewToken


class Renewals:
    """Takes new tokens, each verified as at a login of the same name.

    What a new token permits is asked of it from the next request on: channels that it no longer names are not left.

    Args:
        context: The node's common ground.
        desk: Takes requests in.
        verify: Verifies tokens.
    """

    def __init__(self, context: NodeContext, desk: Desk, verify: TokenVerifier) -> None:
        self._context = context
        self._desk = desk
        self._verify = verify

    def renew(self, connection: Connection, session: Session, packet: RenewToken) -> None:
        """Carry out a renewal, or refuse it."""
        fail = self._desk.fail
        if not packet.token:
            fail(connection, packet, RenewTokenError.INVALID_ARGUMENT, "The token is empty.")
            return
        if len(packet.token) > TOKEN_BYTES:
            text = f"The token is longer than {TOKEN_BYTES} bytes."
            fail(connection, packet, RenewTokenError.INVALID_TOKEN, text)
            return
        if not self._desk.admit_rare(connection, packet, RENEWALS):
            return
        name = session.name
        try:
            grant = self._verify(name.app, name.name, packet.token, self._context.wall // 1000)
        except AuthError as error:
            expired = login_code(error) is LoginError.TOKEN_EXPIRED
            code = RenewTokenError.TOKEN_EXPIRED if expired else RenewTokenError.INVALID_TOKEN
            fail(connection, packet, code, error.message)
            return
        if not grant.may_log_in(name.kind, name.scope):
            text = "The token does not permit what the session is for."
            fail(connection, packet, RenewTokenError.INVALID_TOKEN, text)
            return
        connection.grant = grant
        self.watch(connection, grant)
        connection.say(Renewed(packet.i, grant.expires, self._context.wall // 1000))

    def watch(self, connection: Connection, grant: Grant) -> None:
        """Note when a token ends, where that ends the session."""
        connection.token_due = NEVER
        if grant.expires is not None and self._context.config.token_policy == ABORT:
            left = grant.expires / 1000 - self._context.wall / 1_000_000
            connection.token_due = self._context.now + left
            self._context.schedule(connection, connection.token_due)
