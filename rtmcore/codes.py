"""Every documented state, reason, error and close code, with its number.

The numbers are those of the documents the project was built from and go over the wire and into logs unchanged:

* seed 004: enumerations and error codes of RTM for Objective-C. Where later versions or the Web added members
  without a numeric clash, they are here too, marked with their origin.
* seed 000: connection states of RTM for the Web.
* seed 001: connection states of Agora Native RTC.
* seed 002: Twilio Video's reconnection states; its error catalogue is the public one.
* seed 003: MDN's peer connection states.

Members that a document misspells, or that two platforms name differently, have one name here and the other one
as an alias (two names, one member). In the error families 0 is OK, 101 NOT_INITIALIZED (the client object was
closed) and 102 NOT_LOGGED_IN.
"""

from enum import Enum, IntEnum, IntFlag

# --- RTM: states, reasons, kinds -------------------------------------------------------------------------------


class ConnectionState(IntEnum):
    """State of the connection between a client and the system (seeds 000 and 004)."""

    DISCONNECTED = 1
    CONNECTING = 2
    CONNECTED = 3
    RECONNECTING = 4
    ABORTED = 5  # left only by logout


class ConnectionChangeReason(IntEnum):
    """Why the connection state changed (seed 004)."""

    LOGIN = 1
    LOGIN_SUCCESS = 2  # also when RECONNECTING ends well
    LOGIN_FAILURE = 3
    LOGIN_TIMEOUT = 4
    INTERRUPTED = 5
    LOGOUT = 6
    BANNED_BY_SERVER = 7
    REMOTE_LOGIN = 8
    TOKEN_EXPIRED = 9  # since 1.5; only where the server's token policy is `abort`


class MessageType(IntEnum):
    """What a message carries (seed 004)."""

    UNDEFINED = 0
    TEXT = 1
    RAW = 2
    FILE = 3  # since 1.3
    IMAGE = 4  # since 1.3


class PeerSubscriptionOption(IntEnum):
    """What a subscription to peers is about (seed 004)."""

    ONLINE_STATUS = 0


class PeerOnlineState(IntEnum):
    """Online status of a peer, as the server sees it (seed 004)."""

    ONLINE = 0
    UNREACHABLE = 1  # silent for 6 s; only in events, never in the answer to a query
    OFFLINE = 2


class LocalInvitationState(IntEnum):
    """State of an outgoing call invitation, seen by the caller (seed 004)."""

    IDLE = 0
    SENT_TO_REMOTE = 1  # internal in the Objective-C SDK
    RECEIVED_BY_REMOTE = 2
    ACCEPTED_BY_REMOTE = 3
    REFUSED_BY_REMOTE = 4
    CANCELED = 5
    FAILURE = 6


class RemoteInvitationState(IntEnum):
    """State of an incoming call invitation, seen by the callee (seed 004)."""

    IDLE = 0
    INVITATION_RECEIVED = 1
    ACCEPT_SENT_TO_LOCAL = 2  # internal in the Objective-C SDK
    REFUSED = 3
    ACCEPTED = 4
    CANCELED = 5
    FAILURE = 6


class LeaveChannelReason(IntEnum):
    """How a member came to leave a channel (C++ interface, 1.4)."""

    QUIT = 1
    KICKED = 2


class LogFilter(IntEnum):
    """How much is logged; each value is the mask of the levels let through (seed 004)."""

    OFF = 0x0
    INFO = 0x0F
    WARN = 0x0E
    ERROR = 0x0C
    CRITICAL = 0x08
    MASK = 0x80F  # reserved


class AreaCode(IntFlag):
    """Regions that a client may connect to, as a bit mask (seed 004 names the method, the headers the values)."""

    CN = 0x1
    NA = 0x2
    EU = 0x4
    AS = 0x8
    JP = 0x10
    IN = 0x20
    OC = 0x40  # from here to KR: RTC only
    SA = 0x80
    AF = 0x100
    KR = 0x200
    OVS = 0xFFFFFFFE  # everywhere but CN; RTC only
    GLOB = 0xFFFFFFFF


# --- RTM: error codes of the operations ------------------------------------------------------------------------


class InitError(IntEnum):
    """Making a client (C++ interface, 1.4). Nothing can be uninitialized here, so there is neither 101 nor 102."""

    OK = 0
    FAILURE = 1
    ALREADY_INITIALIZED = 2
    INVALID_APP_ID = 3
    INVALID_ARGUMENT = 4


