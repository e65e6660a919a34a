"""Every size, count, rate and timeout of the system, each with its unit and its source.

Nothing else in the project writes these figures down a second time. Sizes are bytes, with 1 KB = 1,024 bytes;
times are seconds unless the name says otherwise. The source stands at the end of each comment:

* ``seed 000`` to ``seed 004``: the documents the project was built from (RTM for the Web, Agora Native RTC,
  Twilio Video, MDN's peer connection states, RTM for Objective-C).
* ``documented``: another public page of the same vendors.
* ``design``: the project's own decision, where the documents name no figure.
"""

from typing import Final

import attrs


@attrs.frozen
class RateLimit:
    """At most ``count`` calls in any ``seconds`` seconds, over a sliding window of admitted calls.

    A refused call does not count toward the window (design: the documents do not say).

    Attributes:
        count: Calls admitted in one window, at least 1.
        seconds: Length of the window in seconds, above 0.
    """

    count: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.count} in {self.seconds:g} s"


KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB
DAY: Final = 86_400

# --- Identifiers, messages, attributes -----------------------------------------------------------------------

#: Characters of an app id, neither more nor less (documented).
APP_ID_LENGTH: Final = 32
#: Bytes of a user id, from 1 (documented; pages that say "less than 64" are overruled by the headers).
USER_ID_BYTES: Final = 64
#: Bytes of a channel id, from 1 (documented).
CHANNEL_ID_BYTES: Final = 64
#: The 89 characters that user and channel ids are made of (documented).
ID_CHARACTERS: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !#$%&()+-:;<=.>?@[]^_{}|~,"
)
#: Bytes of one message: text, raw data with its description, or media with name and thumbnail (seed 004).
MESSAGE_BYTES: Final = 32 * KIB
#: The same at most, however a server is configured: it has to fit into a frame, in Base64 too (design).
MESSAGE_BYTES_MAX: Final = 128 * KIB
#: UTF-8 bytes of an attribute key, from 1 (documented).
ATTRIBUTE_KEY_BYTES: Final = 32
#: UTF-8 bytes of an attribute value, from 1 (seed 004).
ATTRIBUTE_VALUE_BYTES: Final = 8 * KIB
#: Attributes of one user (seed 004).
USER_ATTRIBUTES: Final = 32
#: Keys and values of one user's attributes together, in UTF-8 bytes (seed 004).
USER_ATTRIBUTES_BYTES: Final = 16 * KIB
#: Attributes of one channel (seed 004).
CHANNEL_ATTRIBUTES: Final = 32
#: Keys and values of one channel's attributes together, in UTF-8 bytes (seed 004).
CHANNEL_ATTRIBUTES_BYTES: Final = 32 * KIB
#: Attributes of a user or a channel at most, however a server is configured: all fit into a frame (design).
ATTRIBUTES_MAX: Final = 256
#: Seconds that the attributes of an empty channel are kept ("several minutes" documented; the figure: design).
CHANNEL_ATTRIBUTES_GRACE: Final = 120.0
#: The same at most, however a server is configured (design).
CHANNEL_ATTRIBUTES_GRACE_MAX: Final = float(DAY)
#: Bytes of a metadata key of version 1.6 (documented).
METADATA_KEY_BYTES: Final = 32

# --- Rates of one client; over them a call is refused with its TOO_OFTEN code, never queued ------------------

#: Logins of one verified user (seed 004).
LOGIN_RATE: Final = RateLimit(2, 1.0)
#: Token renewals (seed 004).
RENEW_TOKEN_RATE: Final = RateLimit(2, 1.0)
#: Peer and channel messages together (seed 004).
SEND_RATE: Final = RateLimit(180, 3.0)
#: Joins of whatever channel (seed 004).
JOIN_RATE: Final = RateLimit(50, 3.0)
#: Joins of one and the same channel (seed 004).
JOIN_SAME_CHANNEL_RATE: Final = RateLimit(2, 5.0)
#: Member lists (seed 004).
MEMBERS_RATE: Final = RateLimit(5, 2.0)
#: Member counts (seed 004).
MEMBER_COUNT_RATE: Final = RateLimit(1, 1.0)
#: Online status queries (seed 004).
PRESENCE_QUERY_RATE: Final = RateLimit(10, 5.0)
#: Subscriptions to online status; withdrawals count by themselves at the same rate (seed 004).
PRESENCE_SUBSCRIBE_RATE: Final = RateLimit(10, 5.0)
#: Lists of the peers subscribed to (seed 004).
PEERS_SUBSCRIBED_RATE: Final = RateLimit(10, 5.0)
#: Writes of one's own user attributes, all four methods together (seed 004).
USER_ATTRIBUTES_WRITE_RATE: Final = RateLimit(10, 5.0)
#: Reads of user attributes, both methods together (seed 004).
USER_ATTRIBUTES_READ_RATE: Final = RateLimit(40, 5.0)
#: Writes of channel attributes, all four methods together (seed 004).
CHANNEL_ATTRIBUTES_WRITE_RATE: Final = RateLimit(10, 5.0)
#: Reads of channel attributes, both methods together (seed 004).
CHANNEL_ATTRIBUTES_READ_RATE: Final = RateLimit(10, 5.0)
#: Lists of one's own stored messages, and flushes; each counts by itself (design).
STORED_RATE: Final = RateLimit(10, 5.0)
#: Times the count of a rate that a server takes at once; the mean is that of the rate (design).
SERVER_RATE_BURST: Final = 2
#: Calls of a rate at most, however a server is configured; a client remembers so many (design).
RATE_COUNT_MAX: Final = 100_000
#: Seconds of a rate at most, however a server is configured (design).
RATE_SECONDS_MAX: Final = 3600.0

