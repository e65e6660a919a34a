"""A real server, three users in processes of their own, and a network that fails for six seconds.

    python examples/demo.py [FILE]

sends FILE (by default the project's README) line by line through a channel and between two users, and checks at
the end that every line arrived everywhere once and in order. Exit status 0: it did; 1: it did not; 2: there is
nothing to send.
"""

import io
import os
import queue
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import demo_user
from demo_ledger import Got, Row, Sent, Stream
from demo_processes import Message, Process
from demo_screen import Screen, duration
from demo_text import NothingToSend, Text, counted, in_three, read_text

from rtmsync.testing import FaultProxy

ROOT = Path(__file__).resolve().parents[1]
CHANNEL = "readers"

MOST_LINES = 300
"""Lines that are sent at most: what fits into 20 seconds and can still be looked through."""

AT_ONCE = 25
"""Lines after which the demo looks at the clock."""

BEFORE = 6.0
"""Seconds since the beginning after which the network fails, whatever has been sent by then."""

ENOUGH = 14.5
"""Seconds since the beginning after which no more lines are sent, on machines that are too slow for all."""

DURING_CUT = 24
"""Lines that pass while bob is away: fewer than the 32 that a channel keeps for those who come back."""

AWAY = 6.0
"""Seconds without a network."""

PACE = 0.02
"""Seconds between two lines while all is well; the documented rate is 180 in 3 seconds."""

WHOLE = 45.0
"""Seconds after which the demo gives up waiting; it needs some 16, and more where the machine stands still."""

LOOK = 0.05
"""Seconds between two looks at what is waited for."""

STILL = 1.0
"""Seconds that a look may be late: a machine that stands still for longer may cut off users for whom all is well."""

SETTLE = 0.3
"""Seconds in which a line that comes twice would show."""


class Failed(Exception):
    """The demo cannot go on."""


