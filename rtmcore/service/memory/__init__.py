"""The memory engine: sessions, inboxes and channels in one process, with a journal of what must outlive it."""

from rtmcore.service.memory.caps import Caps, caps_of
from rtmcore.service.memory.engine import MemoryEngine, MemoryPort

__all__ = ["Caps", "MemoryEngine", "MemoryPort", "caps_of"]
