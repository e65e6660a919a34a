"""Figures in the text of docs are those of `rtmcore.limits`, codes those of `rtmcore.codes`."""

import pytest

from rtmcore import codes, limits
from tests.docs.pages import page

SENTENCES = {
    "protocol/index.md": ["closes the connection with {codes.CloseCode.MALFORMED}"],
    "protocol/transport.md": [
        "at most {limits.HANDSHAKE_BYTES:,} bytes and {limits.HANDSHAKE_HEADERS} header fields",
        "at most {limits.FRAME_BYTES:,} bytes. The welcome says",
        "in fragments, at most {limits.FRAGMENTS_PER_MESSAGE}.",
        "More than {limits.CONTROL_FRAMES_PER_READ} pings and pongs",
        "waits at most {limits.CLOSE_HANDSHAKE_TIMEOUT:g} seconds",
        "{limits.HELLO_TIMEOUT:g} seconds and {limits.HELLO_BYTES:,} bytes to send a valid",
        "{limits.CONNECTIONS_BEFORE_HELLO:,} in all",
        "{limits.CONNECTIONS_BEFORE_HELLO_PER_ADDRESS} from one address",
    ],
    "protocol/encoding.md": [
        "at most {limits.PACKETS_PER_FRAME} packets",
    ],
    "protocol/packets.md": [
        "0 means {limits.INBOX_WINDOW_MESSAGES} |",
        "0 means {limits.INBOX_WINDOW_BYTES:,} |",
        "At most {limits.MESSAGE_BYTES:,} bytes",
        "means {limits.OFFLINE_DAYS} days |",
        "Channel ids, 1 to {limits.MEMBER_COUNT_CHANNELS};",
        "User ids, 1 to {limits.PRESENCE_QUERY_USERS} |",
        "at most {limits.PAGE_BYTES:,} bytes of bodies",
        "at most {1000 * limits.SEND_WAIT_MAX:,.0f}; 0 means {1000 * limits.SEND_TIMEOUT:,.0f} |",
        "{limits.INSTANCE_ID_MIN} to {limits.INSTANCE_ID_MAX} ASCII characters",
        "at most {limits.SECRET_LENGTH_MAX} characters",
        "each once, at most {limits.CHANNELS_JOINED};",
        "a random {limits.CHANNEL_MEMBERS_LISTED} of a larger channel",
        "more than {limits.CHANNEL_MEMBERS_LISTED} |",
    ],
    "protocol/session.md": [
        "a budget of {limits.LOGIN_TIMEOUT:g} seconds in all, and {limits.LOGIN_ATTEMPT_TIMEOUT:g} seconds",
        "`offline` milliseconds ({1000 * limits.OFFLINE_AFTER:,.0f};",
        "`beat` milliseconds ({1000 * limits.BEAT_INTERVAL:,.0f})",
        "`interrupted` milliseconds ({1000 * limits.INTERRUPTED_AFTER:,.0f})",
        "`unreachable` milliseconds ({1000 * limits.UNREACHABLE_AFTER:,.0f})",
        "{1000 * limits.RTC_REMOTE_OFFLINE_AFTER:,.0f} for `rtc`)",
        "connection is lost after {limits.RTC_LOST_AFTER:g} seconds",
        "FAILED after {limits.RTC_GIVE_UP_AFTER / 60:g} minutes",
        "from {limits.SPARE_TRANSPORT_AFTER:g} seconds on",
        "within {limits.INTERRUPTED_AFTER:g} seconds changes no state",
        "instead, up to {limits.RETRY_AFTER_MAX:g} seconds",
        "has not come {limits.RESTORE_TIMEOUT:g} seconds after `welcome`",
        "{limits.BACKOFF_BASE:g} s × {limits.BACKOFF_FACTOR:g}^n, at most {limits.BACKOFF_CAP:g} s",
        "at most {limits.GOODBYE_TIMEOUT:g} second, then close",
    ],
    "protocol/users.md": [
        "heard of in the last {limits.UNREACHABLE_AFTER:g} seconds",
        "or silent for {limits.OFFLINE_AFTER:g} seconds",
        "subscribe to {limits.PRESENCE_SUBSCRIPTIONS} users in all",
        "| Attributes of a user | {limits.USER_ATTRIBUTES} |",
        "| Bytes of a key, from 1 | {limits.ATTRIBUTE_KEY_BYTES} |",
        "| Bytes of a value, from 1 | {limits.ATTRIBUTE_VALUE_BYTES:,} |",
        "| Bytes of all keys and values together | {limits.USER_ATTRIBUTES_BYTES:,} |",
        "{limits.RESTORE_TIMEOUT:g} seconds after the `welcome`",
    ],
    "protocol/channels.md": [
        "| Attributes of a channel | {limits.CHANNEL_ATTRIBUTES} |",
        "| Bytes of a key, from 1 | {limits.ATTRIBUTE_KEY_BYTES} |",
        "| Bytes of a value, from 1 | {limits.ATTRIBUTE_VALUE_BYTES:,} |",
        "| Bytes of all keys and values together | {limits.CHANNEL_ATTRIBUTES_BYTES:,} |",
        "are dropped {limits.CHANNEL_ATTRIBUTES_GRACE:g} seconds after",
        "of up to {limits.MEMBER_COUNT_CHANNELS} channels",
        "at most once in a second, and at most once in {limits.LARGE_MEMBER_COUNT_INTERVAL:g} seconds in a channel of "
        "more than {limits.MEMBER_EVENTS_MAX} members",
    ],
    "protocol/archive.md": [
        "{limits.OFFLINE_MESSAGES} for each receiver, for {limits.OFFLINE_DAYS} days",
        "at most {limits.STORED_PAGE_MESSAGES} messages and {limits.PAGE_BYTES:,} bytes of bodies",
        "is kept for {limits.HISTORY_DAYS} days",
        "not {limits.HISTORY_PAGE_SIZES[0]}, {limits.HISTORY_PAGE_SIZES[1]} or {limits.HISTORY_PAGE_SIZES[2]},",
    ],
    "protocol/rooms.md": [
        "| {limits.OFFLINE_AFTER:g} s | {limits.RTC_REMOTE_OFFLINE_AFTER:g} s | {limits.ROOM_SESSION_TIMEOUT:g} s |",
        "| no limit | no limit | {limits.ROOM_PARTICIPANTS} |",
        "| `member_state` after {limits.ROOM_PARTICIPANT_RECONNECTING_AFTER:g} s |",
        "The newest {limits.REPLAY_MAX} of the last {limits.REPLAY_WINDOW:g} seconds are replayed",
        "the newest {limits.DATA_FRAMES_KEPT} frames are kept",
        "1 to {limits.TRACK_NAME_BYTES} bytes of visible characters",
        "A body has at most {limits.MESSAGE_BYTES:,} bytes",
        "silent for {limits.ROOM_SESSION_TIMEOUT:g} seconds is closed with {codes.CloseCode.HEARTBEAT_TIMEOUT}",
        "`beat` milliseconds ({1000 * limits.ROOM_MEDIA_BEAT:,.0f})",
        "`interrupted` milliseconds ({1000 * limits.ROOM_MEDIA_INTERRUPTED_AFTER:,.0f})",
        "{limits.ROOM_MEDIA_BACKOFF_BASE:g} s × {limits.ROOM_MEDIA_BACKOFF_FACTOR:g}^n, at most "
        "{limits.ROOM_MEDIA_BACKOFF_CAP:g} s",
        "it has {limits.HELLO_TIMEOUT:g} seconds for its first packet",
        "({limits.ROOM_SIGNALING_INTERRUPTED_AFTER:g} seconds of silence)",
        "reconnecting for {limits.ROOM_SESSION_TIMEOUT:g} seconds is disconnected",
        "one attempt, of {limits.ROOM_CONNECT_TIMEOUT:g} seconds",
        "There are {limits.ROOM_PARTICIPANTS} participants already",
    ],
    "protocol/messages.md": [
        "{limits.OFFLINE_DAYS} days, the newest {limits.OFFLINE_MESSAGES}",
        "the newest {limits.REPLAY_MAX} messages of the last {limits.REPLAY_WINDOW:g} seconds",
        "is no message. At most {limits.INVITATION_SIGNAL_BYTES:,} bytes",
        "the last {limits.ORIGINS_REMEMBERED:,} messages, for at least {limits.ORIGIN_MEMORY:g} seconds",
        "`window` inbox messages ({limits.INBOX_WINDOW_MESSAGES})",
        "bytes of bodies ({limits.INBOX_WINDOW_BYTES:,})",
        "at most {limits.REPLAY_MAX} messages, at most {limits.REPLAY_WINDOW:g} seconds old",
        "{limits.CHANNEL_HELD_MESSAGES} messages behind a gap are plenty",
        "more than {limits.MEMBER_EVENTS_MAX} members",
        "silent for {limits.OFFLINE_AFTER:g} seconds has left",
    ],
    "protocol/requests.md": [
        "At most {limits.REQUESTS_IN_FLIGHT:,} requests may be without an answer",
        "for {limits.RESULT_MEMORY:g} seconds after it",
        "at most {limits.RESULTS_REMEMBERED:,} results",
        "{limits.SEND_TIMEOUT:g} seconds for `send` and `publish`, {limits.OPERATION_TIMEOUT:g} seconds for",
        "{limits.PRESENCE_TIMEOUT:g} seconds for `subscribe` and `unsubscribe`",
        "at {limits.BATCH_PACKETS} packets, at {limits.BATCH_BYTES:,} bytes",
        "{1000 * limits.BATCH_DELAY:g} milliseconds after the first",
        "silent for {limits.OFFLINE_AFTER:g} seconds",
        "lost in the last {limits.OFFLINE_AFTER:g} seconds",
    ],
    "protocol/limits.md": [
        "1 to {limits.USER_ID_BYTES} bytes of these {len(limits.ID_CHARACTERS)} characters",
        "exactly {limits.APP_ID_LENGTH} visible ASCII",
        "| {rate(limits.LOGIN_RATE)} | login {codes.LoginError.TOO_OFTEN} |",
        "| {rate(limits.SEND_RATE)} | send {codes.SendPeerMessageError.TOO_OFTEN},",
        "| {rate(limits.JOIN_RATE)} | join {codes.JoinChannelError.TOO_OFTEN} |",
        "| {rate(limits.JOIN_SAME_CHANNEL_RATE)} | join {codes.JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN} |",
        "| {rate(limits.MEMBERS_RATE)} | members {codes.GetMembersError.TOO_OFTEN} |",
        "| {rate(limits.RENEW_TOKEN_RATE)} | renew {codes.RenewTokenError.TOO_OFTEN} |",
        "| {rate(limits.PRESENCE_SUBSCRIBE_RATE)} | presence {codes.PeerSubscriptionStatusError.TOO_OFTEN} |",
        "| {rate(limits.USER_ATTRIBUTES_WRITE_RATE)} | attributes {codes.AttributeOperationError.TOO_OFTEN} |",
        "| {rate(limits.PEERS_SUBSCRIBED_RATE)} | subscriptions "
        "{codes.QueryPeersBySubscriptionOptionError.TOO_OFTEN} |",
        "| {rate(limits.PRESENCE_QUERY_RATE)} | query {codes.QueryPeersOnlineError.TOO_OFTEN} |",
        "| {rate(limits.CHANNEL_ATTRIBUTES_WRITE_RATE)} | attributes {codes.AttributeOperationError.TOO_OFTEN} |",
        "| `get_channel_attributes` | {rate(limits.CHANNEL_ATTRIBUTES_READ_RATE)} | attributes",
        "| {rate(limits.MEMBER_COUNT_RATE)} | counts {codes.ChannelMemberCountError.TOO_OFTEN} |",
        "| {rate(limits.STORED_RATE)} | query {codes.QueryPeersOnlineError.TOO_OFTEN} |",
        "| {rate(limits.HISTORY_RATE)} | query {codes.QueryPeersOnlineError.TOO_OFTEN} |",
        "| {limits.CHANNEL_ATTRIBUTES}, and {limits.CHANNEL_ATTRIBUTES_BYTES:,} bytes |",
        "| {rate(limits.USER_ATTRIBUTES_READ_RATE)} | attributes {codes.AttributeOperationError.TOO_OFTEN} |",
        "| {limits.PRESENCE_SUBSCRIPTIONS} | `failed`, presence {codes.PeerSubscriptionStatusError.OVERFLOW} |",
        "| {limits.USER_ATTRIBUTES}, and {limits.USER_ATTRIBUTES_BYTES:,} bytes |",
        "| Data frames that wait for one receiver | {limits.DATA_FRAMES_KEPT} |",
        "| Participants of a room | {limits.ROOM_PARTICIPANTS} |",
        "| {limits.INBOX_MESSAGES:,} and {limits.INBOX_BYTES:,} bytes |",
        "| {limits.OFFLINE_MESSAGES}, for {limits.OFFLINE_DAYS} days |",
        "| {limits.STORED_BYTES_PER_SENDER:,} bytes, and {limits.STORED_MESSAGES_PER_SENDER_DAY:,} messages",
        "| {limits.HANDSHAKE_BYTES:,} bytes, {limits.HANDSHAKE_HEADERS} fields |",
        "| Time to the hello | {limits.HELLO_TIMEOUT:g} seconds |",
        "| Bytes before the hello | {limits.HELLO_BYTES:,} |",
        "{limits.CONNECTIONS_BEFORE_HELLO:,}, and {limits.CONNECTIONS_BEFORE_HELLO_PER_ADDRESS} from one address |",
        "| Fragments of a message | {limits.FRAGMENTS_PER_MESSAGE} |",
        "| Pings and pongs at once | {limits.CONTROL_FRAMES_PER_READ} |",
        "does not read | {limits.SERVER_OUTBOUND_BYTES:,} |",
    ],
    "protocol/errors.md": [
        "within {limits.LOGIN_TIMEOUT:g} seconds",
        "More than {limits.LOGIN_RATE.count} logins of the user in {limits.LOGIN_RATE.seconds:g} second;",
        "{limits.SEND_RATE.count} messages in {limits.SEND_RATE.seconds:g} seconds, channel messages included",
        "larger than {limits.MESSAGE_BYTES:,} bytes",
        "in {limits.CHANNELS_JOINED} channels already",
        "More than {limits.JOIN_RATE.count} joins in {limits.JOIN_RATE.seconds:g} seconds",
        "More than {limits.MEMBERS_RATE.count} in {limits.MEMBERS_RATE.seconds:g} seconds",
    ],
    "protocol/tokens.md": [
        "after more than {limits.RENEW_TOKEN_RATE.count} in {limits.RENEW_TOKEN_RATE.seconds:g} second",
        "{limits.TOKEN_WILL_EXPIRE_BEFORE:g} seconds before the end",
        "at most {limits.TOKEN_ISSUED_AHEAD} seconds in the future",
        "at most {limits.TOKEN_SECONDS_MAX:,} seconds ({limits.TOKEN_SECONDS_MAX // 3600} hours)",
        "may differ by {limits.TOKEN_LEEWAY} seconds",
        "at most {limits.TOKEN_BYTES:,} bytes",
        "at least {limits.TOKEN_KEY_BYTES_MIN} bytes",
        "{limits.APP_CERTIFICATE_LENGTH} hexadecimal digits. It has at most {limits.APP_CERTIFICATES} of them",
        "inflates to more than {limits.TOKEN_INFLATED_BYTES:,} bytes",
    ],
    "protocol/closing.md": [
        "up to {limits.RETRY_AFTER_MAX:g} seconds",
        "more than {limits.SERVER_OUTBOUND_BYTES:,} bytes wait for it",
    ],
    "explanation/rtc.md": [
        "is under way, at most {limits.RTC_LOGIN_TIMEOUT:g} seconds",
        "| T4 | {limits.RTC_INTERRUPTED_AFTER:g} s |",
        "| T5 | {limits.RTC_LOST_AFTER:g} s |",
        "| T6 | {limits.RTC_REMOTE_OFFLINE_AFTER:g} s |",
        "| T7 | {limits.RTC_GIVE_UP_AFTER / 60:g} minutes |",
    ],
    "explanation/room.md": [
        "one attempt, of {limits.ROOM_CONNECT_TIMEOUT:g} seconds",
        "after {limits.ROOM_SIGNALING_INTERRUPTED_AFTER:g} seconds of silence, media after "
        "{limits.ROOM_MEDIA_INTERRUPTED_AFTER:g}.",
        "signaling was away for {limits.ROOM_SESSION_TIMEOUT:g} seconds",
        "| {limits.ROOM_PARTICIPANT_RECONNECTING_AFTER:g} s of silence |",
    ],
    "howto/users.md": [
        "silent for {limits.UNREACHABLE_AFTER:g} seconds",
        "silent for {limits.OFFLINE_AFTER:g} seconds",
        "subscribe to {limits.PRESENCE_SUBSCRIPTIONS} users",
        "at most {limits.USER_ATTRIBUTES} attributes, {limits.USER_ATTRIBUTES_BYTES // 1024} KiB in all",
    ],
    "howto/deployment.md": [
        "put out three times within {limits.REMOTE_LOGIN_LOOP.seconds:g} s",
        "a goodbye, of {limits.EXIT_GOODBYE_TIMEOUT:g} seconds at most",
        "| after {limits.OFFLINE_AFTER:g} s |",
    ],
    "howto/timeline.md": ["keeps {limits.TIMELINE_SPANS:,} spans and {limits.TIMELINE_MARKS:,} marks"],
    "howto/django.md": [
        "for up to {limits.PUBLISH_TIMEOUT:g} seconds with each message",
        "a message has {limits.SEND_TIMEOUT:g} seconds.",
        "{limits.LOGIN_TIMEOUT:g} seconds for its login",
        "{limits.OPERATION_TIMEOUT:g} seconds to join it",
    ],
    "howto/server.md": [
        "There can be {limits.BANS:,} bans",
        "taken up within {limits.KEY_FILE_INTERVAL:g} seconds",
        "one of its app certificates ({limits.APP_CERTIFICATES} at most",
    ],
}


def rate(limit: limits.RateLimit) -> str:
    return f"{limit.count} in {limit.seconds:g} {'second' if limit.seconds == 1 else 'seconds'}"


def filled(template: str) -> str:
    return str(eval(f"f{template!r}", {"limits": limits, "codes": codes, "rate": rate}))


@pytest.mark.parametrize(
    ("name", "template"),
    [(name, template) for name, templates in SENTENCES.items() for template in templates],
)
def test_figures_in_the_text_are_those_of_the_code(name: str, template: str) -> None:
    assert filled(template) in " ".join(page(name).split())