class LoginError(IntEnum):
    """Login (seed 004). There is no 102."""

    OK = 0
    UNKNOWN = 1
    REJECTED = 2
    INVALID_ARGUMENT = 3
    INVALID_APP_ID = 4
    INVALID_TOKEN = 5
    TOKEN_EXPIRED = 6
    NOT_AUTHORIZED = 7
    ALREADY_LOGIN = 8
    ALREADY_LOGGED_IN = 8  # name in C++
    TIMEOUT = 9
    TOO_OFTEN = 10
    NOT_INITIALIZED = 101
    ABORTED_BY_LOGOUT = 201  # Web


class LogoutError(IntEnum):
    """Logout (seed 004)."""

    OK = 0
    REJECTED = 1  # reserved, never sent
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102


class RenewTokenError(IntEnum):
    """Handing over a new token (seed 004)."""

    OK = 0
    FAILURE = 1
    INVALID_ARGUMENT = 2
    REJECTED = 3  # reserved
    TOO_OFTEN = 4
    TOKEN_EXPIRED = 5
    INVALID_TOKEN = 6
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102
    ABORTED_BY_LOGOUT = 201  # Web


class SendPeerMessageError(IntEnum):
    """Sending a message to a peer (seed 004). OK, PEER_UNREACHABLE and CACHED_BY_SERVER are results of a send."""

    OK = 0
    FAILURE = 1
    TIMEOUT = 2
    SENT_TIMEOUT = 2  # name in C++
    PEER_UNREACHABLE = 3
    CACHED_BY_SERVER = 4
    TOO_OFTEN = 5
    INVALID_USER_ID = 6
    INVALID_USERID = 6  # spelling of the constants
    INVALID_MESSAGE = 7
    INCOMPATIBLE_MESSAGE = 8  # absent from seed 004: the peer's version does not know this kind of message
    IMCOMPATIBLE_MESSAGE = 8  # as the native headers misspell it
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102


class SendChannelMessageError(IntEnum):
    """Sending a message to a channel (seed 004)."""

    OK = 0
    FAILURE = 1
    TIMEOUT = 2
    TOO_OFTEN = 3
    INVALID_MESSAGE = 4
    NOT_IN_CHANNEL = 5  # Web
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102


class CreateChannelError(IntEnum):
    """Making a channel object (Web). Allowed before login, so there is no 102; 101 is this project's."""

    OK = 0
    INVALID_ARGUMENT = 1
    NOT_INITIALIZED = 101


class JoinChannelError(IntEnum):
    """Joining a channel (seed 004)."""

    OK = 0
    FAILURE = 1
    REJECTED = 2
    INVALID_ARGUMENT = 3
    TIMEOUT = 4
    JOIN_CHANNEL_TIMEOUT = 4  # the one constant of C++ and Web that lacks the family's prefix
    EXCEED_LIMIT = 5
    ALREADY_JOINED = 6
    TOO_OFTEN = 7
    JOIN_SAME_CHANNEL_TOO_OFTEN = 8
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102
    ABORTED_BY_LEAVE = 201  # Web
    ALREADY_JOINED_CHANNEL_OF_SAME_ID = 202  # Web: another object of the same channel is in it


class LeaveChannelError(IntEnum):
    """Leaving a channel (seed 004)."""

    OK = 0
    FAILURE = 1
    REJECTED = 2  # reserved
    NOT_IN_CHANNEL = 3
    KICKED = 4  # Web since 1.5.1: removed by the server meanwhile
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102


class GetMembersError(IntEnum):
    """Asking for the members of a channel (seed 004)."""

    OK = 0
    FAILURE = 1
    REJECTED = 2  # reserved
    TIMEOUT = 3
    TOO_OFTEN = 4
    NOT_IN_CHANNEL = 5
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102


class ChannelMemberCountError(IntEnum):
    """Asking how many members channels have (seed 004)."""

    OK = 0
    FAILURE = 1
    INVALID_ARGUMENT = 2
    TOO_OFTEN = 3
    TIMEOUT = 4
    EXCEED_LIMIT = 5
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102


class AttributeOperationError(IntEnum):
    """Reading and writing attributes of users and channels (seed 004: ProcessAttributeErrorCode)."""

    OK = 0
    NOT_READY = 1  # deprecated, never sent
    FAILURE = 2
    INVALID_ARGUMENT = 3
    SIZE_OVERFLOW = 4
    TOO_OFTEN = 5
    USER_NOT_FOUND = 6
    TIMEOUT = 7
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102


