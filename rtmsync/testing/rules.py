"""What the fault proxy can be told beforehand: which connection, at which moment, which fault.

A `Rule` names a connection (or every one), a moment and an action. `RandomCuts` draws its moments from the
proxy's seed. All of them are values: the proxy keeps the count of what has fired, so one rule can serve several
proxies.
"""

from typing import Literal, TypeAlias

import attrs
from attrs import validators

from rtmcore.limits import CLOSE_REASON_BYTES

#: One way through the proxy: from the client to the server, or back.
Direction: TypeAlias = Literal["to_server", "to_client"]
#: One way, or both.
Directions: TypeAlias = Literal["to_server", "to_client", "both"]
#: How a connection ends: ``rst`` is a reset, ``fin`` an orderly end. Both sides see the same.
How: TypeAlias = Literal["rst", "fin"]
#: What a black hole does with bytes: ``hold`` leaves them unread and forwards them after healing; ``drop`` reads
#: them and throws them away, so that a connection which lost any is reset at healing.
HoleMode: TypeAlias = Literal["hold", "drop"]

_HOWS = ("rst", "fin")
_DIRECTIONS = ("to_server", "to_client")


def directions(which: Directions) -> tuple[Direction, ...]:
    """Spell out ``both``.

    Args:
        which: One direction, or ``both``.

    Returns:
        The directions meant, ``to_server`` first.

    Raises:
        ValueError: ``which`` is none of the three words.
    """
    if which == "both":
        return ("to_server", "to_client")
    if which in _DIRECTIONS:
        return (which,)
    raise ValueError(f"a direction is 'to_server', 'to_client' or 'both', not {which!r}")


_one_of_both = validators.in_(_DIRECTIONS)
_some_of_both = validators.in_((*_DIRECTIONS, "both"))
_optional_count = validators.optional(validators.and_(validators.instance_of(int), validators.ge(1)))
_optional_offset = validators.optional(validators.and_(validators.instance_of(int), validators.ge(0)))
_optional_seconds = validators.optional(validators.ge(0))


@attrs.frozen
class Cut:
    """End the connection, towards both sides, and discard what has not been forwarded.

    With a byte trigger exactly that many bytes arrive: a reset waits until the receiver's kernel has them. On
    systems other than Linux a receiver may lose bytes that it has not read when the reset arrives.

    Attributes:
        how: ``rst`` (the default) or ``fin``.
    """

    how: How = attrs.field(default="rst", validator=validators.in_(_HOWS))


@attrs.frozen
class BlackHole:
    """Forward nothing any more, and say nothing about it.

    Attributes:
        direction: Which way; ``both`` by default. A reset or an end travels with the bytes of its direction.
        seconds: How long, from 0; None (the default) lasts until `FaultProxy.heal`.
        mode: ``hold`` (the default) or ``drop``.
    """

    direction: Directions = attrs.field(default="both", validator=_some_of_both)
    seconds: float | None = attrs.field(default=None, validator=_optional_seconds)
    mode: HoleMode = attrs.field(default="hold", validator=validators.in_(("hold", "drop")))


@attrs.frozen
class Delay:
    """Forward bytes later, in their order.

    Attributes:
        seconds: Time that each byte read from now on waits, from 0.
        jitter: Up to this many seconds more, drawn for each piece read from the proxy's seed; 0 by default.
        direction: Which way; ``both`` by default.
    """

    seconds: float = attrs.field(validator=validators.ge(0))
    jitter: float = attrs.field(default=0.0, validator=validators.ge(0))
    direction: Directions = attrs.field(default="both", validator=_some_of_both)


@attrs.frozen
class Throttle:
    """Forward at most so many bytes a second.

    Attributes:
        bytes_per_second: The rate of each direction by itself, above 0.
        direction: Which way; ``both`` by default.
    """

    bytes_per_second: float = attrs.field(validator=validators.gt(0))
    direction: Directions = attrs.field(default="both", validator=_some_of_both)


@attrs.frozen
class Refuse:
    """Reset the connection as soon as it is accepted; the server never sees it. Only without a trigger."""


@attrs.frozen
class CloseFrame:
    """Send the client a WebSocket close frame as if from the server, then end the connection with FIN.

    The frame is put between two frames of the server's: the proxy lets the frame under way pass first, and
    before the upgrade it waits for the answer to be complete. On a connection that turns out not to carry
    WebSocket frames the action is an error, which `FaultProxy.stop` raises.

    Attributes:
        code: Close code, 0 to 65,535; also codes that RFC 6455 forbids, to see what a client makes of them.
        reason: At most 123 bytes in UTF-8; empty by default.
    """

    code: int = attrs.field(validator=[validators.ge(0), validators.le(0xFFFF)])
    reason: str = ""

    def __attrs_post_init__(self) -> None:
        size = len(self.reason.encode())
        if size > CLOSE_REASON_BYTES:
            raise ValueError(f"a close frame's reason has at most {CLOSE_REASON_BYTES} bytes, not {size}")


