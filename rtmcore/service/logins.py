"""From a hello to a session that is restored: shapes, token, rates, the claim, the welcome, the channels."""

from collections.abc import Callable

from rtmcore.codes import CloseCode, ConnectionChangeReason, JoinChannelError, LoginError, RoomErrorCode
from rtmcore.errors import AuthError
from rtmcore.figures import LOGINS
from rtmcore.identifiers import is_valid_app_id, is_valid_id
from rtmcore.limits import (
    APP_ID_LENGTH,
    BUSY_RETRY,
    CHANNELS_JOINED_MAX,
    COMMAND_TIMEOUT,
    INSTANCE_ID_MAX,
    INSTANCE_ID_MIN,
    INTERRUPTED_AFTER,
    RESTORE_TIMEOUT,
    SECRET_LENGTH_MAX,
    TOKEN_BYTES,
    UNREACHABLE_AFTER,
)
from rtmcore.service.admission import NameRates, SessionRates
from rtmcore.service.commands.channels import JoinChannel, Membership
from rtmcore.service.commands.exclusions import BANNED, EXPELLED
from rtmcore.service.commands.media import media_secret
from rtmcore.service.commands.names import ROOM, RTM, Name, Place, Session
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.commands.sessions import Claim, Claimed, Release, Silent
from rtmcore.service.connections import NEVER, Connection, Cue, Phase, Restoring, SessionState
from rtmcore.service.context import OF_NO_REQUEST, NodeContext
from rtmcore.service.counts import MemberCounter
from rtmcore.service.departures import Departures
from rtmcore.service.feeds import Feeds
from rtmcore.service.grants import TokenVerifier, login_code
from rtmcore.service.kinds import (
    KEEPALIVES,
    SCOPE_NAMES,
    SERVED,
    explain_invalid_name,
    explain_invalid_scope,
    room_code,
)
from rtmcore.service.logs import InboxLog, LogState, Together
from rtmcore.service.pumps import Pumps
from rtmcore.service.renewals import Renewals
from rtmcore.wire.packets import (
    Bye,
    Expelled,
    Hello,
    Ready,
    Refused,
    Restored,
    Roster,
    SetAttributes,
    Subscribe,
    Welcome,
)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _name(hello: Hello) -> Name:
    return Name(hello.app, hello.kind, hello.user, hello.scope)


def _malformed(hello: Hello) -> str | None:
    """What no client of the protocol would say; None where all is well."""
    if not INSTANCE_ID_MIN <= len(hello.iid) <= INSTANCE_ID_MAX or not hello.iid.isascii():
        return f"iid has {INSTANCE_ID_MIN} to {INSTANCE_ID_MAX} ASCII characters"
    if hello.secret is not None and len(hello.secret) > SECRET_LENGTH_MAX:
        return f"secret has at most {SECRET_LENGTH_MAX} characters"
    if len({standing.ch for standing in hello.channels}) < len(hello.channels):
        return "channels names a channel twice"
    if hello.kind == RTM:
        return "scope is empty for the kind rtm" if hello.scope else None
    if any(standing.ch != hello.scope for standing in hello.channels):
        return f"channels names no other than the scope of the kind {hello.kind}"
    return None


