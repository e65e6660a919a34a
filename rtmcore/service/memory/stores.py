"""How much is stored on behalf of whom."""

import attrs

from rtmcore.limits import DAY
from rtmcore.service.commands import Name
from rtmcore.service.memory.caps import Caps

_MICROSECONDS = 1_000_000


@attrs.define
class _Use:
    size: int = 0
    day: int = 0
    count: int = 0


class StoreUse:
    """Counts stored messages by sender, and in all.

    Args:
        caps: The caps to hold senders to.
    """

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self._total = 0
        self._senders: dict[Name, _Use] = {}

    def refusal(self, sender: Name, size: int, wall: int) -> str | None:
        """Why a message of so many bytes may not be stored now; None where it may."""
        caps = self._caps
        if self._total + size > caps.stored_bytes:
            return f"The server stores {caps.stored_bytes} bytes of offline messages, and that is used up."
        use = self._senders.get(sender)
        if use is None:
            return None
        if use.size + size > caps.stored_bytes_per_sender:
            return (
                f"The server stores {caps.stored_bytes_per_sender} bytes of offline messages for one sender, "
                "and that is used up."
            )
        if use.day == _day(wall) and use.count >= caps.stored_messages_per_sender_day:
            return (
                f"The server stores {caps.stored_messages_per_sender_day} offline messages a day for one sender, "
                "and that is used up."
            )
        return None

    def add(self, sender: Name, size: int, wall: int) -> None:
        """Count a message that is stored from now on."""
        use = self._senders.get(sender)
        if use is None:
            use = self._senders[sender] = _Use()
        day = _day(wall)
        if use.day != day:
            use.day = day
            use.count = 0
        use.count += 1
        use.size += size
        self._total += size

    def remove(self, sender: Name, size: int) -> None:
        """A message is no longer stored."""
        self._total -= size
        self._senders[sender].size -= size

    def sweep(self, wall: int) -> bool:
        """Forget senders of whom nothing is stored and who stored nothing today; whether any remain."""
        today = _day(wall)
        over = [sender for sender, use in self._senders.items() if not use.size and use.day != today]
        for sender in over:
            del self._senders[sender]
        return bool(self._senders)


def _day(wall: int) -> int:
    return wall // (DAY * _MICROSECONDS)