# --- Total time of a call, in seconds ------------------------------------------------------------------------

#: Login as a whole (seed 000; older pages say 10 and 6).
LOGIN_TIMEOUT: Final = 12.0
#: One login attempt: name look-up, TCP, TLS, upgrade, welcome (seed 004 has it as the login's own; design).
LOGIN_ATTEMPT_TIMEOUT: Final = 6.0
#: Sending a peer or channel message (seed 004).
SEND_TIMEOUT: Final = 10.0
#: Sending a message over HTTP: the server may wait that long for the peer, and the network has a second (design).
PUBLISH_TIMEOUT: Final = SEND_TIMEOUT + 1.0
#: Join, leave, member list and count, attributes, list of subscriptions, token renewal (seed 004).
OPERATION_TIMEOUT: Final = 5.0
#: Querying online status, subscribing to it and unsubscribing (seed 004).
PRESENCE_TIMEOUT: Final = 10.0
#: Waiting for the next event of a subscription, unless the call says otherwise (design).
GET_TIMEOUT: Final = 10.0
#: Logout (design).
LOGOUT_TIMEOUT: Final = 5.0
#: Closing a client, its threads included (design).
CLOSE_TIMEOUT: Final = 5.0
#: Goodbye behind a hello when `logout` is called while CONNECTING (design).
GOODBYE_TIMEOUT: Final = 1.0
#: Goodbye of a client that the interpreter's exit found open (design).
EXIT_GOODBYE_TIMEOUT: Final = 2.0
#: One call of the token provider (design).
TOKEN_PROVIDER_TIMEOUT: Final = 10.0
#: From the begin of an attempt to reconnect until it goes on with the last token, the provider's being late (design).
TOKEN_PATIENCE: Final = 1.0

# --- Silence, reconnecting, replay (RTM policy); seconds ------------------------------------------------------

#: Silence after which a client is RECONNECTING (seeds 000, 001, 004).
INTERRUPTED_AFTER: Final = 4.0
#: Silence after which a client may open a transport beside the silent one (design).
SPARE_TRANSPORT_AFTER: Final = 3.0
#: Silence after which the server calls a peer UNREACHABLE (seed 004).
UNREACHABLE_AFTER: Final = 6.0
#: Silence after which the server calls a peer OFFLINE and takes it out of its channels (seeds 000, 004).
OFFLINE_AFTER: Final = 30.0
#: A side that sent nothing for this long sends a beat (design; it has to fit twice into 4 s).
BEAT_INTERVAL: Final = 1.5
#: Age of the oldest channel message replayed after a reconnect (seed 000).
REPLAY_WINDOW: Final = 30.0
#: Channel messages replayed after a reconnect, the newest ones; per channel (seed 000; the scope: design).
REPLAY_MAX: Final = 32
#: The same at most, however a server is configured (design).
REPLAY_MAX_CONFIGURED: Final = 256
#: Bytes of a replay of one channel at most, however a server is configured; more would end a slow line (design).
REPLAY_BYTES_MAX: Final = 4 * MIB
#: Seconds that a replay may take on a slow line and still have what was young enough at the return (design).
REPLAY_DRAIN: Final = 300.0
#: First wait between attempts, before jitter; the first attempt waits for nothing (design).
BACKOFF_BASE: Final = 0.25
#: Factor from one wait to the next (design).
BACKOFF_FACTOR: Final = 2.0
#: Longest wait between attempts, so that several fit into the 30 s before OFFLINE (design).
BACKOFF_CAP: Final = 8.0
#: Seconds that a restored session has to live before the next loss is retried at once again (design).
BACKOFF_SETTLED: Final = 1.0
#: Longest wait that a server's or proxy's "retry after" is honoured for (design).
RETRY_AFTER_MAX: Final = 300.0
#: Seconds by which a client's give-up timer fires late when it allows one attempt first (design).
LATE_GIVE_UP: Final = 1.0
#: Rejoining channels and restoring subscriptions before CONNECTED is announced, in all (design).
RESTORE_TIMEOUT: Final = 5.0
#: Head start of one network address over the next of the same name (documented: RFC 8305).
ADDRESS_STAGGER: Final = 0.25

# --- Frames and handshake -------------------------------------------------------------------------------------

