"""Data frames of rooms and RTC channels: newest first kept, never replayed, and never in the way of anything else."""

from rtmcore.codes import CloseCode
from rtmcore.service.commands.media import DataNotice, SendData
from rtmcore.service.commands.names import RTC
from rtmcore.service.connections import Connection
from rtmcore.service.context import NodeContext
from rtmcore.service.departures import Departures
from rtmcore.service.feeds import Feeds
from rtmcore.wire.codec import Codec
from rtmcore.wire.packets import Data, DataEntry
from rtmcore.wire.transport import server_message


class DataFrames:
    """Takes data frames of clients, and passes those of others on.

    Args:
        context: The node's common ground.
        feeds: The channels of the node.
        departures: Ends connections.
    """

    def __init__(self, context: NodeContext, feeds: Feeds, departures: Departures) -> None:
        self._context = context
        self._feeds = feeds
        self._departures = departures

    def send(self, connection: Connection, packet: Data) -> None:
        """Take a frame of a client: on the media connection of a room, or on the transport of an RTC session."""
        session = connection.media
        if session is None:
            session = connection.session
            if session is None or session.name.kind != RTC:
                text = "a Data packet has no place here"
                self._departures.close(connection, CloseCode.MALFORMED, text)
                return
        track = packet.track
        sizes = self._context.sizes
        if len(packet.body) > sizes.message:
            text = f"a data frame has at most {sizes.message} bytes"
            self._departures.close(connection, CloseCode.TOO_LARGE, text)
        elif track and len(track.encode("utf-8", "surrogatepass")) > sizes.track:
            text = f"the name of a data track has at most {sizes.track} bytes"
            self._departures.close(connection, CloseCode.TOO_LARGE, text)
        elif not track.isprintable():
            text = "the name of a data track has visible characters"
            self._departures.close(connection, CloseCode.MALFORMED, text)
        else:
            self._context.submit(SendData(session, track, packet.n, packet.body))

    def announce(self, notice: DataNotice) -> None:
        """Queue a frame with everybody but its author. It is encoded once for each codec."""
        feed = self._feeds.find(notice.app, notice.kind, notice.channel)
        if feed is None:
            return
        author = notice.author
        last = self._context.dirty_last
        packets = (DataEntry(author.name, notice.n, notice.body, notice.track),)
        encoded: dict[Codec, bytes] = {}
        sent = 0
        for name, connection in feed.listeners.items():
            if name == author:
                continue
            codec = connection.codec
            assert codec is not None
            frame = encoded.get(codec)
            if frame is None:
                frame = encoded[codec] = server_message(codec, packets)
            connection.queue_frame(frame)
            sent += 1
            if connection.blocked:
                self.keep_newest(connection)
            else:
                last.add(connection.number)
        self._context.count("data_frames_queued", sent)

    def keep_newest(self, connection: Connection) -> None:
        """Drop what a receiver that does not read can no longer have."""
        dropped = connection.keep_newest_frames(self._context.limits["frames_kept"])
        if dropped:
            self._context.count("data_frames_dropped", dropped)
