"""How a token is refused: with the code of a login, and as a room calls it."""

from rtmcore.codes import LoginError, RoomErrorCode
from rtmcore.errors import AuthError, error_for


def refusal(
    code: LoginError, message: str, detail: RoomErrorCode = RoomErrorCode.ACCESS_TOKEN_INVALID
) -> AuthError:
    """The error for a token that is not good.

    Args:
        code: What the login ends with.
        message: What is wrong, in a sentence without the token.
        detail: The same as a room calls it.
    """
    error = error_for(code, message, operation="login")
    assert isinstance(error, AuthError)
    error.detail = detail
    return error