#: Bytes of one WebSocket message, announced in the welcome (design).
FRAME_BYTES: Final = 256 * KIB
#: Packets in one WebSocket message (design).
PACKETS_PER_FRAME: Final = 64
#: WebSocket frames that one message may be cut into (design).
FRAGMENTS_PER_MESSAGE: Final = 64
#: Bytes of a ping, pong or close frame's payload (documented: RFC 6455).
CONTROL_FRAME_BYTES: Final = 125
#: UTF-8 bytes of a close frame's reason (documented: RFC 6455).
CLOSE_REASON_BYTES: Final = 123
#: Pings and pongs in one read; a ping every 1.5 s over the longest silence makes 20 (design).
CONTROL_FRAMES_PER_READ: Final = 64
#: Bytes of an HTTP request or response head (design).
HANDSHAKE_BYTES: Final = 16 * KIB
#: Header fields of an HTTP request or response (design).
HANDSHAKE_HEADERS: Final = 64
#: Bytes of a refusal's body that are read to explain it, from a server or a proxy (design).
REFUSAL_BODY_BYTES: Final = 1024
#: Characters of such a body that are quoted in an error message (design).
REFUSAL_EXCERPT: Final = 200
#: Seconds from the accepted connection to a valid hello (design).
HELLO_TIMEOUT: Final = 5.0
#: Bytes received before a valid hello, the HTTP request not counted (design).
HELLO_BYTES: Final = 16 * KIB
#: Connections without a valid hello, per server process (design).
CONNECTIONS_BEFORE_HELLO: Final = 2048
#: Connections without a valid hello, per remote address (design).
CONNECTIONS_BEFORE_HELLO_PER_ADDRESS: Final = 256
#: Seconds that a side waits for the answer to its close frame (design).
CLOSE_HANDSHAKE_TIMEOUT: Final = 2.0
#: Packets that a client collects behind a request in flight before the frame leaves (design).
BATCH_PACKETS: Final = 16
#: Bytes that a client collects before the frame leaves; a larger packet goes alone (design).
BATCH_BYTES: Final = 64 * KIB
#: Seconds from the first collected packet to the frame at the latest (design).
BATCH_DELAY: Final = 0.002
#: Bytes that a request needs around its body at most; used to fill frames without encoding twice (design).
REQUEST_OVERHEAD: Final = 256

# --- Flow control and exactly-once ----------------------------------------------------------------------------

#: Inbox messages sent but not acknowledged, per session (design).
INBOX_WINDOW_MESSAGES: Final = 256
#: The same at most, however a server is configured (design).
INBOX_WINDOW_MESSAGES_MAX: Final = 4096
#: Bytes of inbox messages sent but not acknowledged, per session (design).
INBOX_WINDOW_BYTES: Final = 1 * MIB
#: The same at most, however a server is configured; more would end a slow line (design).
INBOX_WINDOW_BYTES_MAX: Final = 4 * MIB
#: Origins of peer messages that a client remembers to drop doubles (design).
ORIGINS_REMEMBERED: Final = 4096
#: Seconds that an origin is remembered at least (design).
ORIGIN_MEMORY: Final = 120.0
#: Origins of peer messages that a client remembers at most, however young they are (design).
ORIGINS_REMEMBERED_MAX: Final = 65_536
#: Senders in channels whose latest message a client remembers to drop doubles (design).
CHANNEL_SENDERS_REMEMBERED: Final = 4096
#: Channel messages behind a gap that a client holds, per channel, until the gap is explained (design).
CHANNEL_HELD_MESSAGES: Final = 256
#: Bytes of such messages, per channel (design).
CHANNEL_HELD_BYTES: Final = 1 * MIB
#: Seconds by which a sender stops waiting before the peer send's own time is over, so that the answer arrives; at
#: most a quarter of that time (design).
ANSWER_MARGIN: Final = 0.5
#: Results of one session's requests that the engine keeps for repeats (design).
RESULTS_REMEMBERED: Final = 1024
#: The same at most, however a server is configured (design).
RESULTS_REMEMBERED_MAX: Final = 65_536
#: Seconds that the results are kept after the session ended (design).
RESULT_MEMORY: Final = 120.0
#: Requests of one client that wait for their answer (design).
REQUESTS_IN_FLIGHT: Final = 1024
#: Seconds that an engine command waits before the operation fails (design).
COMMAND_TIMEOUT: Final = 5.0
#: Bytes that a client has made but its socket has not taken (design).
OUTBOUND_BYTES: Final = 8 * MIB
#: Bytes that a server holds for one connection before it is closed as a slow consumer (design).
SERVER_OUTBOUND_BYTES: Final = 8 * MIB

# --- Peer messages in store -----------------------------------------------------------------------------------

#: Messages in one user's inbox while not delivered (design).
INBOX_MESSAGES: Final = 10_000
#: Bytes in one user's inbox while not delivered (design).
INBOX_BYTES: Final = 8 * MIB
#: Bytes in all inboxes (design).
ALL_INBOXES_BYTES: Final = 512 * MIB
#: Offline messages kept for one receiver; a newer one drops the oldest (documented).
OFFLINE_MESSAGES: Final = 200
#: Days that an offline message is kept (documented).
OFFLINE_DAYS: Final = 7
#: The same at most, however a server is configured (design).
KEPT_DAYS_MAX: Final = 3650
#: The days of offline messages in seconds (documented).
OFFLINE_SECONDS: Final = OFFLINE_DAYS * DAY
#: Bytes stored on behalf of one sender (design).
STORED_BYTES_PER_SENDER: Final = 64 * MIB
#: Messages stored on behalf of one sender in a day (design).
STORED_MESSAGES_PER_SENDER_DAY: Final = 10_000
#: Bytes stored in all (design).
STORED_BYTES: Final = 10 * GIB
#: Seconds by which an acknowledgement is late enough for the message to be journaled (design).
DELIVERY_JOURNAL_DELAY: Final = 1.0

# --- Channels and presence ------------------------------------------------------------------------------------

