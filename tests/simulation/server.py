"""The server side of the world: nodes, the one engine behind them, and its disk."""

import random
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import attrs

from rtmcore.limits import READ_CHUNK
from rtmcore.service.commands.channels import Unwatch, Watch
from rtmcore.service.commands.table import Answer, Command, Output
from rtmcore.service.config import NodeConfig
from rtmcore.service.grants import Grant
from rtmcore.service.memory import MemoryEngine
from rtmcore.service.memory.journal import Batch, Image
from rtmcore.service.memory.kept import HistoryQuestion
from rtmcore.service.node import Node
from tests.simulation.network import Wire
from tests.simulation.tokens import verify

if TYPE_CHECKING:
    from tests.simulation.world import World

_MIN_COMMAND: Final = 0.0001


@attrs.define
class Habits:
    """How the machines of the server side behave; may change at any time.

    Attributes:
        engine_late: Chance that a command or an answer is late.
        engine_longest: Seconds that it is late at most.
        commit: Seconds that a commit takes, at most.
        commits_fail: Chance that a commit fails.
        stuck: Whether no commit ends.
    """

    engine_late: float = 0.0
    engine_longest: float = 0.05
    commit: float = 0.005
    commits_fail: float = 0.0
    stuck: bool = False


class Disk:
    """What is committed: the journal's image, and the batch of which nobody knows whether it arrived."""

    def __init__(self) -> None:
        self.image = Image()
        self.under_way: Batch | None = None

    def crash(self, dice: random.Random) -> Image:
        """What a start finds: all that was committed, and perhaps what was just being committed."""
        if self.under_way is not None and dice.random() < 0.5:
            self.image.apply(self.under_way)
        self.under_way = None
        return self.image.copy()


class SimPort:
    """A node's side of the engine, with answers that may come late: in order for each session.

    Args:
        side: The server side.
        host: The node's process.
        inner: The node's side of the memory engine.
        dice: Random delays.
    """

    def __init__(self, side: "ServerSide", host: "NodeHost", inner: Any, dice: random.Random) -> None:
        self._side = side
        self._host = host
        self._inner = inner
        self._dice = dice
        self._commands: dict[object, deque[tuple[float, Command]]] = {}
        self._outputs: dict[object, deque[tuple[float, Output]]] = {}
        self._ready: deque[Output] = deque()

    def submit(self, command: Command, now: float, wall: int) -> None:
        if isinstance(command, Watch | Unwatch):
            self._carry_out(command, now, wall)
            return
        key = _name(command)
        queue = self._commands.get(key)
        late = self._lateness()
        if queue is None and not late:
            self._carry_out(command, now, wall)
        else:
            queue = self._commands.setdefault(key, deque())
            due = now + late
            queue.append((max(due, queue[-1][0]) if queue else due, command))

    def _lateness(self) -> float:
        habits = self._side.habits
        if not habits.engine_late or self._dice.random() >= habits.engine_late:
            return 0.0
        return self._dice.uniform(_MIN_COMMAND, habits.engine_longest)

    def _carry_out(self, command: Command, now: float, wall: int) -> None:
        self._side.world.history.engine_asked(command, now)
        self._inner.submit(command, now, wall)
        self._side.after_command(now)

    def handle_timer(self, now: float, wall: int) -> None:
        if self._commands:
            for key, queue in list(self._commands.items()):
                while queue and queue[0][0] <= now:
                    self._carry_out(queue.popleft()[1], now, wall)
                if not queue:
                    del self._commands[key]
        due = self._inner.next_deadline()
        if due is not None and due <= now:
            self._inner.handle_timer(now, wall)
            self._side.after_command(now)
        if self._outputs:
            for key, outputs in list(self._outputs.items()):
                while outputs and outputs[0][0] <= now:
                    self._ready.append(outputs.popleft()[1])
                if not outputs:
                    del self._outputs[key]

    def collect(self, now: float) -> bool:
        """Take out what the engine has for this node; whether anything is there for it now."""
        inner = self._inner.outputs
        while inner:
            output = inner.popleft()
            self._side.world.history.engine_said(self._inner.node, output, now)
            key = _key(output)
            queue = self._outputs.get(key)
            late = self._lateness()
            if queue is None and not late:
                self._ready.append(output)
            else:
                queue = self._outputs.setdefault(key, deque())
                due = max(now + late, queue[-1][0]) if queue else now + late
                queue.append((due, output))
                self._host.wake_at(due)
        return bool(self._ready)

    def next_deadline(self) -> float | None:
        times = [queue[0][0] for queue in self._commands.values()]
        times += [queue[0][0] for queue in self._outputs.values()]
        inner = self._inner.next_deadline()
        if inner is not None:
            times.append(inner)
        return min(times, default=None)

    def next_output(self) -> Output | None:
        return self._ready.popleft() if self._ready else None

    def shift(self, seconds: float) -> None:
        self._inner.shift(seconds)


def _name(command: Any) -> object:
    session = getattr(command, "session", None) or getattr(command, "asker", None)
    return command.name if session is None else session.name


