"""Tokens of the simulation: who they are for and until when, readable; signing them is not what is tested here."""

from rtmcore.codes import LoginError
from rtmcore.errors import InvalidToken, TokenExpired
from rtmcore.service.grants import Grant


def make_token(user: str, expires_ms: int) -> str:
    """A token of a user, good until a time in milliseconds since 1970."""
    return f"{user}|{expires_ms}"


def verify(user: str, token: str | None, wall_ms: int) -> Grant:
    """Judge a token; a client without one is let in for ever."""
    if token is None:
        return Grant()
    owner, _, expires = token.rpartition("|")
    if owner != user:
        raise InvalidToken("The token is another user's.", code=LoginError.INVALID_TOKEN, operation="login")
    if int(expires) <= wall_ms:
        raise TokenExpired("The token has expired.", code=LoginError.TOKEN_EXPIRED, operation="login")
    return Grant(expires=int(expires))