#: Channels that one client is in at the same time (seed 004).
CHANNELS_JOINED: Final = 20
#: The same at most, however a server is configured: a hello names them all (design).
CHANNELS_JOINED_MAX: Final = 64
#: Members named in a member list; a larger channel answers with a random choice (documented).
CHANNEL_MEMBERS_LISTED: Final = 512
#: The same at most, however a server is configured: an answer fits into a frame (design).
CHANNEL_MEMBERS_LISTED_MAX: Final = 1024
#: Members above which joins and leaves are no longer announced (documented).
MEMBER_EVENTS_MAX: Final = 512
#: Seconds between member counts while joins are announced (documented).
MEMBER_COUNT_INTERVAL: Final = 1.0
#: Seconds between member counts in a larger channel (documented).
LARGE_MEMBER_COUNT_INTERVAL: Final = 3.0
#: Channels in one member count query (seed 004).
MEMBER_COUNT_CHANNELS: Final = 32
#: Users in one online status query (documented).
PRESENCE_QUERY_USERS: Final = 256
#: Users subscribed to, per call and in total (seed 004).
PRESENCE_SUBSCRIPTIONS: Final = 512
#: Users or channels in one request at most, however a server is configured: they fit into a frame (design).
LISTED_NAMES_MAX: Final = 2048
#: Members from which a channel counts as medium in the advice on sending rates (documented).
MEDIUM_CHANNEL_MEMBERS: Final = 1_000
#: Members from which a channel counts as large in that advice (documented).
LARGE_CHANNEL_MEMBERS: Final = 10_000
#: Advised messages to a channel below the medium size (documented; not enforced).
SMALL_CHANNEL_ADVISED_RATE: Final = RateLimit(200, 1.0)
#: Advised messages to a medium channel (documented; not enforced).
MEDIUM_CHANNEL_ADVISED_RATE: Final = RateLimit(100, 1.0)
#: Advised messages to a large channel (documented; not enforced).
LARGE_CHANNEL_ADVISED_RATE: Final = RateLimit(30, 1.0)

# --- Tokens ---------------------------------------------------------------------------------------------------

#: Longest life of a token, in seconds (seed 002: 24 hours).
TOKEN_SECONDS_MAX: Final = DAY
#: Life of a token when its maker names none, in seconds (documented: the public builders).
TOKEN_SECONDS_DEFAULT: Final = 900
#: Seconds by which clocks may differ when a token's times are judged (design).
TOKEN_LEEWAY: Final = 10
#: Seconds by which a token may claim to have been issued in the future (design).
TOKEN_ISSUED_AHEAD: Final = 300
#: Bytes of a token in its text form (design).
TOKEN_BYTES: Final = 8 * KIB
#: Bytes of a compressed token once inflated (design).
TOKEN_INFLATED_BYTES: Final = 8 * KIB
#: Bytes of a signing key for HS256 at least (documented: RFC 7518).
TOKEN_KEY_BYTES_MIN: Final = 32
#: Characters of an app certificate, which signs tokens of version 006 and 007 (documented).
APP_CERTIFICATE_LENGTH: Final = 32
#: Certificates of one app, the one that signs and the one that it takes the place of (documented).
APP_CERTIFICATES: Final = 2
#: Largest salt of a token of version 007; the smallest is 1 (documented).
TOKEN_SALT_MAX: Final = 99_999_999
#: Seconds between two looks at whether a server's key files have changed (design).
KEY_FILE_INTERVAL: Final = 5.0
#: Bytes of a server's settings, and of a file with keys or certificates (design).
SETTINGS_BYTES: Final = 64 * KIB
#: Seconds before its end at which a token's owner is told that it will expire (documented).
TOKEN_WILL_EXPIRE_BEFORE: Final = 30.0

# --- Call invitations -----------------------------------------------------------------------------------------

#: UTF-8 bytes of an invitation's content (documented).
INVITATION_CONTENT_BYTES: Final = 8 * KIB
#: UTF-8 bytes of an answer to an invitation (documented).
INVITATION_RESPONSE_BYTES: Final = 8 * KIB
#: Bytes of an invitation's signal on the wire: JSON may take six for one of the content (design).
INVITATION_SIGNAL_BYTES: Final = 64 * KIB
#: Seconds from sending to PEER_OFFLINE or PEER_NO_RESPONSE when the callee did not acknowledge (seed 004).
INVITATION_ACKNOWLEDGE_TIMEOUT: Final = 30.0
#: Seconds from sending to INVITATION_EXPIRE when nobody acts, on the caller's clock (seed 004).
INVITATION_EXPIRE_AFTER: Final = 60.0
#: Seconds that an acceptance waits for the caller's acknowledgement (design).
INVITATION_ACCEPT_TIMEOUT: Final = 30.0
#: Seconds that a wait for the end of an invitation takes by default: as long as one can last (design).
INVITATION_WAIT: Final = INVITATION_EXPIRE_AFTER + INVITATION_ACCEPT_TIMEOUT
#: UTF-8 bytes of an invitation's channel id (documented).
INVITATION_CHANNEL_BYTES: Final = 64
#: UTF-8 bytes of the id by which caller and callee know an invitation (design).
INVITATION_ID_BYTES: Final = 64
#: Seconds until a signal of an invitation that did not reach the other side is sent again (design).
INVITATION_RESEND: Final = 2.0
#: Invitations of one client that are sent and not decided (design).
INVITATIONS_SENT: Final = 64
#: Invitations to one client that are not decided; it does not ring for more (design).
INVITATIONS_RECEIVED: Final = 256
#: The same of one caller (design).
INVITATIONS_OF_ONE_CALLER: Final = 16
#: Decided invitations that a client remembers on each side, to answer and to recognise what comes late (design).
INVITATIONS_REMEMBERED: Final = 256

