"""What all client cores have for those who drive them: how they are made, and one queue of what is to be done."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Final, TypeAlias, TypeVar

from rtmcore.client.config import ClientConfig
from rtmcore.client.events import CloseTransport, Event, SendBytes

Output: TypeAlias = Event | SendBytes
"""What a core wants done or told."""

_IID_BYTES: Final = 16
_NONCE_BYTES: Final = 16
_MASK_BYTES: Final = 4
# The most that a float in [0, 1) can take.
_RANDOM_BITS: Final = 53
_RANDOM_BYTES: Final = 7

D = TypeVar("D", bound="Driven")


class Driven(ABC):
    """The part of a client core that its driver alone sees."""

    # Made when it is first needed: a driver may as well ask for events and bytes by themselves.
    _outputs: "deque[Output] | None" = None

    @abstractmethod
    def __init__(
        self,
        config: ClientConfig,
        *,
        iid: str,
        random: Callable[[], float],
        mask_key: Callable[[], bytes],
        nonce: Callable[[], bytes],
    ) -> None:
        """Make a core; see `ClientCore`."""

    @classmethod
    def from_entropy(cls: type[D], config: ClientConfig, entropy: Callable[[int], bytes]) -> D:
        """Make a core of one source of randomness.

        Args:
            config: Settings.
            entropy: Gives so many unpredictable bytes at each call: `os.urandom`, or in a simulation the `randbytes`
                of a seeded generator.

        Raises:
            InvalidArgument: The settings are those of another kind of client.
        """
        return cls(
            config,
            iid=entropy(_IID_BYTES).hex(),
            random=partial(_fraction, entropy),
            mask_key=partial(entropy, _MASK_BYTES),
            nonce=partial(entropy, _NONCE_BYTES),
        )

    def next_output(self) -> Output | None:
        """The next thing to do or to tell, or None where nothing is left until the next input or intent.

        Events and bytes come in the order in which they must be carried out: `SendBytes` before the
        `CloseTransport` of its transport, and otherwise behind the events, so that what the application asks for
        while it handles them goes along. Use either this, or `next_event` and `data_to_send`.
        """
        outputs = self._outputs
        if outputs is None:
            outputs = self._outputs = deque()
        if not outputs:
            event = self.next_event()
            if event is not None and not isinstance(event, CloseTransport):
                return event
            for id, pieces in groupby(self.data_to_send(), itemgetter(0)):
                outputs.append(SendBytes(id, b"".join(data for _, data in pieces)))
            if event is not None:
                outputs.append(event)
        return outputs.popleft() if outputs else None

    @abstractmethod
    def next_event(self) -> Event | None:
        """The next event, or None."""

    @abstractmethod
    def data_to_send(self) -> list[tuple[int, bytes]]:
        """The bytes made since the last call, each with the id of its transport, to be written in this order."""


def _fraction(entropy: Callable[[int], bytes]) -> float:
    bits = int.from_bytes(entropy(_RANDOM_BYTES), "big") >> (_RANDOM_BYTES * 8 - _RANDOM_BITS)
    return float(bits / (1 << _RANDOM_BITS))
