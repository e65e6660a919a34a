"""Play the failure scenarios in simulated time, and draw what each participant saw.

The world is that of `tests/simulation`: the cores that users get, on a virtual network and clock. So the pictures are
the same each time. `python -m docs.generate` writes them; a test compares them with what would be written now.
"""

import importlib
import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final

import attrs

from rtmcore.client.events import PeerConnectionStateChanged
from rtmcore.codes import MessageType
from rtmcore.models import ChannelMessage, PeerMessage
from rtmsync.timeline.recorder import Timeline, merged_svg, merged_table
from tests.simulation.hosts import ClientHost
from tests.simulation.scenario import Scenario
from tests.simulation.world import START, WALL

FOLDER: Final = "explanation/timelines"
TEXT: Final = MessageType.TEXT
_MICROSECONDS: Final = 1e6
_BURST: Final = 2.0
"""Seconds between channel messages from which they are drawn apart."""


class Stage(Scenario):
    """A world whose participants are drawn.

    Args:
        settings: Of the nodes.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__("docs", **settings)
        self._notes: dict[str, list[tuple[float, str, str]]] = {}
        self._networks: dict[str, list[tuple[float, str]]] = {}
        self.cast: list[tuple[str, ClientHost]] = []

    def appear(self, client: ClientHost, name: str = "") -> ClientHost:
        """Draw a client, under its own name or another."""
        self.cast.append((name or client.user, client))
        return client

    def enter(self, *users: str, channel: str = "") -> list[ClientHost]:
        """Log RTM clients in, join a channel, let the first one's online state be told to the others."""
        clients = self.login(*users)
        for client in clients:
            self.appear(client)
        if channel:
            self.join(channel, *clients)
        first, *others = clients
        for other in others:
            other.call("users.subscribe", [first.user])
        self.run_for(1.0)
        return clients

    def lose(self, client: ClientHost, seconds: float) -> None:
        """A black hole in a client's network, drawn as a lane of its own."""
        lane = self._networks.setdefault(f"network of {client.user}", [(START, "works")])
        lane.append((self.now, "black hole"))
        lane.append((self.now + seconds, "works"))
        client.hole(seconds)

    def break_off(self, client: ClientHost, seconds: float) -> None:
        """Reset a client's connections and refuse new ones for a while, drawn as a lane of its own."""
        lane = self._networks.setdefault(f"network of {client.user}", [(START, "works")])
        lane.append((self.now, "refuses"))
        lane.append((self.now + seconds, "works"))
        client.refuse(seconds)
        client.reset()

    def tell(self, name: str, what: str, detail: str = "") -> None:
        """Draw something at this moment that no event tells."""
        self._notes.setdefault(name, []).append((self.now, what, detail))

    def timelines(self) -> list[Timeline]:
        """What everybody saw; the networks come first."""
        drawn = [self._network(name, spans) for name, spans in self._networks.items()]
        return [*drawn, *(self._timeline(name, client) for name, client in self.cast)]

    def _network(self, name: str, spans: Iterable[tuple[float, str]]) -> Timeline:
        timeline = Timeline(name, lambda: self.now)
        for at, state in spans:
            if at <= self.now:
                timeline.enter(state, at, _wall(at))
        return timeline

    def _timeline(self, name: str, client: ClientHost) -> Timeline:
        timeline = Timeline(name, lambda: self.now)
        life = client.life
        # What an aggregate says of connections that never failed is nothing new; what a core tells an application
        # that does not listen is not drawn either.
        left_out = (ChannelMessage, PeerMessage) + ((PeerConnectionStateChanged,) if _is_calm(client) else ())
        moments: list[tuple[float, int, Any]] = [
            (at, 1, event) for at, event in life.events if not isinstance(event, left_out)
        ]
        moments += [(taken.time, 2, taken.message) for taken in life.taken]
        moments += _bursts([(at, event) for at, event in life.events if isinstance(event, ChannelMessage)])
        moments += [(at, 0, (what, detail)) for at, what, detail in self._notes.get(name, ())]
        for call in life.calls:
            if call.name == "connect" and call.ok:
                moments.append((call.done, 0, "connected"))
            elif call.name == "send_peer":
                moments.append((call.begun, 0, ("send_peer", f"to {call.arguments[0]}")))
                if call.done is not None:
                    result = call.value.status.name if call.error is None else type(call.error).__name__
                    moments.append((call.done, 2, ("send_peer ends", result)))
        for at, _, moment in sorted(moments, key=lambda found: found[:2]):
            if isinstance(moment, str):
                timeline.enter(moment, at, _wall(at))
            elif isinstance(moment, tuple):
                timeline.mark(*moment, at, _wall(at))
            elif isinstance(moment, PeerMessage):
                timeline.mark("PeerMessage", f"from {moment.sender}", at, _wall(at))
            else:
                timeline.note(moment, at, _wall(at))
        return timeline