# --- Files and images -----------------------------------------------------------------------------------------

#: Bytes of a file, from 1 (documented; one page says 32 MB).
MEDIA_BYTES: Final = 30 * MIB
#: Days that an uploaded file is kept (documented).
MEDIA_DAYS: Final = 7
#: The same in seconds (documented).
MEDIA_SECONDS: Final = MEDIA_DAYS * DAY
#: Uploads and downloads of one client at the same time, together (documented).
MEDIA_TRANSFERS: Final = 9
#: Seconds without a byte after which a transfer ends with TIMEOUT (documented).
MEDIA_IDLE_TIMEOUT: Final = 120.0
#: Seconds between two calls of a progress callback at least (design; documented: 1 s).
MEDIA_PROGRESS_INTERVAL: Final = 0.1
#: Bytes of one piece of an upload or download (design).
MEDIA_CHUNK_BYTES: Final = 256 * KIB
#: Bytes of a file at most, however a server is configured (design).
MEDIA_BYTES_MAX: Final = 4 * GIB
#: Uploads and downloads at the same time, of all users of a server process (design).
MEDIA_TRANSFERS_MAX: Final = 256
#: Uploads of one user that were begun and are not finished (design).
MEDIA_UNFINISHED: Final = 18
#: Seconds after its last byte that an unfinished upload can be gone on with (design).
MEDIA_UNFINISHED_SECONDS: Final = 3600.0
#: Bytes of the files of one app (design).
MEDIA_APP_BYTES: Final = 10 * GIB
#: Bytes of all files (design).
MEDIA_ALL_BYTES: Final = 20 * GIB
#: Bytes of all files of a server that has no data directory (design).
MEDIA_MEMORY_BYTES: Final = 256 * MIB
#: UTF-8 bytes of the name of a file (design).
MEDIA_NAME_BYTES: Final = 255
#: Characters of a media id (design).
MEDIA_ID_LENGTH: Final = 64
#: Pixels of one side of an image, as messages tell them (design).
MEDIA_SIDE_PIXELS: Final = 2**31 - 1
#: Bytes at the beginning of an image in which its size has to be told (design).
MEDIA_HEADER_BYTES: Final = 4 * MIB
#: Segments in the header of a JPEG that are looked at (design).
MEDIA_JPEG_SEGMENTS: Final = 1024
#: Pixels of an image of which a thumbnail is made: what unpacking it may cost (design).
MEDIA_THUMBNAIL_PIXELS: Final = 50_000_000
#: Pixels of the longer side of a thumbnail (design).
MEDIA_THUMBNAIL_SIDE: Final = 160
#: Bytes of a thumbnail that is made: half a message (design).
MEDIA_THUMBNAIL_BYTES: Final = 16 * KIB
#: Seconds in which neither side of a connection has moved a byte, after which a transfer goes on with another (design).
MEDIA_STALL_TIMEOUT: Final = 15.0
#: Seconds that the removal of a canceled upload may take (design).
MEDIA_WITHDRAW_TIMEOUT: Final = 2.0
#: Seconds before its end from which on a ticket is not used for a new request (design).
MEDIA_TICKET_MARGIN: Final = 10.0
#: Seconds that a ticket for uploads and downloads is good for (design).
MEDIA_TICKET_SECONDS: Final = 600
#: Characters of such a ticket (design).
MEDIA_TICKET_LENGTH: Final = 1024
#: Tickets that a user gets over HTTP; one is good for many transfers (design).
MEDIA_TICKET_RATE: Final = RateLimit(60, 60.0)
#: Bytes of one upload or download that a server holds: read and not written, or made and not taken (design).
MEDIA_WINDOW_BYTES: Final = 512 * KIB
#: Seconds between two looks for files that have expired (design).
MEDIA_SWEEP_INTERVAL: Final = 300.0
#: Answers of the store of files that are taken in one turn; those left are taken in the next (design).
MEDIA_ANSWERS_PER_TURN: Final = 4

# --- History, event feeds and messages over HTTP ---------------------------------------------------------------

