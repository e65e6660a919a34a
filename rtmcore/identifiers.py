"""The shape of user, channel and app ids.

User and channel ids follow one rule: 1 to 64 bytes, of 89 allowed characters (all of them ASCII), and not the
word ``null``. App ids are exactly 32 visible ASCII characters. The figures stand in :mod:`rtmcore.limits`.
"""

from rtmcore.limits import APP_ID_LENGTH, ID_CHARACTERS, USER_ID_BYTES

_RESERVED = "null"


def is_valid_id(value: object, most: int = USER_ID_BYTES) -> bool:
    """Whether a value can be a user id or a channel id.

    Args:
        value: Anything; only a `str` can be valid.
        most: Bytes that it may have.

    Returns:
        True for 1 to 64 allowed characters that are not the word ``null``.
    """
    return (
        isinstance(value, str)
        and 0 < len(value) <= most
        and ID_CHARACTERS.issuperset(value)
        and value != _RESERVED
    )


def explain_invalid_id(value: object, what: str, most: int = USER_ID_BYTES) -> str | None:
    """Say what is wrong with a user id or channel id.

    Args:
        value: Anything.
        what: What the value is meant to be, in the words of the caller, for example ``"user id"``.
        most: Bytes that it may have.

    Returns:
        One sentence, or None when the value is valid. The value itself is not repeated, since it may be of any
        length and of any origin.
    """
    if is_valid_id(value, most):
        return None
    if not isinstance(value, str):
        return f"The {what} has to be a string, not {type(value).__name__}."
    if not value:
        return f"The {what} is empty; it has to have 1 to {most} bytes."
    size = len(value.encode("utf-8", "surrogatepass"))
    if size > most:
        return f"The {what} has {size} bytes; at most {most} are allowed."
    if value == _RESERVED:
        return f'The {what} is the word "{_RESERVED}", which is reserved.'
    wrong = sorted(set(value) - ID_CHARACTERS)
    shown = " ".join(ascii(character) for character in wrong)
    return (
        f"The {what} contains {shown}; allowed are letters a-z and A-Z, digits, the space, "
        "the comma, and ! # $ % & ( ) + - : ; < = . > ? @ [ ] ^ _ { } | ~"
    )


def is_valid_app_id(value: object) -> bool:
    """Whether a value has the shape of an app id; whether a server serves it is the server's answer.

    Args:
        value: Anything; only a `str` can be valid.

    Returns:
        True for exactly 32 visible ASCII characters.
    """
    return (
        isinstance(value, str)
        and len(value) == APP_ID_LENGTH
        and all("!" <= character <= "~" for character in value)
    )
