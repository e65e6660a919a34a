"""Scenarios written by hand, in simulated time: the same world as the random one, and nothing random in it.

How to use it::

    from tests.simulation.scenario import Scenario


    def test_five_seconds_of_black_hole():
        world = Scenario()  # one node, an engine with a disk, 10 ms of latency
        alice, bob = world.login("alice", "bob")  # logs in and lets a second pass
        world.join("room", alice, bob)  # the same for a channel
        start = world.time
        world.at(start + 1, alice.hole, 5.0)  # faults and calls, at seconds since the beginning
        world.at(start + 2, bob.call, "send_peer", "alice", TEXT, b"hello")
        world.run(start + 20)  # until then; run_for(20) is the same from now
        assert alice.life.states[-2:] == [...]  # (time, state, reason), times since the beginning
        assert [m.body for m in alice.life.messages] == [b"hello"]
        world.check()  # the checker of the random simulation finds nothing

Clients (`tests.simulation.hosts.ClientHost`):

* ``client.call(name, *arguments, **options)`` calls a method of the core as an application would, now, without
  blocking; ``call.done``, ``call.value`` and ``call.error`` are there once it has ended. ``now`` is filled in.
* ``client.life``: ``events`` (with monotonic times), ``times(*classes)`` (with times since the beginning),
  ``of(*classes)``, ``states``, ``aggregates``, ``messages`` (peer messages that the application took), ``calls``.
* faults: ``hole(seconds, up=, down=, outlast=)``, ``heal()``, ``reset(client=, server=)``, ``cut(up=, down=)``
  after so many bytes, ``swallow(up=, down=)``, ``refuse(seconds)``, ``suspend(seconds)``, ``crash(silent=)``, and
  everything in ``client.weather`` (latency, jitter, rates, drip, shred).
* ``client.take_on(None)`` makes its application take no peer message, ``take_on(0.0)`` take them at once again.
* ``client.habit``: tokens (``token_seconds``, ``token_late``, ``token_fails``); make the client with
  ``token_provider=True`` then.
* ``client.core`` is the core itself, for questions (state, channels, connection(now)).

Kinds: ``world.client("alice")`` is RTM; ``world.client("7", kind="rtc", scope="channel")`` and
``world.client("ann", kind="room", scope="room")`` need ``call("join")`` and ``call("connect")`` to log in.

The server side (`world.side`): ``restart(down=, step=, silent=)``, ``habits`` (late engine, slow or failing commits,
``stuck`` and ``let_go()``), ``hosts[name].asleep = world.now + seconds`` suspends a node,
``hosts[name].node`` is the node. Offsets such as 4, 6 and 30 s count from the last byte that the judging side has
read; each side sends one at least each 1.5 s.
"""

from typing import Any

from tests.simulation.checker import check
from tests.simulation.hosts import ClientHost
from tests.simulation.world import World


class Scenario(World):
    """A world in which nothing random happens.

    Args:
        seed: Of jitter in backoffs, masks and nonces.
        settings: See `World`.
    """

    def __init__(self, seed: object = 1, **settings: Any) -> None:
        super().__init__(f"scenario {seed}", **settings)

    def login(self, *users: str, **settings: Any) -> list[ClientHost]:
        """Start RTM clients, log them in, and let a second pass."""
        clients = [self.client(user, **settings) for user in users]
        calls = [client.call("login") for client in clients]
        self.run_for(1.0)
        for call in calls:
            assert call.ok, call
        return clients

    def join(self, channel: str, *clients: ClientHost) -> None:
        """Let RTM clients join a channel, and a second pass."""
        calls = [client.call("join", channel) for client in clients]
        self.run_for(1.0)
        for call in calls:
            assert call.ok, call

    def check(self) -> None:
        """Fail where the history breaks a promise."""
        violations = check(self)
        assert not violations, "\n".join(f"{time:.3f} {text}" for time, text in violations[:20])
