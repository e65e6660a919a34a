"""The state of a room, made of its signaling and its media connection (seed 002), as tables.

The first table says how the two look together (rtm-facts, 4.3): for each state of signaling, each state of the media
link, and whether media has failed and is not back yet. The second says what that does to the room.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rtmcore.codes import IceTransportState, RoomErrorCode, RoomState
from rtmcore.connection.model import SignalingState
from rtmcore.connection.table import Rule, Table

_Ice = IceTransportState

_STARTING: Final = frozenset({_Ice.NEW, _Ice.CHECKING})


class RoomInput(enum.Enum):
    """How signaling and media look together; the first that fits."""

    SIGNALING_DISCONNECTED = "signaling is disconnected"
    SIGNALING_RECONNECTING = "signaling is reconnecting"
    MEDIA_FAILED = "media has failed"
    MEDIA_RESTARTING = "media that has failed is being connected"
    WHOLE = "nothing is missing, but for a moment perhaps"


class RoomEffect(enum.Enum):
    """What is told of it."""

    NOTHING = "nothing new"
    REPORT_SIGNALING = "reconnecting: the signaling"
    REPORT_MEDIA = "reconnecting: the media"
    REPORT_BACK = "reconnected"
    REPORT_END = "disconnected"


def _view(signaling: SignalingState, media: IceTransportState, *, failed: bool) -> RoomInput:
    if signaling is SignalingState.DISCONNECTED:
        return RoomInput.SIGNALING_DISCONNECTED
    if signaling is SignalingState.RECONNECTING:
        return RoomInput.SIGNALING_RECONNECTING
    if media is _Ice.FAILED:
        return RoomInput.MEDIA_FAILED
    return RoomInput.MEDIA_RESTARTING if failed and media in _STARTING else RoomInput.WHOLE


VIEWS: Final[Mapping[tuple[SignalingState, IceTransportState, bool], RoomInput]] = MappingProxyType(
    {
        (signaling, media, failed): _view(signaling, media, failed=failed)
        for signaling in (SignalingState.CONNECTED, SignalingState.RECONNECTING, SignalingState.DISCONNECTED)
        for media in IceTransportState
        for failed in (False, True)
    }
)
"""By signaling, media link, and whether media has failed and is not back yet; the media link keeps that flag, also
while signaling is away. Before signaling is connected there is no room."""

_CONNECTED: Final = RoomState.CONNECTED
_RECONNECTING: Final = RoomState.RECONNECTING
_DISCONNECTED: Final = RoomState.DISCONNECTED
_NOTHING: Final = RoomEffect.NOTHING

ROOM_STATE_TABLE: Final[Table[RoomState, RoomInput, RoomEffect]] = Table(
    "Room",
    _CONNECTED,
    {
        (_CONNECTED, RoomInput.SIGNALING_DISCONNECTED): Rule(RoomEffect.REPORT_END, _DISCONNECTED),
        (_CONNECTED, RoomInput.SIGNALING_RECONNECTING): Rule(RoomEffect.REPORT_SIGNALING, _RECONNECTING),
        (_CONNECTED, RoomInput.MEDIA_FAILED): Rule(RoomEffect.REPORT_MEDIA, _RECONNECTING),
        (_CONNECTED, RoomInput.MEDIA_RESTARTING): Rule(RoomEffect.REPORT_MEDIA, _RECONNECTING),
        (_CONNECTED, RoomInput.WHOLE): Rule(_NOTHING, _CONNECTED),
        (_RECONNECTING, RoomInput.SIGNALING_DISCONNECTED): Rule(RoomEffect.REPORT_END, _DISCONNECTED),
        # A second cause is no news.
        (_RECONNECTING, RoomInput.SIGNALING_RECONNECTING): Rule(_NOTHING, _RECONNECTING),
        (_RECONNECTING, RoomInput.MEDIA_FAILED): Rule(_NOTHING, _RECONNECTING),
        (_RECONNECTING, RoomInput.MEDIA_RESTARTING): Rule(_NOTHING, _RECONNECTING),
        (_RECONNECTING, RoomInput.WHOLE): Rule(RoomEffect.REPORT_BACK, _CONNECTED),
        **{(_DISCONNECTED, given): Rule(_NOTHING, _DISCONNECTED) for given in RoomInput},
    },
)
"""All rules; a room begins connected, and nothing leaves DISCONNECTED."""

ROOM_REASONS: Final[Mapping[RoomEffect, RoomErrorCode]] = MappingProxyType(
    {
        RoomEffect.REPORT_SIGNALING: RoomErrorCode.SIGNALING_CONNECTION_DISCONNECTED,
        RoomEffect.REPORT_MEDIA: RoomErrorCode.MEDIA_CONNECTION,
    }
)
"""The documented code of an effect that has one; the end has that of its cause."""
