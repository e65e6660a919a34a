"""Every state machine by its name, for those who draw or print them."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

import attrs

from rtmcore.connection.diagram import rows
from rtmcore.connection.invitations import LOCAL_TABLE, REMOTE_TABLE
from rtmcore.connection.participants import PARTICIPANT_TABLE
from rtmcore.connection.room import ROOM
from rtmcore.connection.room_state import ROOM_REASONS, ROOM_STATE_TABLE
from rtmcore.connection.rtc import RTC
from rtmcore.connection.rtm import RTM
from rtmcore.connection.table import Table


@attrs.frozen
class Machine:
    """A state machine with what people want to know of it.

    Attributes:
        title: What it is about.
        source: The file in which its rules stand.
        table: The states and what leads from one to another.
        reasons: The documented reason of each effect that has one.
    """

    title: str
    source: str
    table: Table[Any, Any, Any]
    reasons: Mapping[Any, Any] = MappingProxyType({})

    @property
    def states(self) -> list[Enum]:
        """Every state, in the order of its enumeration."""
        kind: type[Enum] = type(self.table.initial)
        return list(kind)

    def reason(self, effect: str) -> str:
        """The name and number of the reason that goes with an effect's words; empty where it has none."""
        found = [reason for one, reason in self.reasons.items() if one.value == effect]
        return f"{found[0].name} {found[0].value}" if found else ""

    def rules(self) -> list[tuple[str, str, str, str, str]]:
        """State, input, next state, reason and effect of each rule, in words, state by state."""
        order = [state.name for state in self.states]
        found = [
            (state, given, target, self.reason(effect), effect)
            for state, given, effect, target in rows(self.table)
        ]
        return sorted(found, key=lambda rule: order.index(rule[0]))


MACHINES: Final[Mapping[str, Machine]] = MappingProxyType(
    {
        "rtm": Machine("The RTM connection", "rtmcore/connection/rtm.py", RTM.table, RTM.reasons),
        "rtc": Machine("The RTC connection", "rtmcore/connection/rtc.py", RTC.table, RTC.reasons),
        "room": Machine("The signaling of a room", "rtmcore/connection/room.py", ROOM.table, ROOM.reasons),
        "room-state": Machine(
            "The state of a room", "rtmcore/connection/room_state.py", ROOM_STATE_TABLE, ROOM_REASONS
        ),
        "room-participant": Machine(
            "Another participant of a room", "rtmcore/connection/participants.py", PARTICIPANT_TABLE
        ),
        "invitation-local": Machine(
            "A call invitation at its caller", "rtmcore/connection/invitations.py", LOCAL_TABLE
        ),
        "invitation-remote": Machine(
            "A call invitation at its callee", "rtmcore/connection/invitations.py", REMOTE_TABLE
        ),
    }
)
"""The name that the pages of the documentation and `rtm states` have for each."""