#: Days that the history of messages goes back (documented).
HISTORY_DAYS: Final = 7
#: The same in seconds (documented).
HISTORY_SECONDS: Final = HISTORY_DAYS * DAY
#: Bytes of history per app id (documented).
HISTORY_BYTES: Final = 2 * GIB
#: Page sizes that a history query may ask for (documented).
HISTORY_PAGE_SIZES: Final = (20, 50, 100)
#: History requests per app id (documented).
HISTORY_RATE: Final = RateLimit(100, 1.0)
#: Seconds to wait before a history query "in progress" is asked again (documented).
HISTORY_POLL_INTERVAL: Final = 2.0
#: Peer messages sent over HTTP, per app id (documented).
HTTP_PEER_MESSAGE_RATE: Final = RateLimit(500, 1.0)
#: Channel messages sent over HTTP, per app id (documented; later pages sum both at 500).
HTTP_CHANNEL_MESSAGE_RATE: Final = RateLimit(1000, 1.0)
#: Bytes of the body of an HTTP request or answer: a message of the documented size in the longest JSON (design).
HTTP_BODY_BYTES: Final = 256 * KIB
#: Bytes of the body of an answer that a client reads: a message as large as can be configured is longer (design).
HTTP_ANSWER_BYTES: Final = 1 * MIB
#: Bytes of an HTTP connection that are kept before their turn has come (design).
HTTP_EARLY_BYTES: Final = HTTP_BODY_BYTES + 2 * HANDSHAKE_BYTES
#: Bytes of a body in pieces that are read or written ahead, per direction of an HTTP connection (design).
HTTP_WINDOW_BYTES: Final = 256 * KIB
#: Bytes of a line between the chunks of a chunked body, or of its trailer section (design).
HTTP_CHUNK_LINE_BYTES: Final = 1 * KIB
#: Bytes by which such lines may exceed 16 for each chunk and twice the body's bytes (design).
HTTP_CHUNK_EXCESS_BYTES: Final = 16 * KIB
#: Interim responses to one HTTP request (design).
HTTP_INTERIM_RESPONSES: Final = 4096
#: Seconds that a client waits for the interim response 100 before it sends the body all the same (design).
HTTP_CONTINUE_TIMEOUT: Final = 1.0
#: Seconds that an HTTP connection may be idle, or a request takes to arrive (design).
HTTP_IDLE_TIMEOUT: Final = 60.0
#: Seconds for which a client message id of a request over HTTP is kept (design).
IDEMPOTENCY_SECONDS: Final = 120.0
#: Such ids that are kept, per server process (design).
IDEMPOTENCY_KEYS: Final = 100_000
#: Characters of such an id (design).
IDEMPOTENCY_KEY_LENGTH: Final = 128
#: User or channel events kept for the event feed; a newer one drops the oldest (documented).
EVENT_FEED_STORED: Final = 2000
#: Events handed out by one call of the event feed (documented).
EVENT_FEED_PER_CALL: Final = 1000
#: Calls of an event feed (documented).
EVENT_FEED_RATE: Final = RateLimit(10, 1.0)
#: Events handed out that are kept for repeats of a call, per feed; each answer counts for one more (design).
EVENT_FEED_REPEATED: Final = 20_000

# --- Log files ------------------------------------------------------------------------------------------------

#: Bytes of one log file by default (documented: 10,240 KB).
LOG_FILE_BYTES: Final = 10_240 * KIB
#: Bytes of one log file at least (documented).
LOG_FILE_BYTES_MIN: Final = 512 * KIB
#: Bytes of one log file at most (documented).
LOG_FILE_BYTES_MAX: Final = 1 * GIB
#: Log files that rotate (seed 004).
LOG_FILES: Final = 2

# --- RTC policy (Agora Native); seconds since the last byte received -------------------------------------------

#: A first join as a whole, then connection lost and FAILED (documented).
RTC_LOGIN_TIMEOUT: Final = 10.0
#: RECONNECTING / INTERRUPTED (seed 001).
RTC_INTERRUPTED_AFTER: Final = 4.0
#: "Connection lost", once an outage (seed 001).
RTC_LOST_AFTER: Final = 10.0
#: The others are told that a user went offline (seed 001).
RTC_REMOTE_OFFLINE_AFTER: Final = 20.0
#: FAILED / JOIN_FAILED, the client stops trying (seed 001: 20 minutes).
RTC_GIVE_UP_AFTER: Final = 1200.0
#: Join call to "joined" in the documented time line; a typical value, nothing waits for it (seed 001).
RTC_JOIN_TYPICAL: Final = 0.2
#: "Joined" to the others being told in the same time line; a typical value (seed 001).
RTC_ANNOUNCE_TYPICAL: Final = 0.1
#: An empty channel is taken down (documented).
RTC_EMPTY_CHANNEL_AFTER: Final = 10.0
#: A user's streams are withdrawn in browsers (documented).
RTC_UNPUBLISHED_AFTER: Final = 10.0
#: A user is gone for the first generation of browser clients (documented).
RTC_LEGACY_WEB_OFFLINE_AFTER: Final = 180.0
#: Between two reports of network quality (documented).
RTC_NETWORK_QUALITY_INTERVAL: Final = 2.0

# --- Room policy (Twilio Video) -------------------------------------------------------------------------------