class QueryPeersOnlineError(IntEnum):
    """Asking for the online status of users (seed 004)."""

    OK = 0
    FAILURE = 1
    INVALID_ARGUMENT = 2
    REJECTED = 3  # reserved
    TIMEOUT = 4
    TOO_OFTEN = 5
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102


class PeerSubscriptionStatusError(IntEnum):
    """Subscribing to the online status of users, and unsubscribing (seed 004)."""

    OK = 0
    FAILURE = 1
    INVALID_ARGUMENT = 2
    REJECTED = 3  # reserved
    TIMEOUT = 4
    TOO_OFTEN = 5
    OVERFLOW = 6
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102


class QueryPeersBySubscriptionOptionError(IntEnum):
    """Asking which users are subscribed to (seed 004)."""

    OK = 0
    FAILURE = 1
    TIMEOUT = 2
    TOO_OFTEN = 3
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102


class LocalInvitationError(IntEnum):
    """How an outgoing call invitation failed (seed 004). The Web's UNKNOWN has no number."""

    OK = 0
    PEER_OFFLINE = 1
    REMOTE_OFFLINE = 1  # name in Objective-C
    PEER_NO_RESPONSE = 2
    REMOTE_NO_RESPONSE = 2  # name in Objective-C
    INVITATION_EXPIRE = 3  # "saved for future use" in seed 004, implemented here
    EXPIRE = 3  # name in Objective-C
    NOT_LOGGED_IN = 4
    NOT_LOGGEDIN = 4  # spelling of the constants


class RemoteInvitationError(IntEnum):
    """How an incoming call invitation failed (seed 004). The Web's UNKNOWN has no number."""

    OK = 0
    PEER_OFFLINE = 1  # the caller is offline; seed 004 says the callee
    LOCAL_OFFLINE = 1  # name in Objective-C
    ACCEPT_FAILURE = 2
    INVITATION_EXPIRE = 3
    EXPIRE = 3  # name in Objective-C


class InvitationApiCallError(IntEnum):
    """Sending, canceling, accepting and refusing call invitations (seed 004). There is neither 101 nor 102."""

    OK = 0
    INVALID_ARGUMENT = 1
    INVALID_AUGMENT = 1  # as the Objective-C header misspells it
    NOT_STARTED = 2
    ALREADY_END = 3
    ALREADY_ACCEPT = 4
    ALREADY_SENT = 5


class UploadMediaError(IntEnum):
    """Uploading a file or image (headers of 1.3; seed 004 names the methods)."""

    OK = 0
    FAILURE = 1
    INVALID_ARGUMENT = 2
    TIMEOUT = 3
    SIZE_OVERFLOW = 4
    CONCURRENCY_LIMIT_EXCEEDED = 5
    INTERRUPTED = 6
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102


class DownloadMediaError(IntEnum):
    """Downloading a file or image (headers of 1.3; seed 004 names the methods)."""

    OK = 0
    FAILURE = 1
    INVALID_ARGUMENT = 2
    TIMEOUT = 3
    NOT_EXIST = 4
    CONCURRENCY_LIMIT_EXCEEDED = 5
    INTERRUPTED = 6
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102


class CancelMediaError(IntEnum):
    """Canceling an upload or download (headers of 1.3; seed 004 names the methods)."""

    OK = 0
    FAILURE = 1
    NOT_EXIST = 2
    NOT_INITIALIZED = 101
    NOT_LOGGED_IN = 102


class ServiceContextError(IntEnum):
    """Setting the region before any client exists (seed 004: setRtmServiceContext). Neither 101 nor 102."""

    OK = 0
    FAILURE = 1


# --- RTC -------------------------------------------------------------------------------------------------------


class RtcConnectionState(IntEnum):
    """State of an RTC connection (seed 001)."""

    DISCONNECTED = 1
    CONNECTING = 2
    CONNECTED = 3
    RECONNECTING = 4
    FAILED = 5  # left only by leaving the channel


