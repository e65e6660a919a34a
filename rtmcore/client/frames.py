"""Data frames of rooms and RTC channels: numbered where they are sent, and counted where they arrive.

A frame is sent once and never repeated: what a slow or absent receiver missed shows as a gap in the numbers.
"""

from collections import deque

from rtmcore.errors import LimitExceeded
from rtmcore.limits import DATA_FRAMES_KEPT, DATA_TRACKS, ROOM_PARTICIPANTS
from rtmcore.wire.packets import Data

_COUNTED = DATA_TRACKS * ROOM_PARTICIPANTS
"""Tracks of others that are counted at the same time; beyond, the longest known are forgotten."""


class OutgoingFrames:
    """Numbers the frames of this client's tracks, and keeps the newest while there is no transport."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._kept: deque[Data] = deque(maxlen=DATA_FRAMES_KEPT)

    def make(self, track: str, body: bytes) -> Data:
        """Make the next frame of a track.

        Raises:
            LimitExceeded: `limits.DATA_TRACKS` are in use.
        """
        number = self._numbers.get(track, 0) + 1
        if number == 1 and len(self._numbers) >= DATA_TRACKS:
            raise LimitExceeded(
                f"This client sends on {DATA_TRACKS} data tracks already, which is the limit.",
                operation="send_data",
                hint="Send on one of the tracks in use.",
            )
        self._numbers[track] = number
        return Data(number, body, track)

    @property
    def waiting(self) -> bool:
        """Whether frames are kept."""
        return bool(self._kept)

    def keep(self, frame: Data) -> None:
        """Keep a frame until there is a transport; the oldest goes when there are too many."""
        self._kept.append(frame)

    def take_kept(self) -> list[Data]:
        """What was kept, oldest first; it is kept no longer."""
        kept = list(self._kept)
        self._kept.clear()
        return kept


class IncomingFrames:
    """Counts the frames of others, to tell how many are missing."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], int] = {}

    def dropped_before(self, user: str, track: str, number: int) -> int:
        """Count a frame.

        Args:
            user: Who sent it.
            track: Its track.
            number: Its number in the track; one that is not larger than the last is of a sender who began anew.

        Returns:
            Frames of its track that are missing between it and the one before; 0 for the first.
        """
        key = (user, track)
        newest = self._newest.get(key)
        if newest is None and len(self._newest) >= _COUNTED:
            del self._newest[next(iter(self._newest))]
        self._newest[key] = number
        return 0 if newest is None else max(0, number - newest - 1)

    def forget(self, user: str) -> None:
        """A sender is gone."""
        for key in [key for key in self._newest if key[0] == user]:
            del self._newest[key]

    def clear(self) -> None:
        """All senders are gone."""
        self._newest.clear()