#: The one connect attempt as a whole, in seconds (documented).
ROOM_CONNECT_TIMEOUT: Final = 15.0
#: Wait for the welcome after a hello, in seconds (documented).
ROOM_WELCOME_TIMEOUT: Final = 5.0
#: Hellos on one transport (documented).
ROOM_HELLO_TRIES: Final = 3
#: Silence of signaling after which a room is reconnecting, in seconds (design; documented is up to 15).
ROOM_SIGNALING_INTERRUPTED_AFTER: Final = 4.0
#: Silence of media after which a room is reconnecting, in seconds (documented).
ROOM_MEDIA_INTERRUPTED_AFTER: Final = 3.0
#: A side of a media connection that sent nothing for this long sends a beat; it has to fit twice into 3 s (design).
ROOM_MEDIA_BEAT: Final = 1.0
#: Between two looks at the media's bytes, in seconds (documented).
ROOM_MEDIA_CHECK_INTERVAL: Final = 1.0
#: Silence after which the others see `participantReconnecting`, in seconds (design).
ROOM_PARTICIPANT_RECONNECTING_AFTER: Final = 6.0
#: Outage after which a room is disconnected and the others see `participantDisconnected` (documented).
ROOM_SESSION_TIMEOUT: Final = 30.0
#: Heartbeat of the documented signaling, in seconds; ours is BEAT_INTERVAL (documented).
ROOM_HEARTBEAT: Final = 5.0
#: Seconds by which the documented heartbeat leaves early (documented).
ROOM_HEARTBEAT_LEAD: Final = 0.2
#: Heartbeats missed before the documented signaling gives a transport up (documented).
ROOM_HEARTBEATS_MISSED: Final = 3
#: First wait between signaling attempts, in seconds (documented).
ROOM_BACKOFF_BASE: Final = 0.08
#: Factor from one wait to the next (documented).
ROOM_BACKOFF_FACTOR: Final = 1.5
#: Longest wait between signaling attempts, in seconds (documented).
ROOM_BACKOFF_CAP: Final = 10.0
#: First wait between media restarts, in seconds (documented).
ROOM_MEDIA_BACKOFF_BASE: Final = 1.0
#: Factor from one media restart to the next (documented).
ROOM_MEDIA_BACKOFF_FACTOR: Final = 1.1
#: Longest wait between media restarts, in seconds (documented).
ROOM_MEDIA_BACKOFF_CAP: Final = 30.0
#: Best network quality level; 0 is broken (documented).
ROOM_NETWORK_QUALITY_MAX: Final = 5
#: Highest verbosity of network quality reports (documented).
ROOM_NETWORK_QUALITY_VERBOSITY_MAX: Final = 3
#: Deadline of one network quality exchange, in seconds (documented).
ROOM_NETWORK_QUALITY_TIMEOUT: Final = 5.0
#: Participants of one room; there are no larger ones (documented as the bound of ordinary rooms).
ROOM_PARTICIPANTS: Final = 50
#: Data frames that wait for one receiver; older ones are dropped (design).
DATA_FRAMES_KEPT: Final = 64
#: The same at most, however a server is configured (design).
DATA_FRAMES_KEPT_MAX: Final = 1024
#: Name of a data track (documented).
TRACK_NAME_BYTES: Final = 128
#: Data tracks of one participant (design).
DATA_TRACKS: Final = 16
#: Participants above which one is announced only when he publishes (documented).
ROOM_LARGE_PARTICIPANTS: Final = 50

# --- Client queues --------------------------------------------------------------------------------------------

#: Events that a queue or iterator holds before it marks a gap (design).
SUBSCRIPTION_QUEUE: Final = 1000
#: Events kept for the first subscription to them (design).
EARLY_EVENTS: Final = 256
#: Peer messages waiting for the dispatcher from which acknowledgements are withheld (design).
DISPATCH_WAITING: Final = 256
#: Seconds that a callback may take before its name is logged (design).
SLOW_CALLBACK: Final = 1.0
#: Seconds of one slice of a blocking wait, so that Ctrl-C is noticed everywhere (design).
WAIT_SLICE: Final = 1.0
#: Bytes of early events of one channel beyond which the oldest go (design).
EARLY_EVENT_BYTES: Final = 1 * MIB
#: Seconds between two log messages about events dropped for slow callbacks (design).
LAGGED_LOG_INTERVAL: Final = 60.0
#: Times that clients of one user are put out by another login, and seconds, from which it is called a loop (design).
REMOTE_LOGIN_LOOP: Final = RateLimit(3, 60.0)
#: Users of one process of whom that is remembered (design).
RIVALS_REMEMBERED: Final = 100
#: Name look-ups and token provider calls of one client that may hang at the same time (design).
HELPER_THREADS: Final = 4
#: Seconds that a blocking call waits beyond its timeout for the library to tell how it ended (design).
OUTCOME_GRACE: Final = 5.0
#: Spans of states that a timeline keeps; the oldest that have ended are dropped, and counted (design).
TIMELINE_SPANS: Final = 1000
#: Marks that a timeline keeps besides; the oldest are dropped, and counted (design).
TIMELINE_MARKS: Final = 1000

# --- Server ---------------------------------------------------------------------------------------------------

#: Connections accepted in one turn of the loop (design).
ACCEPTS_PER_TURN: Final = 64
#: Bytes read from one socket in one turn (design).
READ_CHUNK: Final = 64 * KIB
#: Seconds that a turn may have lasted when it still reads media sockets; those left are read in the next (design).
TURN_POLL: Final = 0.05
#: Seconds by which a late turn moves no deadline yet; beyond, all deadlines of clients move (design).
LATE_TURN: Final = 1.0
#: Seconds by which ids and fences are reserved ahead on disk (design).
CLOCK_RESERVATION: Final = 60.0
#: Threads that write, read, sync and hash files (design).
BLOB_THREADS: Final = 4
#: Files of uploads that stay open between two pieces, and as many of downloads (design).
BLOB_FILES_OPEN: Final = 64
#: Seconds after which such a file is closed when the server looks for what has expired (design).
BLOB_IDLE_TIMEOUT: Final = 120.0
#: Seconds that a program waits for its own server to ban a user, or to let him in again (design).
BAN_TIMEOUT: Final = 10.0
#: Seconds that a stopping server gives its connections to leave (design).
DRAIN_TIMEOUT: Final = 10.0

