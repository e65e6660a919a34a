"""RTC channels and rooms in memory: the public classes, with drivers without threads."""

from collections.abc import Iterable
from typing import Any

from rtmcore.client.room import RoomCore
from rtmcore.client.rtc import RtcCore
from rtmsync.config import RoomConfig
from rtmsync.driver.clock import Timeout
from rtmsync.driver.router import Callback
from rtmsync.room import Room, RoomDriver
from rtmsync.rtc import RtcChannel, RtcDriver
from rtmsync.testing.memory.driver import MemoryDriver
from rtmsync.testing.memory.machine import Machine


class MemoryRtcDriver(MemoryDriver[RtcCore], RtcDriver):
    """The driver of a `MemoryRtcChannel`."""


class MemoryRoomDriver(MemoryDriver[RoomCore], RoomDriver):
    """The driver of a `MemoryRoom`."""


class MemoryRtcChannel(RtcChannel):
    """An RTC channel in memory.

    Args:
        machine: Drives the node.
        url: What stands where a server's URL would.
        options: See `RtcChannel`.
    """

    def __init__(self, machine: Machine, url: str, **options: Any) -> None:
        self._machine = machine
        super().__init__(url, **options)

    def _make_driver(self, callbacks: Iterable[Callback]) -> MemoryRtcDriver:
        return MemoryRtcDriver(self._machine, self._config, callbacks)


class MemoryRoom(Room):
    """A room in memory.

    Args:
        machine: Drives the node.
        config: The settings.
    """

    def __init__(self, machine: Machine, config: RoomConfig) -> None:
        self._machine = machine
        super().__init__(config)

    def connect(self, timeout: Timeout) -> None:
        """Do what `connect_room` does."""
        try:
            self._connect(timeout)
        except BaseException:
            self.close()
            raise

    def _make_driver(self, callbacks: Iterable[Callback]) -> MemoryRoomDriver:
        return MemoryRoomDriver(self._machine, self._config, callbacks)