def _is_calm(client: ClientHost) -> bool:
    return not {"disconnected", "failed"}.intersection(state for _, state in client.life.aggregates)


def _bursts(messages: list[tuple[float, ChannelMessage]]) -> list[tuple[float, int, Any]]:
    """Channel messages that follow each other closely, as one mark."""
    found: list[tuple[float, int]] = []
    last = -math.inf
    for at, _ in messages:
        if at - last > _BURST:
            found.append((at, 0))
        found[-1] = (found[-1][0], found[-1][1] + 1)
        last = at
    return [(at, 3, ("ChannelMessage", f"{count} of them")) for at, count in found]


def _wall(at: float) -> float:
    return WALL / _MICROSECONDS + at - START


@attrs.frozen
class Story:
    """One scenario.

    Attributes:
        name: Of its files.
        title: What happens, in a few words.
        text: What is to be seen.
        play: Plays it.
    """

    name: str
    title: str
    text: str
    play: Callable[[], Stage]


STORIES: Final[list[Story]] = []


def story(title: str, text: str) -> Callable[[Callable[[], Stage]], Callable[[], Stage]]:
    """Make a function a story, named after it."""

    def add(play: Callable[[], Stage]) -> Callable[[], Stage]:
        played = cache(play)
        STORIES.append(Story(play.__name__.replace("_", "-"), title, text, played))
        return played

    return add


def ordered() -> list[Story]:
    """All stories, in the order in which they are told."""
    importlib.import_module("docs.stories")
    return STORIES


# --- Pages ------------------------------------------------------------------------------------------------------


def picture(told: Story) -> str:
    """The SVG of a story."""
    return merged_svg(told.play().timelines(), title=told.title)


def page(told: Story) -> str:
    """The page of a story: the picture, what is to be seen, and the table."""
    return "\n".join(
        [
            f"# {told.title}",
            "",
            "<!-- Made by docs/timelines.py from a simulation; do not edit. -->",
            "",
            told.text,
            "",
            f"![{told.title}]({told.name}.svg)",
            "",
            "<!-- table -->",
            "```text",
            merged_table(told.play().timelines()).rstrip(),
            "```",
            "",
            "<!-- end of table -->",
            "",
        ]
    )


def index() -> str:
    """The page that lists the stories."""
    return "\n".join(
        [
            "# Timelines of failures",
            "",
            "<!-- Made by docs/timelines.py; do not edit. -->",
            "",
            "What the participants see when the network fails in some way, played in simulated time by the code that",
            "users get. Times count from the beginning of a story. The axis of a picture is not to scale: long",
            "stretches without an event are drawn shorter. [How to read one](../../howto/timeline.md).",
            "",
            "```{toctree}",
            ":maxdepth: 1",
            "",
            *(one.name for one in ordered()),
            "```",
            "",
        ]
    )


def pages() -> dict[str, Callable[[], str]]:
    """What makes each file, by its name in docs/."""
    made: dict[str, Callable[[], str]] = {f"{FOLDER}/index.md": index}
    for one in ordered():
        made[f"{FOLDER}/{one.name}.svg"] = lambda one=one: picture(one)
        made[f"{FOLDER}/{one.name}.md"] = lambda one=one: page(one)
    return made
