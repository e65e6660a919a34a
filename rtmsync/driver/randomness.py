"""What is random in a core: drawn from the system, so independent between forked processes."""

import os
from typing import Final

_RANDOM_BYTES: Final = 7


def uniform() -> float:
    """A number from 0 up to 1."""
    return int.from_bytes(os.urandom(_RANDOM_BYTES), "big") / (1 << 8 * _RANDOM_BYTES)


def instance_id() -> str:
    """Tells one client object from all others."""
    return os.urandom(12).hex()


def mask_key() -> bytes:
    """Masks one WebSocket frame."""
    return os.urandom(4)


def nonce() -> bytes:
    """The key of one WebSocket handshake."""
    return os.urandom(16)
