"""Attributes of users: they live and end with the user's session."""

from collections.abc import Iterable
from typing import Final

from rtmcore.codes import AttributeOperationError
from rtmcore.service.commands.attributes import Attributes, ChangeAttributes, ReadAttributes, WriteAttributes
from rtmcore.service.commands.results import Refusal, Settled
from rtmcore.service.memory.results import fitting
from rtmcore.service.memory.state import FENCED, Outlet, State

_SETTLED: Final = Settled()
_NOT_FOUND: Final = Refusal(
    AttributeOperationError.USER_NOT_FOUND, "The user is not online, and only who is online has attributes."
)


class UserAttributes:
    """Carries out the commands about attributes of users.

    Args:
        state: What it shares with the other parts.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def write(self, outlet: Outlet, command: WriteAttributes, now: float, wall: int) -> None:
        """Carry out `WriteAttributes`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        results = live.instance.results
        known = results.look_up(command.cmid, command.floor)
        if known is not None:
            outlet.answer(command, fitting(known, Settled))
            return
        live.attributes = command.attributes
        results.keep(command.cmid, _SETTLED)
        outlet.answer(command, _SETTLED)

    def change(self, outlet: Outlet, command: ChangeAttributes, now: float, wall: int) -> None:
        """Carry out `ChangeAttributes`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        results = live.instance.results
        known = results.look_up(command.cmid, command.floor)
        if known is not None:
            outlet.answer(command, fitting(known, Settled))
            return
        attributes = dict(live.attributes)
        for key in command.deleted:
            attributes.pop(key, None)
        attributes.update(command.changed)
        caps = self._state.caps
        value: Settled | Refusal = _SETTLED
        trouble = oversize(attributes.items(), "user", caps.user_attributes, caps.user_attributes_bytes)
        if trouble is None:
            live.attributes = tuple(attributes.items())
        else:
            value = trouble
        results.keep(command.cmid, value)
        outlet.answer(command, value)

    def read(self, outlet: Outlet, command: ReadAttributes, now: float, wall: int) -> None:
        """Carry out `ReadAttributes`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        account = live.account.peers.get(command.user)
        if account is None or account.live is None:
            outlet.answer(command, _NOT_FOUND)
            return
        attributes = account.live.attributes
        if command.keys is not None:
            wanted = frozenset(command.keys)
            attributes = tuple((key, value) for key, value in attributes if key in wanted)
        outlet.answer(command, Attributes(attributes))


def oversize(attributes: Iterable[tuple[str, str]], owner: str, count: int, size: int) -> Refusal | None:
    """Why these cannot be all the attributes of somebody; None where they can.

    Args:
        attributes: Keys and values.
        owner: Whose they would be, as the text names it.
        count: How many there may be.
        size: UTF-8 bytes that all keys and values may have together.
    """
    pairs = list(attributes)
    if len(pairs) > count:
        return Refusal(
            AttributeOperationError.SIZE_OVERFLOW,
            f"A {owner} can have {count} attributes, and this would make {len(pairs)}: delete some first.",
        )
    total = sum(len(key.encode()) + len(value.encode()) for key, value in pairs)
    if total > size:
        return Refusal(
            AttributeOperationError.SIZE_OVERFLOW,
            f"All attributes of a {owner} can have {size} bytes, and this would make {total}: delete some first.",
        )
    return None