class RtcConnectionChangeReason(IntEnum):
    """Why the state of an RTC connection changed (seed 001 shows some, the headers have all)."""

    CONNECTING = 0
    JOIN_SUCCESS = 1
    INTERRUPTED = 2
    BANNED_BY_SERVER = 3
    JOIN_FAILED = 4
    LEAVE_CHANNEL = 5
    INVALID_APP_ID = 6
    INVALID_CHANNEL_NAME = 7
    INVALID_TOKEN = 8
    TOKEN_EXPIRED = 9
    REJECTED_BY_SERVER = 10
    SETTING_PROXY_SERVER = 11
    RENEW_TOKEN = 12
    CLIENT_IP_ADDRESS_CHANGED = 13
    KEEP_ALIVE_TIMEOUT = 14
    REJOIN_SUCCESS = 15  # since 3.x; JOIN_SUCCESS before
    LOST = 16
    ECHO_TEST = 17
    CLIENT_IP_ADDRESS_CHANGED_BY_USER = 18
    SAME_UID_LOGIN = 19
    TOO_MANY_BROADCASTERS = 20


class UserOfflineReason(IntEnum):
    """How a remote RTC user came to be offline (seed 001)."""

    QUIT = 0
    DROPPED = 1
    BECOME_AUDIENCE = 2


# --- Room ------------------------------------------------------------------------------------------------------


class RoomState(str, Enum):
    """State of a room, signaling and media together (seed 002)."""

    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    DISCONNECTED = "disconnected"  # terminal


class ParticipantState(str, Enum):
    """State of a participant's signaling connection (seed 002)."""

    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    DISCONNECTED = "disconnected"  # terminal


class RoomErrorCode(IntEnum):
    """Errors of rooms (seed 002 names 20104, 53000, 53001, 53002 and 53405; the rest is the public catalogue).

    Members carry the name of the documented error class without its last word.
    """

    ACCESS_TOKEN_INVALID = 20101
    ACCESS_TOKEN_HEADER_INVALID = 20102
    ACCESS_TOKEN_ISSUER_INVALID = 20103
    ACCESS_TOKEN_EXPIRED = 20104
    ACCESS_TOKEN_NOT_YET_VALID = 20105
    ACCESS_TOKEN_GRANTS_INVALID = 20106
    ACCESS_TOKEN_SIGNATURE_INVALID = 20107

    SIGNALING_CONNECTION = 53000  # attempts used up, or a final refusal
    SIGNALING_CONNECTION_DISCONNECTED = 53001
    SIGNALING_CONNECTION_TIMEOUT = 53002
    SIGNALING_INCOMING_MESSAGE_INVALID = 53003
    SIGNALING_OUTGOING_MESSAGE_INVALID = 53004
    SIGNALING_SERVER_BUSY = 53006  # there is no 53005

    ROOM_NAME_INVALID = 53100
    ROOM_NAME_TOO_LONG = 53101
    ROOM_NAME_CHARS_INVALID = 53102
    ROOM_CREATE_FAILED = 53103
    ROOM_CONNECT_FAILED = 53104
    ROOM_MAX_PARTICIPANTS_EXCEEDED = 53105
    ROOM_NOT_FOUND = 53106
    ROOM_MAX_PARTICIPANTS_OUT_OF_RANGE = 53107
    ROOM_TYPE_INVALID = 53108
    ROOM_TIMEOUT_OUT_OF_RANGE = 53109
    ROOM_STATUS_CALLBACK_METHOD_INVALID = 53110
    ROOM_STATUS_CALLBACK_INVALID = 53111
    ROOM_STATUS_INVALID = 53112
    ROOM_ROOM_EXISTS = 53113
    ROOM_INVALID_PARAMETERS = 53114
    ROOM_MEDIA_REGION_INVALID = 53115
    ROOM_MEDIA_REGION_UNAVAILABLE = 53116
    ROOM_SUBSCRIPTION_OPERATION_NOT_SUPPORTED = 53117
    ROOM_COMPLETED = 53118
    ROOM_AUDIO_ONLY_FLAG_NOT_SUPPORTED = 53124
    ROOM_TRACK_KIND_NOT_SUPPORTED = 53125

    PARTICIPANT_IDENTITY_INVALID = 53200
    PARTICIPANT_IDENTITY_TOO_LONG = 53201
    PARTICIPANT_IDENTITY_CHARS_INVALID = 53202
    PARTICIPANT_MAX_TRACKS_EXCEEDED = 53203
    PARTICIPANT_NOT_FOUND = 53204
    PARTICIPANT_DUPLICATE_IDENTITY = 53205  # told to the one who is kicked

    TRACK_INVALID = 53300
    TRACK_NAME_INVALID = 53301
    TRACK_NAME_TOO_LONG = 53302
    TRACK_NAME_CHARS_INVALID = 53303
    TRACK_NAME_IS_DUPLICATED = 53304
    TRACK_SERVER_TRACK_CAPACITY_REACHED = 53305

    MEDIA_CLIENT_LOCAL_DESC_FAILED = 53400
    MEDIA_SERVER_LOCAL_DESC_FAILED = 53401
    MEDIA_CLIENT_REMOTE_DESC_FAILED = 53402
    MEDIA_SERVER_REMOTE_DESC_FAILED = 53403
    MEDIA_NO_SUPPORTED_CODEC = 53404
    MEDIA_CONNECTION = 53405
    MEDIA_DTLS_TRANSPORT_FAILED = 53407  # there is no 53406

    CONFIGURATION_ACQUIRE_FAILED = 53500
    CONFIGURATION_ACQUIRE_TURN_FAILED = 53501