def _key(output: Any) -> object:
    if isinstance(output, Answer):
        return _name(output.command)
    session = getattr(output, "session", None)
    return ("notices", output.app, output.kind, output.channel) if session is None else session.name


class NodeHost:
    """A server process with its sockets.

    Attributes:
        name: Of the node, and of the machine in the clients' URLs.
        down: Whether the process does not run.
        asleep: Until when the machine is suspended.
    """

    def __init__(self, side: "ServerSide", name: str) -> None:
        self.side = side
        self.world = side.world
        self.name = name
        self.wires: dict[int, Wire] = {}
        self.ready: dict[Wire, None] = {}
        self.full: dict[Wire, None] = {}
        self.backlogs: dict[int, int] = {}
        self.asleep = 0.0
        self.down = True
        self.due: float | None = None
        self.node: Any = None
        self.port: Any = None

    # --- What the network brings ----------------------------------------------------

    def arrived(self, wire: Wire) -> None:
        if self.down or wire.node is not self:
            return
        if wire.server_open or wire.number not in self.wires:
            self.ready[wire] = None
            self.world.awaken(self)

    def may_write(self, wire: Wire) -> None:
        self.full[wire] = None
        self.world.awaken(self)

    def take(self, wire: Wire) -> None:
        """A client has connected: the kernel has accepted it, and the process sees it in its next turn."""
        wire.server_open = True
        self.ready[wire] = None
        self.world.awaken(self)

    def wake(self, _: object = None) -> None:
        self.world.awaken(self)

    def wake_at(self, when: float) -> None:
        if self.due is None or when < self.due:
            self.due = when
            self.world.later(when, self._timer, when)

    def _timer(self, when: float) -> None:
        if self.due == when:
            self.due = None
            self.world.awaken(self)

    # --- A turn ---------------------------------------------------------------------

    def turn(self) -> None:
        """What a server's loop does once it wakes."""
        now = self.world.now
        if self.down:
            return
        if now < self.asleep:
            self.world.later(self.asleep, self.wake, None)
            return
        node = self.node
        node.turn(now, self.side.wall)
        ready, self.ready = self.ready, {}
        full, self.full = self.full, {}
        for wire in full:
            if wire.server_open:
                self._write(wire, now)
        for wire in ready:
            self._serve(wire, now)
        node.handle_timer(now)
        for number in node.dirty():
            wire = self.wires.get(number)
            if wire is not None:
                self._write(wire, now)
        while (event := node.next_event()) is not None:
            wire = self.wires.get(event.connection)
            if wire is not None:
                self._lose(wire, now)
        due = node.next_deadline()
        if due is not None:
            self.wake_at(max(due, now))

    def _serve(self, wire: Wire, now: float) -> None:
        if not wire.server_open:
            return
        if wire.number not in self.wires:
            self.wires[wire.number] = wire
            self.node.connection_opened(wire.number, "10.0.0.1", now)
        most = wire.weather.drip or READ_CHUNK
        try:
            data = wire.up.read(now, most)
        except ConnectionResetError:
            self._lose(wire, now)
            return
        if data:
            wire.heard = now
            self.world.history.server_heard(wire, now)
            self.node.receive_data(wire.number, data, now)
            if wire.server_open and (len(data) == most or wire.up.segments or wire.up.finished is not None):
                self._look_again(wire, now)
        elif data is not None:
            self.node.receive_eof(wire.number, now)
            self._lose(wire, now)

    def _look_again(self, wire: Wire, now: float) -> None:
        pipe = wire.up
        if pipe.has_unread(now) or (not pipe.segments and pipe.finished is not None and pipe.finished <= now):
            self.ready[wire] = None
            self.world.awaken(self)

    def _write(self, wire: Wire, now: float) -> None:
        pieces = self.node.data_to_send(wire.number)
        wire.down.flush(now)
        if pieces:
            wire.down.write(pieces[0] if len(pieces) == 1 else b"".join(pieces), now)
        left = wire.down.unsent_bytes
        if left != self.backlogs.get(wire.number, 0):
            self.backlogs[wire.number] = left
            self.node.backlog(wire.number, left, now)
        if left == 0 and self.node.is_finished(wire.number):
            self._lose(wire, now)

    def _lose(self, wire: Wire, now: float) -> None:
        if self.wires.pop(wire.number, None) is not None:
            self.backlogs.pop(wire.number, None)
            wire.close_server(now)
            self.node.connection_lost(wire.number, now)


