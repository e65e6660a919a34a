"""Two client cores and a server in one thread, without a network, in virtual time: `python simulator.py [SEED]`.

The same seed gives the same run, to the byte. See `conversation.py` for what the two talk about.
"""

import random
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count

from conversation import CUT, START, STOP, User
from simulated_server import Server

from rtmcore.client.config import ClientConfig
from rtmcore.client.core import ClientCore
from rtmcore.client.events import CloseTransport, NeedToken, OpenTransport, SendBytes

LATENCY = (0.001, 0.05)
WISHED = 1.0
"""Seconds from when both users have wished something to when it happens."""


class Line:
    """A connection of a user: the number of its core, the one of the server, and how long each way is busy."""

    def __init__(self, user: User, id: int, number: int) -> None:
        self.user, self.id, self.number = user, id, number
        self.busy_until = {"up": 0.0, "down": 0.0}


class Simulator:
    """The users, the server, the lines between them, and the time.

    Args:
        seed: Of everything that is left to chance.
        tell: Takes the time, a user, and a line that the user sees.
    """

    def __init__(self, seed: int, tell: Callable[[float, str, str], None]) -> None:
        self.dice, self.tell = random.Random(seed), tell
        self.now = 0.0
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = count(1)
        self.lines: dict[int, Line] = {}
        self.wishes: Counter[str] = Counter()
        self.server = Server(self.answer, self.dice.randbytes)
        self.server.start(self.now)
        self.users = [self.make_user(name) for name in ("bob", "ann")]

    def run(self) -> None:
        for second, user in enumerate(self.users):
            self.later(second, partial(self.begin, user))
        while not all(user.over for user in self.users):
            dues = [user.core.next_deadline() for user in self.users]
            dues += [self.server.next_deadline(), *(each[0] for each in self.agenda[:1])]
            self.now = max(self.now, min(due for due in dues if due is not None))
            while self.agenda and self.agenda[0][0] <= self.now:
                heappop(self.agenda)[2]()
            for user in self.users:
                user.core.handle_timer(self.now)
            while any([self.server.turn(self.now), *map(self.settle, self.users)]):
                pass

    def begin(self, user: User) -> None:
        user.start(self.now)

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        heappush(self.agenda, (self.now + seconds, next(self.numbers), what))

    def carry(self, line: Line, way: str, what: Callable[[], None]) -> None:
        """Have something happen at the other end of a line, behind all that is on its way there."""
        line.busy_until[way] = max(self.now + self.dice.uniform(*LATENCY), line.busy_until[way])
        self.later(line.busy_until[way] - self.now, what)

    # --- What a driver does -----------------------------------------------------------------------------------------

    def make_user(self, name: str) -> User:
        config = ClientConfig(endpoints="ws://server:1", app_id="s" * 32, user_id=name, token_provider=True)
        core = ClientCore.from_entropy(config, self.dice.randbytes)
        return User(name, core, lambda text: self.tell(self.now, name, text), self.wish, faults=True)

    def settle(self, user: User) -> bool:
        """Do all that a user's core says; whether it said anything."""
        moved = False
        while (output := user.core.next_output()) is not None:
            moved = True
            match output:
                case SendBytes(id, data):
                    line = self.line(user, id)
                    self.carry(line, "up", partial(self.arrive, line, data))
                case OpenTransport(id=id):
                    number = next(self.numbers)
                    line = self.lines[number] = Line(user, id, number)
                    self.carry(line, "up", partial(self.connect, line))
                case CloseTransport(id):
                    line = self.line(user, id)
                    self.carry(line, "up", partial(self.arrive, line, None))
                case NeedToken():
                    user.core.token(user.token(), self.now)
                case _:
                    user.handle(output, self.now)
        return moved

    def line(self, user: User, id: int) -> Line:
        return next(line for line in self.lines.values() if line.user is user and line.id == id)

    def connect(self, line: Line) -> None:
        if self.server.connect(line.number, self.now):
            line.user.core.transport_opened(line.id, self.now)
        else:
            line.user.core.transport_failed(line.id, ConnectionRefusedError("refused"), self.now)

    def arrive(self, line: Line, data: bytes | None) -> None:
        self.server.receive(line.number, data, self.now)

    def answer(self, number: int, data: bytes | None) -> None:
        line = self.lines[number]
        self.carry(line, "down", partial(self.take, line, data))

    def take(self, line: Line, data: bytes | None) -> None:
        core = line.user.core
        if data is None:
            core.receive_eof(line.id, self.now)
        else:
            core.receive_data(line.id, data, self.now)

    # --- What the users wish ----------------------------------------------------------------------------------------

    def wish(self, what: str) -> None:
        """Grant what both have wished, a little later."""
        self.wishes[what] += 1
        if self.wishes[what] == len(self.users):
            wishes = {CUT: self.cut, STOP: self.server.stop, START: lambda: self.server.start(self.now)}
            self.later(WISHED, wishes[what])

    def cut(self) -> None:
        for line in self.lines.values():
            self.arrive(line, None)
            self.take(line, None)


if __name__ == "__main__":
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.randrange(1_000_000)
    print("seed", seed)
    Simulator(seed, lambda now, name, text: print(f"{now:7.3f} {name} | {text}")).run()