@attrs.frozen
class Truncate:
    """Cut the connection in the middle of a WebSocket frame: the next one that begins in this direction.

    On a connection that turns out not to carry WebSocket frames the action is an error, which `FaultProxy.stop`
    raises.

    Attributes:
        keep: Bytes of that frame, its header included, which still pass; from 1 (the default). Of a frame that is
            no longer than this, all but the last byte pass.
        how: ``rst`` (the default) or ``fin``.
        direction: Whose frame; ``to_client`` (the server's) by default.
    """

    keep: int = attrs.field(default=1, validator=validators.ge(1))
    how: How = attrs.field(default="rst", validator=validators.in_(_HOWS))
    direction: Direction = attrs.field(default="to_client", validator=_one_of_both)


@attrs.frozen
class Corrupt:
    """Change one byte on its way.

    Attributes:
        offset: Which byte, counted from 0 at the moment at which the rule fires: with a rule without a trigger it
            is the byte's offset in the whole stream.
        mask: Bits of the byte that are flipped, 1 to 255; all by default.
        direction: Which way; ``to_client`` by default.
    """

    offset: int = attrs.field(validator=validators.ge(0))
    mask: int = attrs.field(default=0xFF, validator=[validators.ge(1), validators.le(0xFF)])
    direction: Direction = attrs.field(default="to_client", validator=_one_of_both)


Action: TypeAlias = Cut | BlackHole | Delay | Throttle | Refuse | CloseFrame | Truncate | Corrupt


@attrs.frozen
class Rule:
    """One fault, and when it happens. Without a trigger it happens as the connection is accepted.

    A rule fires at most once on each connection. Rules of one connection do not exclude each other; those that
    fall due together fire in the order in which they were given.

    Attributes:
        action: What to do.
        connection: Number of the connection, in the order of acceptance from 1; None (the default) is every one.
            Refused connections count as well.
        direction: Whose bytes `after_bytes` counts: ``to_server`` or ``to_client``. Needed with it, and only then.
        after_bytes: Fire when exactly so many bytes of this connection have been forwarded in `direction`, from 0
            (as soon as the server is connected).
        after_seconds: Fire so many seconds after the connection was accepted, from 0.
        times: How often the rule fires in all, over the connections of one proxy, from 1; None (the default) is
            without end.

    Raises:
        ValueError: Two triggers, `after_bytes` without a direction or the other way round, `Refuse` with a
            trigger, or a figure out of its range.
    """

    action: Action
    connection: int | None = attrs.field(default=None, kw_only=True, validator=_optional_count)
    direction: Direction | None = attrs.field(
        default=None, kw_only=True, validator=validators.optional(_one_of_both)
    )
    after_bytes: int | None = attrs.field(default=None, kw_only=True, validator=_optional_offset)
    after_seconds: float | None = attrs.field(default=None, kw_only=True, validator=_optional_seconds)
    times: int | None = attrs.field(default=None, kw_only=True, validator=_optional_count)

    def __attrs_post_init__(self) -> None:
        if self.after_bytes is not None and self.after_seconds is not None:
            raise ValueError("a rule has one trigger: after_bytes or after_seconds, not both; make two rules")
        if (self.after_bytes is None) != (self.direction is None):
            raise ValueError("after_bytes and direction belong together: name both, or neither")
        if isinstance(self.action, Refuse) and not self.at_connect:
            raise ValueError(
                "Refuse happens as a connection is accepted: it takes no trigger; use Cut later on"
            )

    @property
    def at_connect(self) -> bool:
        """Whether the rule fires as the connection is accepted."""
        return self.after_bytes is None and self.after_seconds is None


@attrs.frozen
class RandomCuts:
    """Cut connections at random bytes, one after the other, until there were enough cuts.

    Every connection gets a number of bytes, and where they are left open a direction and a way of ending, drawn
    from the proxy's seed and the connection's number alone: a run with the same seed draws the same. A connection
    that ends before its byte costs nothing; the cut moves to a later one. What was drawn is in the proxy's log.

    Attributes:
        count: Cuts in all, from 1.
        between: Least and greatest number of forwarded bytes, both possible, from 0.
        direction: Whose bytes are counted; ``both`` (the default) draws one of the two.
        how: ``rst``, ``fin``, or None (the default), which draws one of the two.

    Raises:
        ValueError: A figure out of its range, or `between` upside down.
    """

    count: int = attrs.field(validator=validators.ge(1))
    between: tuple[int, int]
    direction: Directions = attrs.field(default="both", validator=_some_of_both)
    how: How | None = attrs.field(default=None, validator=validators.optional(validators.in_(_HOWS)))

    def __attrs_post_init__(self) -> None:
        low, high = self.between
        if not 0 <= low <= high:
            raise ValueError(f"between is (least, greatest) number of bytes, from 0, not {self.between!r}")