class ServerSide:
    """Nodes, engine and disk.

    Args:
        world: Where they are.
        names: Of the nodes.
        journal: Whether the engine has a disk.
        settings: Of all nodes; see `NodeConfig`.
    """

    def __init__(self, world: "World", names: tuple[str, ...], *, journal: bool, **settings: Any) -> None:
        self.world = world
        self.habits = Habits()
        self.disk = Disk() if journal else None
        self.settings = {"rate_limits": False, **settings}
        self.hosts = {name: NodeHost(self, name) for name in names}
        self.dice = world.dice_for("server side")
        self.wall_step = 0
        self.epochs = count(1)
        self.engine: Any = None
        self._failing = False
        self._timer_due: float | None = None
        self.start()

    @property
    def wall(self) -> int:
        """The wall clock of the server's machines, in microseconds since 1970."""
        return self.world.wall + self.wall_step

    # --- Beginning and end ------------------------------------------------------------

    def start(self) -> None:
        """Start the engine from the disk, and all nodes."""
        world = self.world
        image = None if self.disk is None else self.disk.crash(self.dice)
        epoch = f"epoch-{next(self.epochs)}"
        self.engine = engine = MemoryEngine(epoch, image=image, now=world.now, wall=self.wall)
        world.history.engine_started(epoch, world.now)
        if self.disk is not None:
            first = engine.next_batch(world.now)
            self.disk.image.apply(first)
            engine.committed(first.number, world.now)
        secrets = count(1)
        for host in self.hosts.values():
            host.port = SimPort(
                self, host, engine.port(host.name), world.dice_for(f"port {host.name} {epoch}")
            )
            config = NodeConfig(node=host.name, **self.settings)
            host.node = Node(
                config, host.port, self.verify, secret=lambda: f"secret-{epoch}-{next(secrets):06}"
            )
            host.down = False
            world.awaken(host)

    def verify(self, app: str, user: str, token: str | None, wall_ms: int) -> Grant:
        """Judge a token."""
        return verify(user, token, wall_ms)

    def stop(self, *, silent: bool = False) -> None:
        """End all processes at once, as a crash does.

        Args:
            silent: The machines lose their power: no client is told before it says something.
        """
        now = self.world.now
        for host in self.hosts.values():
            host.down = True
            for wire in list(host.wires.values()) + [wire for wire in host.ready if wire.server_open]:
                wire.server_open = False
                if silent:
                    wire.down.discard()
                    wire.down.swallowing = wire.up.swallowing = True
                elif wire.up.has_unread(now) or self.dice.random() < 0.5:
                    wire.reset_later(wire.down)
                else:
                    wire.down.end(now)
                wire.up.discard()
            host.wires.clear()
            host.ready.clear()
            host.full.clear()
            host.backlogs.clear()
            host.asleep = 0.0
        self.engine = None

    def restart(self, *, down: float = 1.0, step: float = 0.0, silent: bool = False) -> None:
        """Crash, and start again after a while.

        Args:
            down: Seconds between.
            step: Seconds by which the wall clock moves meanwhile.
            silent: The machines lose their power.
        """
        if self.engine is None:
            return
        self.stop(silent=silent)
        self.world.history.engine_stopped(self.world.now)

        def start(_: object) -> None:
            self.wall_step += round(step * 1e6)
            self.world.history.walls.append((self.world.now, self.wall_step))
            self.start()

        self.world.later(self.world.now + down, start, None)

    # --- The engine ------------------------------------------------------------------

    def after_command(self, now: float) -> None:
        """Hand out what came of a command, what is to be committed, and what is asked of the history."""
        self.commit(now)
        self._answer_questions(now)
        for host in self.hosts.values():
            if host.port is not None and host.port.collect(now):
                self.world.awaken(host)

    def _answer_questions(self, now: float) -> None:
        """Read from the disk what was asked about the history; a stuck one answers nothing."""
        engine, disk = self.engine, self.disk
        if disk is None or self.habits.stuck:
            return
        while (question := engine.next_question()) is not None:

            def answer(_: object, question: HistoryQuestion = question) -> None:
                if self.engine is engine:
                    engine.answered(question, disk.image.history.find(question))
                    self.after_command(self.world.now)

            self.world.later(now + self.habits.commit * self.dice.random(), answer, None)

    def commit(self, now: float) -> None:
        """Begin the next commit, if none is under way."""
        if self.disk is None or self.engine.committing:
            return
        batch = self.engine.next_batch(now)
        if batch is None:
            return
        self.disk.under_way = batch
        if self.habits.stuck:
            return
        self._end_later(batch, now)

    def let_go(self) -> None:
        """The disk answers again."""
        self.habits.stuck = False
        if self.disk is not None and self.disk.under_way is not None and self.engine is not None:
            self._end_later(self.disk.under_way, self.world.now)

    def _end_later(self, batch: Batch, now: float) -> None:
        engine = self.engine

        def end(_: object) -> None:
            if self.engine is not engine or self.disk is None or self.disk.under_way is not batch:
                return
            self.disk.under_way = None
            if self.dice.random() < self.habits.commits_fail:
                self.world.history.note(self.world.now, "a commit has failed")
                engine.commit_failed(batch.number, self.world.now)
            else:
                self.disk.image.apply(batch)
                engine.committed(batch.number, self.world.now)
                self.world.history.kept(batch.history, self.world.now)
            self.after_command(self.world.now)
            for host in self.hosts.values():
                self.world.awaken(host)

        self.world.later(now + self.habits.commit * self.dice.random(), end, None)
