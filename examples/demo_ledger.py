"""Who sent what and who got what: the book that the demo is checked with."""

import statistics

import attrs


@attrs.define
class Sent:
    """A line that a sender handed to its client.

    Args:
        number: Its place among the lines of its stream, from 1.
        text: What it says.
        at: When it was handed over, in seconds of the machine's monotonic clock.
    """

    number: int
    text: str
    at: float
    id: int | None = None
    """Its position in the log, once the server has told the sender."""
    error: str | None = None
    """Why it was not sent, in the words of the exception."""


@attrs.define
class Got:
    """A line that a receiver's client handed over."""

    id: int
    text: str
    at: float


@attrs.frozen
class Row:
    """What became of the lines of one stream at one receiver.

    Args:
        name: Of the stream and the receiver.
        sent: Lines sent.
        arrived: Lines that arrived at least once.
        missing: Lines that did not arrive.
        doubled: Lines that arrived although they, or all that were sent, had arrived before.
        out_of_order: Lines that arrived after a line that was sent later.
        latencies: From the sender's call to the receiver's, in seconds.
        exact: Whether the receiver's texts are the sender's texts, one for one.
    """

    name: str
    sent: int
    arrived: int
    missing: int
    doubled: int
    out_of_order: int
    latencies: list[float]
    exact: bool

    @property
    def good(self) -> bool:
        """Whether every line arrived once and in order."""
        return self.exact and not (self.missing or self.doubled or self.out_of_order)

    def median(self) -> float:
        """The middle one of the latencies, in seconds; there has to be one."""
        return statistics.median(self.latencies)


@attrs.define
class Stream:
    """The lines from one sender to a channel, or to a user.

    Args:
        sender: Who sends.
        to: The channel, or the user.
        receivers: Who has to get each line.
    """

    sender: str
    to: str
    receivers: tuple[str, ...]
    sent: list[Sent] = attrs.field(factory=list)
    got: dict[str, list[Got]] = attrs.field(factory=dict)

    def arrived_everywhere(self) -> bool:
        """Whether each receiver has as many lines as were sent."""
        return all(len(self.got.get(receiver, ())) >= len(self.sent) for receiver in self.receivers)

    def answered(self) -> bool:
        """Whether the sender knows the result of each line."""
        return all(line.id is not None or line.error is not None for line in self.sent)

    def with_id(self, id: int) -> Sent | None:
        """The line at a position in the log."""
        return next((line for line in self.sent if line.id == id), None)

    def latency(self, receiver: str, line: Sent) -> float | None:
        """Seconds until a line reached a receiver; None where it has not."""
        return next((got.at - line.at for got in self.got.get(receiver, ()) if got.id == line.id), None)

    def check(self, receiver: str) -> Row:
        """Compare what was sent with what one receiver got."""
        got = self.got.get(receiver, [])
        order = {line.id: place for place, line in enumerate(self.sent) if line.id is not None}
        seen: set[int] = set()
        out_of_order, latest = 0, -1
        for one in got:
            place = order.get(one.id)
            if place is None or one.id in seen:
                continue
            seen.add(one.id)
            out_of_order += place < latest
            latest = max(latest, place)
        return Row(
            name=f"{self.sender} > {self.to}" + ("" if self.to == receiver else f" > {receiver}"),
            sent=len(self.sent),
            arrived=len(seen),
            missing=len(self.sent) - len(seen),
            doubled=len(got) - len(seen),
            out_of_order=out_of_order,
            latencies=[
                latency for line in self.sent if (latency := self.latency(receiver, line)) is not None
            ],
            exact=[line.text for line in self.sent] == [one.text for one in got],
        )

    def rows(self) -> list[Row]:
        """The check for each receiver."""
        return [self.check(receiver) for receiver in self.receivers]