class Demo:
    """Directs the users and keeps the book.

    Args:
        text: What is sent.
        screen: What is shown.
        start: When the demo began, in seconds of the machine's monotonic clock.
    """

    def __init__(self, text: Text, screen: Screen, start: float) -> None:
        self._text = text
        self._screen = screen
        self._start_at = start
        self._give_up = start + WHOLE
        self._told: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._processes: dict[str, Process] = {}
        self._states: dict[str, list[tuple[str, str, float]]] = {"alice": [], "bob": [], "carol": []}
        self._members: set[str] = set()
        self._gone: set[str] = set()
        self._away = False
        self._cut_at = self._back_at = start
        self._server: dict[str, Any] = {}
        self._shown: set[tuple[int, str, str]] = set()
        self._channel = Stream("alice", f"#{CHANNEL}", ("bob", "carol"))
        self._to_bob = Stream("carol", "bob", ("bob",))
        self._to_carol = Stream("bob", "carol", ("carol",))
        self._streams = (self._channel, self._to_bob, self._to_carol)
        self._due = [0, 0, 0]
        self._still = 0.0

    def run(self) -> int:
        """Play all acts.

        Returns:
            The exit status.
        """
        faults: list[str] = []
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rtm-demo-")))
            try:
                self._play(stack, folder)
                status = self._processes["server"].end()
                if status != 0:
                    faults.append(f"The server ended with status {status}.")
            except Failed as failure:
                faults.append(str(failure))
        return self._judge(faults)

    def _play(self, stack: ExitStack, folder: Path) -> None:
        proxy = self._open(stack, folder)
        before, during, after = in_three(self._text.lines, DURING_CUT)
        self._log_in(stack, folder, proxy)
        self._screen.heading("The network is fine")
        rest = self._send_while_time(before, BEFORE)
        waiting = [*rest, *during, *after]
        self._interrupt(proxy, waiting[: len(during)])
        self._screen.heading("The network is fine again")
        rest = self._send_while_time(waiting[len(during) :], ENOUGH)
        if rest:
            self._screen.note(f"CUT: this machine is too slow for the last {len(rest)} lines", "yellow")
        self._settle()
        self._log_out()

    # --- Acts ----------------------------------------------------------------------

    def _open(self, stack: ExitStack, folder: Path) -> FaultProxy:
        self._screen.plain(self._text.describe())
        self._screen.heading("A server, and three users in processes of their own")
        arguments = ["-m", "rtmsync", "serve", "--dev", "--port", "0", "--data", str(folder / "data")]
        arguments += ["--drain", "0", "--json", "--until-eof"]
        self._start(stack, "server", arguments, folder)
        self._wait(lambda: bool(self._server), "the server")
        url = self._server["url"]
        host, port = url.removeprefix("ws://").rsplit(":", 1)
        self._screen.note(f"server listens on {url}, its journal is in {folder / 'data'}")
        return stack.enter_context(FaultProxy(host, int(port)))

    def _log_in(self, stack: ExitStack, folder: Path, proxy: FaultProxy) -> None:
        for user in self._states:
            url = proxy.url if user == "bob" else self._server["url"]
            arguments = [str(Path(__file__)), "--user", url, self._server["app_ids"][0], user]
            self._start(stack, user, arguments, folder)
        for user in self._states:
            self._processes[user].order(do="join", channel=CHANNEL)
        self._wait(lambda: len(self._members) == len(self._states), "all three users in the channel")

    def _send_while_time(self, lines: list[str], until: float) -> list[str]:
        """Send lines, some at a time, for so many seconds since the beginning.

        Returns:
            Those that were not sent.
        """
        while lines and time.monotonic() < self._start_at + until:
            self._send(lines[:AT_ONCE], PACE)
            self._wait_for_lines("lines that were sent")
            lines = lines[AT_ONCE:]
        return lines

    def _send(self, lines: list[str], pace: float) -> None:
        """Every line goes to the channel, and the lines in turn from carol to bob and from bob to carol."""
        odd = self._due[0] % 2
        shares = (lines, lines[odd::2], lines[1 - odd :: 2])
        for stream, share, every in zip(self._streams, shares, (pace, 2 * pace, 2 * pace), strict=True):
            self._processes[stream.sender].order(do="send", to=stream.to, lines=share, pace=every)
        self._due = [due + len(share) for due, share in zip(self._due, shares, strict=True)]

    def _interrupt(self, proxy: FaultProxy, lines: list[str]) -> None:
        sent = counted(len(lines))
        self._screen.heading(f"Bob's network is gone for {AWAY:g} seconds; meanwhile others send {sent}")
        self._cut_at = cut_at = time.monotonic()
        proxy.blackhole(mode="drop")
        self._away = True
        self._send(lines, AWAY * 0.9 / len(lines))
        self._wait(lambda: time.monotonic() >= cut_at + AWAY, "the interruption to end")
        proxy.heal()
        self._back_at = time.monotonic()
        self._screen.heading("Bob's network is back")
        self._wait(lambda: self._states["bob"][-1][0] == "CONNECTED", "bob to be CONNECTED again")
        self._away = False
        self._wait_for_lines("the lines that waited for bob")

    def _settle(self) -> None:
        until = time.monotonic() + SETTLE
        self._wait(lambda: time.monotonic() >= until, "nothing to come twice")

    def _log_out(self) -> None:
        self._screen.heading("Everybody logs out")
        for user in self._states:
            self._processes[user].order(do="quit")
        self._wait(lambda: self._gone >= set(self._states), "everybody to log out")

    def _judge(self, faults: list[str]) -> int:
        screen = self._screen
        screen.heading("Checked")
        rows = [row for stream in self._streams for row in stream.rows()]
        screen.table(rows)
        screen.plain()
        faults += [_fault(row) for row in rows if not row.good]
        for stream in self._streams:
            faults += [f"{stream.sender}: {line.error}" for line in stream.sent if line.error]
        faults += self._check_states()
        for fault in faults:
            screen.plain(screen.paint(f"  FAULT: {fault}", "red"))
        if faults:
            return 1
        count = sum(row.sent for row in rows)
        screen.plain(screen.paint(f"  All {count} lines arrived, each once and in order.", "green"))
        self._tell_what_next()
        return 0

    def _check_states(self) -> list[str]:
        """That bob noticed what happened, in time, and that nobody else did."""
        faults = []
        stood_still = self._still > STILL
        if stood_still:
            self._screen.note(f"this machine stood still for {duration(self._still)}", "yellow")
        for user in ("alice", "carol"):
            names = [state for state, _, _ in self._states[user]]
            if not stood_still and names != ["CONNECTING", "CONNECTED", "DISCONNECTED"][: len(names)]:
                faults.append(f"{user} should have noticed nothing, but was {', '.join(names)}.")
        bob = self._states["bob"]
        lost = next(
            (at for state, reason, at in bob if (state, reason) == ("RECONNECTING", "INTERRUPTED")), None
        )
        again = next(
            (at for state, _, at in bob if state == "CONNECTED" and lost is not None and at > lost), None
        )
        if lost is None or again is None:
            return [*faults, "bob did not go through RECONNECTING to CONNECTED."]
        self._screen.plain(
            f"  bob was RECONNECTING {lost - self._cut_at:.1f} s after his network went, and CONNECTED "
            f"{duration(again - self._back_at)} after it came back."
        )
        return faults

    def _tell_what_next(self) -> None:
        rtm = Path(sys.executable).with_name("rtm")
        command = os.path.relpath(rtm) if rtm.exists() else f"{os.path.relpath(sys.executable)} -m rtmsync"
        screen = self._screen
        screen.plain("\nTry it by hand, in three terminals:\n")
        screen.plain(f"  {command} serve --dev")
        screen.plain(f"  {command} listen --user alice ops")
        screen.plain(f'  {command} send --user bob ops "good morning"')
        screen.plain("\nSend something else with: make demo FILE=path/to/text")
        screen.plain("Write a program of your own with README.md and docs/tutorial.md.")

    # --- Listening -----------------------------------------------------------------

    def _start(self, stack: ExitStack, name: str, arguments: list[str], folder: Path) -> None:
        process = Process(name, arguments, self._told, folder / f"{name}.log")
        self._processes[name] = stack.enter_context(process)

    def _wait_for_lines(self, what: str) -> None:
        self._wait(
            lambda: all(
                len(stream.sent) >= due and stream.answered() and stream.arrived_everywhere()
                for stream, due in zip(self._streams, self._due, strict=True)
            ),
            what,
        )

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        """Take what the processes tell until something is true."""
        while not condition():
            if time.monotonic() > self._give_up:
                raise Failed(f"Waited in vain for {what}.")
            looked = time.monotonic()
            try:
                name, message = self._told.get(timeout=LOOK)
            except queue.Empty:
                continue
            finally:
                self._still = max(self._still, time.monotonic() - looked - LOOK)
            self._take(name, message)

    def _take(self, name: str, message: dict[str, Any]) -> None:
        if name == "server" and "url" in message:
            self._server = message
            return
        what = message["is"]
        if what == "state":
            self._states[name].append((message["state"], message["reason"], message["at"]))
            self._screen.state(
                name, message["previous"], message["state"], message["reason"], message["cause"]
            )
        elif what == "joined":
            self._members.add(name)
        elif what == "sent":
            stream = self._stream(name, message["to"])
            stream.sent.append(Sent(message["number"], message["text"], message["at"]))
        elif what == "answered":
            stream = self._stream(name, message["to"])
            line = stream.sent[message["number"] - 1]
            line.id, line.error = message["id"], message.get("error")
            self._show(stream, line)
        elif what == "got":
            stream = self._stream(message["sender"], message["to"] or name)
            stream.got.setdefault(name, []).append(Got(message["id"], message["text"], message["at"]))
            line = stream.with_id(message["id"])
            if line is not None:
                self._show(stream, line)
        elif what == "gone":
            self._gone.add(name)
        elif what == "trouble":
            self._screen.note(f"{name}: {message['text']}", "red")
        elif name not in self._gone and not (name == "server" and self._gone):
            raise Failed(f"The process of {name} has ended:\n{self._processes[name].errors()}")

    def _stream(self, sender: str, to: str) -> Stream:
        return next(stream for stream in self._streams if (stream.sender, stream.to) == (sender, to))

    def _show(self, stream: Stream, line: Sent) -> None:
        """Print a line once everybody has it who can, and again for whoever gets it later."""
        present = [user for user in stream.receivers if not (self._away and user == "bob")]
        latencies = {
            user: latency for user in stream.receivers if (latency := stream.latency(user, line)) is not None
        }
        if not latencies or not set(present) <= set(latencies):
            return
        new = {
            user: latency
            for user, latency in latencies.items()
            if (line.number, stream.sender, user) not in self._shown
        }
        if not new:
            return
        self._shown |= {(line.number, stream.sender, user) for user in new}
        facts = ", ".join(f"{user} {duration(latency)}" for user, latency in new.items())
        self._screen.message(f"{stream.sender} > {stream.to}", line.number, line.text, facts)


def _fault(row: Row) -> str:
    return (
        f"{row.name}: {row.missing} of {row.sent} lines missing, {row.doubled} doubled, "
        f"{row.out_of_order} out of order."
    )


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--user"]:
        return demo_user.main(*arguments[1:])
    if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 2
    start = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    screen = Screen(start)
    try:
        text = read_text(Path(arguments[0]) if arguments else ROOT / "README.md", MOST_LINES)
        return Demo(text, screen, start).run()
    except NothingToSend as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read this has ended; what Python still holds for him must not raise again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