#: Bytes waiting for a connection below which the reading of its logs goes on (design).
REPLAY_BELOW: Final = 256 * KIB
#: Bytes that a node hands to a socket at once (design).
WRITE_CHUNK: Final = 256 * KIB
#: Bytes of answers to one connection that share a WebSocket message; a larger one goes alone (design).
ANSWER_BYTES: Final = 64 * KIB
#: Bytes of bodies in one page of stored messages or of the history, which has to fit into a frame (design).
PAGE_BYTES: Final = 128 * KIB
#: Messages in one page of stored messages (design).
STORED_PAGE_MESSAGES: Final = 100
#: Entries of a channel kept for members whose join or replay is under way (design).
HELD_ENTRIES: Final = 1024
#: Bytes of their bodies (design).
HELD_BYTES: Final = 1 * MIB
#: Longest time, in seconds, that a sender may wait for the peer's acknowledgement (design).
SEND_WAIT_MAX: Final = 120.0
#: Seconds after which a client that met a full or failing server is asked to come back (design).
BUSY_RETRY: Final = 1.0
#: Characters of a client instance's id at least (design).
INSTANCE_ID_MIN: Final = 16
#: Characters of a client instance's id at most (design).
INSTANCE_ID_MAX: Final = 32
#: Characters of a session's secret at most (design).
SECRET_LENGTH_MAX: Final = 128

# --- Memory of an engine --------------------------------------------------------------------------------------

#: Bytes that an inbox entry costs besides its body, counted in the bytes of all inboxes (design).
INBOX_ENTRY_OVERHEAD: Final = 512
#: Client instances of one name whose attempts and results are remembered (design).
INSTANCES_REMEMBERED: Final = 8
#: Seconds that the last fence of a name is remembered after its session ended (design).
NAME_MEMORY: Final = float(DAY)
#: Names without a session that are remembered; beyond, the longest gone are forgotten first (design).
NAMES_REMEMBERED: Final = 100_000
#: Seconds that the log of a channel is remembered after its last member left (design).
CHANNEL_MEMORY: Final = 3600.0
#: Channels without members that are remembered; beyond, the longest empty are forgotten first (design).
CHANNELS_REMEMBERED: Final = 10_000
#: Entries of one channel whose positions are remembered at least, so that losses are counted exactly (design).
POSITIONS_REMEMBERED: Final = 262_144
#: The same in all channels; beyond, the longest logs forget half of their own (design).
ALL_POSITIONS_REMEMBERED: Final = 4_194_304
#: Bytes of bodies in the windows of all channels; beyond, a channel that grows shortens its own (design).
ALL_WINDOWS_BYTES: Final = 256 * MIB
#: Channels that have attributes at the same time (design).
CHANNELS_WITH_ATTRIBUTES: Final = 100_000
#: Bytes of the attributes of all channels, with those that are on their way to the disk (design).
ALL_CHANNEL_ATTRIBUTES_BYTES: Final = 256 * MIB
#: Bytes that a message of the history costs besides its body, counted in the bytes of its app (design).
HISTORY_ENTRY_OVERHEAD: Final = 256
#: Messages of the history whose time is over that one commit drops at most (design).
HISTORY_DROPPED_AT_ONCE: Final = 10_000
#: Questions about the history that wait for the disk (design).
HISTORY_QUESTIONS: Final = 1024
#: Bytes of messages to channels that wait until the history is on the disk, in all (design).
HISTORY_HELD_BYTES: Final = 64 * MIB
#: Users that may be banned at the same time (design).
BANS: Final = 100_000
#: Characters of the reason of a ban (design).
BAN_REASON_LENGTH: Final = 500
#: Seconds between two looks for what an engine may forget (design).
SWEEP_INTERVAL: Final = 30.0
#: Seconds after which the journal tries again to write what nobody waits for (design).
JOURNAL_RETRY: Final = 1.0
#: Seconds that the end of a server waits for the journal's last commit (design).
JOURNAL_CLOSE_TIMEOUT: Final = 10.0

# --- Fault proxy of the tests ---------------------------------------------------------------------------------

#: Bytes that the proxy reads at once (design).
PROXY_READ_BYTES: Final = 64 * KIB
#: Bytes that the proxy holds for one direction of a connection before it stops reading (design).
PROXY_BUFFER_BYTES: Final = 1 * MIB
#: Pieces that those bytes may consist of before it stops reading (design).
PROXY_BUFFER_PIECES: Final = 4096
#: Entries that the proxy's log keeps; a newer one drops the oldest (design).
PROXY_LOG_ENTRIES: Final = 10_000
#: Entries of its log that a wait in vain shows (design).
PROXY_LOG_SHOWN: Final = 20
#: Connections that wait to be accepted by the proxy (design).
PROXY_BACKLOG: Final = 256
#: Seconds of its rate that an idle throttle saves up (design).
PROXY_THROTTLE_BURST: Final = 0.02
#: Seconds that a connection which the proxy ended with FIN is still read, so that no reset follows (design).
PROXY_LINGER: Final = 1.0
#: Seconds that a reset at an exact byte waits for the bytes before it to arrive (design).
PROXY_FLUSH_TIMEOUT: Final = 5.0
#: Seconds between two looks at whether they have arrived (design).
PROXY_FLUSH_INTERVAL: Final = 0.001
#: Seconds between two looks at a condition that a test waits for (design).
PROXY_WAIT_INTERVAL: Final = 0.01
#: Seconds that a switch or the end of the proxy may take; more is a fault of the proxy itself (design).
PROXY_COMMAND_TIMEOUT: Final = 30.0
