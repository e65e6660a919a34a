"""What the parts of a client need to make requests, and the arguments that several of them have."""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, Final, Protocol

from rtmcore.arguments import explain_invalid_attributes, explain_invalid_keys
from rtmcore.client.requests import Operation, Ticket
from rtmcore.connection.model import State
from rtmcore.errors import InvalidArgument, error_for
from rtmcore.figures import Sizes
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import REQUEST_OVERHEAD, USER_ID_BYTES

_LISTED_NAME: Final = USER_ID_BYTES + 8
_LISTED_ATTRIBUTE: Final = 16
_ESCAPED: Final = 6


class Calls(Protocol):
    """What makes requests for the parts of a client."""

    def begin(self, operation: Operation, now: float) -> None:
        """Note the time, and refuse a call that needs a login where there is none."""

    def admit(self, operation: Operation, size: int, now: float) -> None:
        """Refuse a call for which there is no room, or that comes too often."""

    def request(self, operation: Operation, packet: Any, size: int, timeout: float, now: float) -> Ticket:
        """Take in a request, and write it as soon as that is possible."""

    @property
    def sizes(self) -> Sizes:
        """The sizes and counts in force."""

    @property
    def current_state(self) -> State:
        """The connection's state, for errors."""


def invalid(calls: Calls, operation: Operation, text: str, code: IntEnum | None = None) -> InvalidArgument:
    """The error for an argument that is not possible.

    Args:
        calls: Knows the state.
        operation: The call.
        text: What is wrong.
        code: Where it is not the operation's usual one.
    """
    return InvalidArgument(
        text, code=code or operation.invalid, operation=operation.name, state=calls.current_state.name
    )


def refuse(calls: Calls, operation: Operation, wrong: tuple[IntEnum, str] | None) -> None:
    """Raise what is wrong with an argument, if anything is."""
    if wrong is not None:
        code, text = wrong
        raise error_for(code, text, operation=operation.name, state=calls.current_state.name)


def checked_list(calls: Calls, operation: Operation, values: Iterable[str], what: str) -> list[str]:
    """Strings as a list; a single string is none.

    Raises:
        InvalidArgument: This cannot be iterated over, or is a string.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidArgument(
            f"{what} are a list of strings, not {type(values).__name__}.",
            code=operation.invalid,
            operation=operation.name,
            state=calls.current_state.name,
            hint="Put a single one into a list.",
        )
    return list(values)


def check_channel(calls: Calls, operation: Operation, channel: object) -> None:
    """See that a channel has a valid id.

    Raises:
        InvalidArgument: It has not.
    """
    wrong = explain_invalid_id(channel, "channel id", calls.sizes.channel_id)
    if wrong is not None:
        raise invalid(calls, operation, wrong)


def checked_attributes(
    calls: Calls, operation: Operation, attributes: Mapping[str, str], *, of_channel: bool
) -> dict[str, str]:
    """A copy of attributes.

    Raises:
        InvalidArgument: A key or value is not valid.
        LimitExceeded: They are too many or too large.
    """
    if not isinstance(attributes, Mapping):
        raise invalid(
            calls, operation, f"Attributes are a mapping of strings, not {type(attributes).__name__}."
        )
    copied = dict(attributes)
    refuse(calls, operation, explain_invalid_attributes(copied, of_channel=of_channel, sizes=calls.sizes))
    return copied


def checked_keys(calls: Calls, operation: Operation, keys: Iterable[str], *, of_channel: bool) -> list[str]:
    """Keys of attributes, each once.

    Raises:
        InvalidArgument: A key is not valid, or there is none.
        LimitExceeded: They are too many.
    """
    listed = checked_list(calls, operation, keys, "Keys")
    refuse(calls, operation, explain_invalid_keys(listed, of_channel=of_channel, sizes=calls.sizes))
    return list(dict.fromkeys(listed))


def names_size(names: list[str]) -> int:
    """Bytes that a request with a list of user or channel ids needs at most."""
    return REQUEST_OVERHEAD + _LISTED_NAME * len(names)


def attributes_size(attributes: Mapping[str, str]) -> int:
    """Bytes that attributes need at most, in whichever encoding (JSON escapes a character with six bytes)."""
    return REQUEST_OVERHEAD + sum(
        _LISTED_ATTRIBUTE + _ESCAPED * (len(key) + len(value)) for key, value in attributes.items()
    )


def keys_size(keys: Iterable[str]) -> int:
    """Bytes that keys of attributes need at most, in whichever encoding."""
    return REQUEST_OVERHEAD + sum(_LISTED_ATTRIBUTE + _ESCAPED * len(key) for key in keys)
