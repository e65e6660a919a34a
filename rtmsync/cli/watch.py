"""`rtm watch`: see the state of a connection change, and in the end all of it as a table and a picture."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rtmcore.client.events import (
    ChannelGap,
    ChannelLost,
    MemberJoined,
    MemberLeft,
    NotRestored,
    PeerConnectionStateChanged,
    PresenceChanged,
    StateChanged,
    TokenHasExpired,
    TokenWillExpire,
)
from rtmcore.codes import ConnectionState
from rtmcore.errors import RequestTimeout
from rtmsync.cli.options import Login, connection_options
from rtmsync.cli.output import as_row, clock_time, emit, note, printable, say, use_colours
from rtmsync.cli.telling import abortion, tell_state
from rtmsync.driver.clock import FOREVER, Clock
from rtmsync.exits import ExitCode
from rtmsync.timeline.spans import duration

if TYPE_CHECKING:
    from rtmsync.client import Client
    from rtmsync.timeline.recorder import Timeline

_KINDS: Final[tuple[type[Any], ...]] = (
    StateChanged,
    PeerConnectionStateChanged,
    TokenWillExpire,
    TokenHasExpired,
    PresenceChanged,
    NotRestored,
    ChannelGap,
    ChannelLost,
    MemberJoined,
    MemberLeft,
)
_REFRESH: Final = 0.25
"""Seconds between two looks at how long a state has lasted."""


@click.command("watch")
@connection_options
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="End after so many seconds; without it Ctrl-C ends.",
)
@click.option("--sees", multiple=True, help="Also watch the online state of this user; repeatable.")
@click.option(
    "--svg",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the picture of it to a file at the end.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print lines of JSON: each event, and the timeline at the end."
)
@click.argument("channels", nargs=-1, metavar="[CHANNEL]...")
def command(
    login: Login,
    seconds: float | None,
    sees: Sequence[str],
    svg: Path | None,
    as_json: bool,
    channels: Sequence[str],
) -> int:
    """Log in, join the CHANNELs, and watch the connection: its states, why they change and how long they last.

    Break the network and see what happens. At the end a table tells all of it.
    """
    if svg is not None and not svg.parent.is_dir():
        raise click.UsageError(f"There is no folder {svg.parent} for the picture.")
    until = FOREVER if seconds is None else Clock.now() + seconds
    with login.connect() as client:
        try:
            with client.events(*_KINDS) as events:
                for channel in dict.fromkeys(channels):
                    client.channel(channel).join()
                if sees:
                    client.subscribe_presence(sees)
                _begin(client, login.named(), as_json)
                return _watch(client, events, until, as_json)
        except KeyboardInterrupt:
            return ExitCode.INTERRUPTED
        finally:
            _end(client.timeline, svg, as_json)


def _begin(client: "Client", user: str, as_json: bool) -> None:
    if not as_json:
        note(f"{user} is {client.state.name}; Ctrl-C ends.")


def _watch(client: "Client", events: Any, until: float, as_json: bool) -> ExitCode:
    """Show what happens until the time is over.

    Raises:
        Aborted: The session was ended.
    """
    with _shown(client, as_json) as show:
        while Clock.now() < until:
            try:
                event = events.get(timeout=min(_REFRESH, max(0.0, until - Clock.now())))
            except RequestTimeout:
                show(None)
                continue
            show(event)
            if isinstance(event, StateChanged) and event.state is ConnectionState.ABORTED:
                raise abortion(event, "watch")
    return ExitCode.OK


@contextmanager
def _shown(client: "Client", as_json: bool) -> Iterator[Callable[[Any], None]]:
    """What shows an event; None is called now and then in between."""
    if as_json:
        yield _show_row
    elif use_colours(sys.stderr):
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:

            def show(event: Any) -> None:
                if event is not None:
                    _show_line(event)
                live.update(Text(_status(client)), refresh=True)

            yield show
    else:
        yield _show_line


def _show_row(event: Any) -> None:
    if event is not None:
        emit({**as_row(event), "seen": time.time()})


def _show_line(event: Any) -> None:
    if event is None:
        return
    if isinstance(event, StateChanged):
        tell_state(event)
        return
    note(f"{clock_time(time.time())} {printable(_told(event))}")


def _told(event: Any) -> str:
    if isinstance(event, PeerConnectionStateChanged):
        return f"the transports are {event.state.value}"
    if isinstance(event, PresenceChanged):
        return ", ".join(f"{user} is {state.name}" for user, state in event.states.items())
    if isinstance(event, NotRestored):
        return f"not restored: {event.error.message}"
    if isinstance(event, TokenWillExpire):
        return f"the token expires in {event.seconds:.0f} s"
    if isinstance(event, TokenHasExpired):
        return "the token has expired"
    if isinstance(event, MemberJoined | MemberLeft):
        verb = "joined" if isinstance(event, MemberJoined) else "left"
        return f"{event.user} {verb} {event.channel} ({event.count} in all)"
    if isinstance(event, ChannelGap):
        return f"{event.lost} messages to {event.channel} are lost"
    if isinstance(event, ChannelLost):
        return f"{event.channel} was lost: {event.text}"
    return type(event).__name__


def _status(client: "Client") -> str:
    """The line at the bottom: what is, for how long, and what comes next."""
    now = client.connection
    reason = "" if now.reason is None else f" {now.reason.name}"
    words = [
        f"{now.state.name}{reason} for {duration(max(0.0, Clock.now() - now.since))}",
        f"transports {client.peer_connection_state.value}",
        f"connection {now.attempt}",
    ]
    if now.next_attempt_in is not None:
        words.append(f"the next in {duration(now.next_attempt_in)}")
    return " · ".join(words)


def _end(timeline: "Timeline", svg: Path | None, as_json: bool) -> None:
    """Tell all of it."""
    if svg is not None:
        try:
            svg.write_text(timeline.svg(), encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"The picture could not be written to {svg}: {error}.") from None
    if as_json:
        emit(_timeline_row(timeline))
    else:
        say("")
        say(timeline.table().rstrip("\n"))


def _timeline_row(timeline: "Timeline") -> dict[str, object]:
    now = timeline.until
    spans = [
        {
            "who": span.lane.who,
            "subject": span.lane.subject.value,
            "peer": span.lane.peer,
            "state": span.state,
            "reason": span.reason,
            "code": span.code,
            "began": span.wall,
            "lasted": span.lasted(now),
            "ended": span.ended is not None,
        }
        for span in timeline.rows
    ]
    marks = [{"what": mark.what, "detail": mark.detail, "at": mark.wall} for mark in timeline.marks]
    return {"event": "Timeline", "spans": spans, "marks": marks, "dropped": timeline.dropped}