class Logins:
    """Logs clients in, and brings them back.

    Args:
        context: The node's common ground.
        feeds: The channels of the node.
        counter: Tells members how many they are.
        pumps: Reads logs.
        departures: Ends connections.
        renewals: Watches tokens.
        verify: Verifies tokens.
        secret: Draws the secret of a new session, unpredictable.
    """

    def __init__(
        self,
        context: NodeContext,
        feeds: Feeds,
        counter: MemberCounter,
        pumps: Pumps,
        departures: Departures,
        renewals: Renewals,
        verify: TokenVerifier,
        secret: Callable[[], str],
    ) -> None:
        self._context = context
        self._feeds = feeds
        self._counter = counter
        self._pumps = pumps
        self._departures = departures
        self._renewals = renewals
        self._verify = verify
        self._secret = secret
        self._rates = NameRates(context.rates[LOGINS])

    # --- The hello --------------------------------------------------------------------

    def greet(self, connection: Connection, hello: Hello) -> None:
        """Judge a hello, and claim the name for it."""
        wrong = _malformed(hello)
        if hello.kind not in SERVED:
            kinds = ", ".join(SERVED)
            self._departures.close(connection, CloseCode.UNSUPPORTED, f"the kinds served are {kinds}")
        elif wrong is not None:
            self._departures.close(connection, CloseCode.MALFORMED, f"malformed hello: {wrong}")
        elif len(hello.channels) > CHANNELS_JOINED_MAX:
            text = f"a hello names at most {CHANNELS_JOINED_MAX} channels"
            self._departures.close(connection, CloseCode.TOO_LARGE, text)
        elif self._is_admitted(connection, hello):
            self._claim(connection, hello)

    def _is_admitted(self, connection: Connection, hello: Hello) -> bool:
        kind = hello.kind
        if not is_valid_app_id(hello.app):
            text = f"An app id has {APP_ID_LENGTH} visible ASCII characters."
            return self._refuse(connection, _name(hello), LoginError.INVALID_APP_ID, text)
        wrong = explain_invalid_name(kind, hello.user)
        if wrong is None and kind != RTM:
            wrong = explain_invalid_scope(kind, hello.scope)
        if wrong is not None:
            text, detail = wrong
            return self._refuse(connection, _name(hello), LoginError.INVALID_ARGUMENT, text, detail=detail)
        if hello.token is not None and len(hello.token) > TOKEN_BYTES:
            text = f"The token is longer than {TOKEN_BYTES} bytes."
            return self._refuse(connection, _name(hello), LoginError.INVALID_TOKEN, text)
        try:
            grant = self._verify(hello.app, hello.user, hello.token, self._context.wall // 1000)
        except AuthError as error:
            return self._refuse(
                connection, _name(hello), login_code(error), error.message, detail=error.detail
            )
        if not grant.may_log_in(kind, hello.scope):
            scope = "to log in" if kind == RTM else f"for this {SCOPE_NAMES[kind]}"
            text = f"The token does not have the scope {scope}."
            return self._refuse(connection, _name(hello), LoginError.NOT_AUTHORIZED, text)
        if hello.login and self._context.config.rate_limits:
            self._rates.use(self._context.rates[LOGINS])
            wait = self._rates.admit(_name(hello), self._context.now)
            if wait:
                text = "This user logs in too often."
                return self._refuse(connection, _name(hello), LoginError.TOO_OFTEN, text, wait)
        connection.grant = grant
        return True

    def _claim(self, connection: Connection, hello: Hello) -> None:
        context = self._context
        connection.hello = hello
        connection.iid = hello.iid
        connection.floor = hello.floor
        connection.at_door = False
        self._departures.doorway.leave(connection.address)
        connection.advance(Cue.HELLO)
        connection.stage_due = context.now + COMMAND_TIMEOUT
        context.schedule(connection, connection.stage_due)
        context.submit(
            Claim(
                name=_name(hello),
                place=Place(context.config.node, connection.number),
                iid=hello.iid,
                attempt=hello.attempt,
                login=hello.login,
                fence=hello.fence,
                secret=hello.secret,
                fresh_secret=self._secret(),
                keepalive=KEEPALIVES[hello.kind],
                inbox=hello.inbox,
                floor=hello.floor,
                authorized=True,
            )
        )

    def _refuse(
        self,
        connection: Connection,
        name: Name,
        code: LoginError,
        text: str,
        retry_after: float | None = None,
        *,
        detail: RoomErrorCode | None = None,
    ) -> bool:
        retry = None if retry_after is None else max(1, _milliseconds(retry_after))
        exact = int(detail or room_code(code)) if name.kind == ROOM else 0
        self._context.statistics.refuse(code, rate_limited=code is LoginError.TOO_OFTEN)
        self._note("login refused", connection, name, code=f"LoginError.{code.name}")
        connection.say(Refused(int(code), text, retry, exact))
        # A room that is full rejects as well, but bans nobody.
        banned = code is BANNED and detail is None
        close_code = CloseCode.BANNED if banned else CloseCode.LOGIN_REFUSED
        self._departures.close(connection, close_code, "the login was refused", retry_after)
        return False

    def _note(self, what: str, connection: Connection, name: Name, **more: object) -> None:
        fields = {"connection": connection.number, "address": connection.address, "app": name.app}
        self._context.note(what, {**fields, "kind": name.kind, "user": name.name, **more})

    # --- The engine's answer ------------------------------------------------------------

    def answered(self, command: Claim, value: object) -> None:
        """Take the engine's answer to a claim."""
        connection = self._context.connections.get(command.place.connection)
        if connection is None or connection.phase is not Phase.CLAIMING:
            self._answered_too_late(command, value)
        elif isinstance(value, Claimed):
            self._context.engine_answered()
            self._claimed(connection, command, value)
        else:
            assert isinstance(value, Refusal)
            self._refused(connection, command, value)

    def _answered_too_late(self, command: Claim, value: object) -> None:
        """The connection is gone: what it would have done for its session is done all the same."""
        orphan = self._departures.take_orphan(command.place.connection)
        if not isinstance(value, Claimed):
            return
        session = Session(command.name, value.fence, command.place)
        if orphan is not None and orphan.goodbye:
            self._context.submit(Release(session))
        else:
            since = self._context.now if orphan is None else orphan.since
            self._context.submit(Silent(session, since, gone=True))

    def _refused(self, connection: Connection, command: Claim, refusal: Refusal) -> None:
        connection.hello = None
        code = refusal.code
        close = self._departures.close
        if code is Trouble.SUPERSEDED:
            self._departures.kick(
                connection,
                ConnectionChangeReason.REMOTE_LOGIN,
                CloseCode.REMOTE_LOGIN,
                "The user has logged in from another client.",
            )
        elif code is Trouble.STALE_ATTEMPT:
            close(connection, CloseCode.STALE_ATTEMPT, "a newer transport of this client was here first")
        elif code is Trouble.UNAUTHORIZED:
            self._refuse(connection, command.name, LoginError.INVALID_TOKEN, refusal.text)
        elif code is BANNED and not command.login:
            self._departures.kick(
                connection, ConnectionChangeReason.BANNED_BY_SERVER, CloseCode.BANNED, refusal.text
            )
        elif isinstance(code, RoomErrorCode):
            self._refuse(connection, command.name, LoginError.REJECTED, refusal.text, detail=code)
        elif isinstance(code, LoginError):
            self._refuse(connection, command.name, code, refusal.text, refusal.retry_after)
        else:
            self._context.engine_failed()
            retry = BUSY_RETRY if refusal.retry_after is None else refusal.retry_after
            close(connection, CloseCode.ENGINE_UNAVAILABLE, refusal.text, retry)

    def _claimed(self, connection: Connection, command: Claim, claimed: Claimed) -> None:
        session = Session(command.name, claimed.fence, command.place)
        self._take_over(connection, session, login=command.login)
        hello, goodbye = connection.hello, connection.bye
        assert hello is not None
        connection.hello = connection.bye = None
        if goodbye is not None and goodbye.fence in (None, session.fence):
            self.say_goodbye(connection, goodbye)
            return
        self._context.count("returns" if claimed.resumed else "logins")
        self._note("return" if claimed.resumed else "login", connection, command.name)
        self._welcome(connection, hello, claimed)
        connection.advance(Cue.WELCOME)
        self._restore(connection, session, hello, resumed=claimed.resumed)

    def _take_over(self, connection: Connection, session: Session, *, login: bool) -> None:
        sessions = self._context.sessions
        state = sessions.get(session.name)
        if state is None or state.fence != session.fence:
            rates = SessionRates(self._context.rates)
            # A return that this node knows nothing of may restore what only the client remembers.
            restorable = set() if login else {Subscribe, SetAttributes}
            state = sessions[session.name] = SessionState(
                session.name, session.fence, rates, restorable=restorable
            )
        state.connection = connection
        connection.state = state
        connection.session = session
        connection.keepalive = KEEPALIVES[session.name.kind]
        connection.stage_due = NEVER
        self._context.schedule(connection, connection.heard + UNREACHABLE_AFTER)

    def _window(self, hello: Hello) -> tuple[int, int]:
        """How much of the inbox may be unacknowledged: what the client asks for, within the limits."""
        limits = self._context.limits
        count, size = limits["window"], limits["window_bytes"]
        return min(hello.window or count, count), min(hello.window_bytes or size, size)

    def _welcome(self, connection: Connection, hello: Hello, claimed: Claimed) -> None:
        grant, config = connection.grant, self._context.config
        assert grant is not None
        connection.inbox = InboxLog(claimed.inbox, *self._window(hello))
        self._renewals.watch(connection, grant)
        welcome = Welcome(
            fence=claimed.fence,
            secret=claimed.secret,
            resumed=claimed.resumed,
            epoch=claimed.epoch,
            node=config.node,
            now=self._context.wall // 1000,
            durability=config.durability,
            inbox=claimed.inbox,
            beat=_milliseconds(connection.transport.beat_interval),
            interrupted=_milliseconds(INTERRUPTED_AFTER),
            unreachable=_milliseconds(UNREACHABLE_AFTER),
            offline=_milliseconds(connection.keepalive),
            limits=self._context.announced,
            token_policy=config.token_policy,
            token_expires=grant.expires,
            media=media_secret(claimed.secret) if hello.kind == ROOM else None,
        )
        if hello.kind == RTM:
            connection.say(welcome)
        else:
            connection.welcome = (
                welcome  # said once its channel is joined: where it cannot be, the login is refused
            )

    # --- Restoring ----------------------------------------------------------------------

    def _restore(self, connection: Connection, session: Session, hello: Hello, *, resumed: bool) -> None:
        """Rejoin the channels of the hello; each is answered, and then the session is ready."""
        connection.stage_due = self._context.now + RESTORE_TIMEOUT
        self._context.schedule(connection, connection.stage_due)
        if hello.replay_total:
            connection.together = Together()
        if session.name.kind != RTM:
            self._join_scope(connection, session, hello, resumed=resumed)
            return
        for standing in hello.channels:
            grant = connection.grant
            if not is_valid_id(standing.ch):
                connection.say(Restored(standing.ch, int(JoinChannelError.INVALID_ARGUMENT), "no channel id"))
                continue
            if grant is not None and not grant.may_join(standing.ch):
                text = "The token does not permit joining this channel."
                connection.say(Restored(standing.ch, int(JoinChannelError.REJECTED), text))
                continue
            # The versions of a new session's member lists say nothing about those that the client knows.
            version = standing.version if resumed else -1
            self._rejoin(connection, session, standing.ch, standing.id, version)
        self._finish_restoring(connection)

    def _join_scope(self, connection: Connection, session: Session, hello: Hello, *, resumed: bool) -> None:
        """Join the one channel of an RTC or room session. Who is new there gets nothing from before."""
        returns = hello.channels and not hello.login
        position = hello.channels[0].id if returns else None
        # The states of a room's participants have no version, so that its members are always told.
        known = returns and resumed and hello.kind != ROOM
        version = hello.channels[0].version if known else -1
        self._rejoin(connection, session, hello.scope, position, version)

    def _rejoin(
        self, connection: Connection, session: Session, channel: str, position: int | None, version: int
    ) -> None:
        feed = self._feeds.open(session.name.app, session.name.kind, channel)
        feed.expect()
        connection.restoring[channel] = Restoring(feed, position, version)
        self._context.submit(JoinChannel(session, OF_NO_REQUEST, connection.floor, channel, restore=True))

    def rejoined(self, command: JoinChannel, value: object) -> None:
        """Take the engine's answer for a channel of a hello."""
        connection = self._context.connection_at(command.session)
        if connection is None:
            return
        channel = command.channel
        restoring = connection.restoring.pop(channel, None)
        if restoring is None:
            if isinstance(value, Membership) and channel not in connection.members and connection.state:
                connection.state.strays.add(channel)
            return
        complete = True
        if isinstance(value, Membership):
            self._context.engine_answered()
            if connection.state is not None:
                connection.state.strays.discard(channel)
            complete = self._enter(connection, restoring, value)
        restoring.feed.expect_no_more()
        self._feeds.release(restoring.feed)
        if isinstance(value, Refusal) and not self._channel_refused(connection, channel, value):
            return
        if complete:
            self._finish_restoring(connection)
        else:
            self._departures.close(connection, CloseCode.RESYNC, "the members of a channel changed too fast")

    def _enter(self, connection: Connection, restoring: Restoring, value: Membership) -> bool:
        """Make a connection a member again; False where it cannot be told of all changes of the members."""
        if connection.welcome is not None:
            connection.say(connection.welcome)
            connection.welcome = None
        feed = restoring.feed
        if restoring.version != value.version:
            users = None if value.users is None else list(value.users)
            connection.say(Roster(feed.channel, value.version, value.count, users, list(value.unreachable)))
        connection.say(Restored(feed.channel))
        position = value.position if restoring.position is None else restoring.position
        member = feed.enter(connection, position, value.version)
        self._counter.enter(member, value.version, value.count, tell=restoring.version != value.version)
        complete = feed.tell_changes(member)
        member.asked = True
        member.returned = self._context.now
        if connection.together is None:
            self._pumps.want(connection, member)
        else:
            member.state = LogState.READING
            connection.together.members.append(member)
        return complete

    def _channel_refused(self, connection: Connection, channel: str, refusal: Refusal) -> bool:
        """Tell of a channel that could not be restored; False where the whole connection is given up."""
        if refusal.code is Trouble.FENCED:
            self._departures.close(connection, CloseCode.RESYNC, "the session is no longer current")
            return False
        if refusal.code is Trouble.UNAVAILABLE:
            self._context.engine_failed()
            self._departures.close(connection, CloseCode.ENGINE_UNAVAILABLE, refusal.text, BUSY_RETRY)
            return False
        if connection.welcome is not None:
            self._scope_refused(connection, refusal)
            return False
        if refusal.code is EXPELLED:
            connection.say(Expelled(channel, refusal.text))
        known = isinstance(refusal.code, JoinChannelError)
        code = refusal.code if known else JoinChannelError.FAILURE
        connection.say(Restored(channel, int(code), refusal.text))
        return True

    def _scope_refused(self, connection: Connection, refusal: Refusal) -> None:
        """A session whose one channel cannot be joined does not begin."""
        session = connection.session
        assert session is not None
        self._context.submit(Release(session))
        self._departures.detach(connection, session_over=True)
        self._context.sessions.pop(session.name, None)
        detail = refusal.code if isinstance(refusal.code, RoomErrorCode) else None
        code = LoginError.UNKNOWN if detail is None else LoginError.REJECTED
        self._refuse(connection, session.name, code, refusal.text, detail=detail)

    def give_up_restoring(self, connection: Connection) -> None:
        """The engine took too long: what it has not answered counts as refused."""
        self._context.engine_failed()
        if connection.welcome is not None:
            text = "the engine did not answer in time"
            self._departures.close(connection, CloseCode.ENGINE_UNAVAILABLE, text, BUSY_RETRY)
            return
        for channel, restoring in connection.restoring.items():
            text = "The server did not get it done in time."
            connection.say(Restored(channel, int(JoinChannelError.TIMEOUT), text))
            restoring.feed.expect_no_more()
            self._feeds.release(restoring.feed)
        connection.restoring.clear()
        self._finish_restoring(connection)

    def _finish_restoring(self, connection: Connection) -> None:
        if connection.restoring or connection.phase is not Phase.RESTORING:
            return
        connection.stage_due = NEVER
        connection.say(Ready())
        connection.advance(Cue.READY)
        inbox = connection.inbox
        assert inbox is not None
        connection.to_read.insert(0, inbox)
        if connection.together is not None:
            connection.to_read.append(connection.together)
            connection.together = None
        self._pumps.go_on(connection)

    # --- Goodbye ------------------------------------------------------------------------

    def postpone_goodbye(self, connection: Connection, packet: Bye) -> None:
        """A goodbye came behind the hello: it is carried out once the claim is answered."""
        connection.bye = packet

    def say_goodbye(self, connection: Connection, packet: Bye) -> None:
        """Release the session, unless the goodbye was meant for an older one."""
        session = connection.session
        assert session is not None
        if packet.fence is not None and packet.fence != session.fence:
            return
        connection.advance(Cue.GOODBYE)
        connection.stage_due = self._context.now + COMMAND_TIMEOUT
        self._context.schedule(connection, connection.stage_due)
        self._context.submit(Release(session))

    def released(self, command: Release, value: object) -> None:
        """Take the engine's answer to a goodbye."""
        connection = self._context.connection_at(command.session)
        if connection is None or connection.phase is not Phase.LEAVING:
            return
        if isinstance(value, Refusal) and value.code is Trouble.UNAVAILABLE:
            self._context.engine_failed()
            self._departures.close(connection, CloseCode.ENGINE_UNAVAILABLE, value.text, BUSY_RETRY)
            return
        if self._context.sessions.get(command.session.name) is connection.state:
            del self._context.sessions[command.session.name]
        self._departures.close(connection, CloseCode.LOGGED_OUT, "logged out")
