"""The state of another participant of a room, as this one is told of it (seed 002), as a table.

It is about the participant's signaling alone. A participant begins connected; one that is met while its signaling is
interrupted begins reconnecting.
"""

import enum
from typing import Final

from rtmcore.codes import ParticipantState
from rtmcore.connection.table import Rule, Table


class ParticipantInput(enum.Enum):
    """What the server tells of a participant."""

    INTERRUPTED = "its signaling is interrupted"
    BACK = "its signaling is back"
    LEFT = "it leaves, or does not come back in time"
    ROOM_OVER = "one's own room is disconnected"


class ParticipantEffect(enum.Enum):
    """What the application is told."""

    NOTHING = "nothing new"
    REPORT_RECONNECTING = "participantReconnecting"
    REPORT_RECONNECTED = "participantReconnected"
    REPORT_DISCONNECTED = "participantDisconnected"


_CONNECTED: Final = ParticipantState.CONNECTED
_RECONNECTING: Final = ParticipantState.RECONNECTING
_DISCONNECTED: Final = ParticipantState.DISCONNECTED
_Input = ParticipantInput
_Effect = ParticipantEffect

PARTICIPANT_TABLE: Final[Table[ParticipantState, ParticipantInput, ParticipantEffect]] = Table(
    "Participant",
    _CONNECTED,
    {
        (_CONNECTED, _Input.INTERRUPTED): Rule(_Effect.REPORT_RECONNECTING, _RECONNECTING),
        (_CONNECTED, _Input.BACK): Rule(_Effect.NOTHING, _CONNECTED),
        (_CONNECTED, _Input.LEFT): Rule(_Effect.REPORT_DISCONNECTED, _DISCONNECTED),
        (_RECONNECTING, _Input.INTERRUPTED): Rule(_Effect.NOTHING, _RECONNECTING),
        (_RECONNECTING, _Input.BACK): Rule(_Effect.REPORT_RECONNECTED, _CONNECTED),
        (_RECONNECTING, _Input.LEFT): Rule(_Effect.REPORT_DISCONNECTED, _DISCONNECTED),
        # The room's own event says it of all of them.
        (_CONNECTED, _Input.ROOM_OVER): Rule(_Effect.NOTHING, _DISCONNECTED),
        (_RECONNECTING, _Input.ROOM_OVER): Rule(_Effect.NOTHING, _DISCONNECTED),
    },
)
"""All rules; nothing leaves DISCONNECTED: whoever comes back is another participant."""
