"""State machines as data: what each input does in each state, and which combinations must not happen."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Generic, TypeVar

import attrs

from rtmcore.errors import LocalProtocolError

S = TypeVar("S", bound=Enum)
"""The states of a machine."""
I = TypeVar("I", bound=Enum)  # noqa: E741 - the letter of the pair (state, input)
"""The inputs of a machine."""
E = TypeVar("E", bound=Enum)
"""What its owner has to do."""


@attrs.frozen
class Rule(Generic[E, S]):
    """What an input does in a state."""

    effect: E
    """What the owner of the machine does."""
    target: S
    """The state afterwards; often the same one."""


class Table(Generic[S, I, E]):
    """The rules of one kind of machine.

    Args:
        name: Of the machine, for messages and diagrams.
        initial: The state in which it begins.
        rules: By state and input. A combination that is missing is a mistake of the owner.

    Attributes:
        name: See above.
        initial: See above.
        rules: See above, read-only.
    """

    def __init__(self, name: str, initial: S, rules: Mapping[tuple[S, I], Rule[E, S]]) -> None:
        self.name = name
        self.initial = initial
        self.rules: Mapping[tuple[S, I], Rule[E, S]] = MappingProxyType(dict(rules))

    def rule(self, state: S, given: I) -> Rule[E, S]:
        """The rule for an input in a state.

        Raises:
            LocalProtocolError: There is none: the owner must not give this input in this state.
        """
        found = self.rules.get((state, given))
        if found is None:
            raise LocalProtocolError(
                f"The {self.name} machine has no rule for the input {given.name} in the state {state.name}.",
                state=state.name,
            )
        return found