# --- Aggregate state -------------------------------------------------------------------------------------------


class PeerConnectionState(str, Enum):
    """Aggregate over all transports of a client (seed 003: RTCPeerConnection.connectionState)."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    CLOSED = "closed"  # entered without an event


class IceTransportState(str, Enum):
    """Link state of one transport in ICE's words (seed 003)."""

    NEW = "new"
    CHECKING = "checking"  # resolving, connecting, upgrading
    CONNECTED = "connected"
    COMPLETED = "completed"
    DISCONNECTED = "disconnected"  # interrupted, or being replaced
    FAILED = "failed"  # given up, or kicked
    CLOSED = "closed"


class DtlsTransportState(str, Enum):
    """TLS state of one transport in DTLS's words (seed 003); a plain connection has none."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"
    FAILED = "failed"


# --- WebSocket -------------------------------------------------------------------------------------------------


class CloseCode(IntEnum):
    """Why a WebSocket was closed: RFC 6455 up to 1011, this project's own from 4000.

    4000 to 4499: the client comes back with backoff. 4500 to 4999: it stops. A client that is logged in stops only
    for the codes that have a documented state (REMOTE_LOGIN, BANNED, TOKEN_EXPIRED); an unknown code is treated as
    its range says, and any code below 4000, or none at all, like a lost connection.
    """

    NORMAL = 1000  # comes back, unless the client itself was closing
    GOING_AWAY = 1001  # comes back
    PROTOCOL_ERROR = 1002  # broken WebSocket framing; comes back with backoff
    UNSUPPORTED_DATA = 1003  # text where the subprotocol is binary, or the reverse; comes back with backoff
    INVALID_DATA = 1007  # text that is not UTF-8; comes back with backoff
    POLICY = 1008  # too many fragments or control frames; comes back with backoff
    TOO_BIG = 1009  # WebSocket message above the announced limit; comes back, fails the request in it
    INTERNAL_ERROR = 1011  # comes back

    SHUTDOWN = 4000  # the server stops or is drained; comes back after `retry_after`
    ENGINE_UNAVAILABLE = 4002  # the shared state cannot be reached; comes back with backoff
    HEARTBEAT_TIMEOUT = 4003  # the server heard nothing for too long; comes back and resumes
    SLOW_CONSUMER = 4004  # the client did not read fast enough; comes back and catches up from its positions
    RESYNC = 4005  # new epoch or insufficient state; comes back, rejoins, sends its attributes again
    TOO_MANY_REQUESTS = 4006  # too many connections without a hello; comes back after `retry_after`
    HELLO_TIMEOUT = 4007  # no valid hello in time; comes back with backoff
    MALFORMED = 4010  # a packet could not be decoded; comes back, fails the requests sent on that transport
    TOO_LARGE = 4011  # a packet exceeds a limit; comes back, fails the requests sent on that transport
    UNSUPPORTED = 4012  # protocol version or capability unknown; comes back with backoff
    REPLACED = 4013  # a newer transport of the same session took over; the newer one goes on, nothing to do
    STALE_ATTEMPT = 4014  # the hello's attempt is not the newest; comes back only without a newer one
    NO_SESSION = 4015  # a media connection without its room; comes back while its signaling stands

    REMOTE_LOGIN = 4500  # another instance logged in; ABORTED / REMOTE_LOGIN
    BANNED = 4501  # ABORTED / BANNED_BY_SERVER; at a login LOGIN_FAILURE
    TOKEN_EXPIRED = 4502  # under the token policy `abort`; ABORTED / TOKEN_EXPIRED
    LOGIN_REFUSED = 4503  # the login's error says why; DISCONNECTED / LOGIN_FAILURE
    LOGGED_OUT = 4504  # the answer to the client's own goodbye; DISCONNECTED / LOGOUT
