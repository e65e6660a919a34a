"""Sessions: who holds a name, who may return to it, and when silence ends it."""

from hashlib import sha256
from hmac import compare_digest

from rtmcore.limits import INSTANCES_REMEMBERED, NAME_MEMORY, RESULT_MEMORY, UNREACHABLE_AFTER
from rtmcore.service.commands.exclusions import BANNED, Ban, Kick, PutOut
from rtmcore.service.commands.names import Place, Session
from rtmcore.service.commands.results import Refusal, Settled, Trouble
from rtmcore.service.commands.sessions import Claim, Claimed, Ended, Ending, Heard, Release, Silent
from rtmcore.service.memory.bans import Bans
from rtmcore.service.memory.channels import Channels
from rtmcore.service.memory.event_feeds import EventFeeds
from rtmcore.service.memory.inboxes import Inboxes
from rtmcore.service.memory.journal import SessionRecord
from rtmcore.service.memory.media import Media
from rtmcore.service.memory.offline import Offline
from rtmcore.service.memory.presence import Presence
from rtmcore.service.memory.results import Results
from rtmcore.service.memory.state import FENCED, Account, Instance, Live, Outlet, State

NOWHERE = Place("", 0)
"""The place of a session that a restart brought back and that nobody has returned to."""

_STALE = Refusal(
    Trouble.STALE_ATTEMPT,
    "A transport of this client instance with the same or a greater attempt number was here before.",
)
_SUPERSEDED = Refusal(
    Trouble.SUPERSEDED, "Another client instance has logged in as this user since: this one is to log out."
)
_UNAUTHORIZED = Refusal(
    Trouble.UNAUTHORIZED,
    "The session is over or its secret is another, and there is no valid token to log in with.",
)
_TOO_MANY_BANS = Refusal(Trouble.FULL, "The server holds no more bans: lift one first.")


class Sessions:
    """Carries out the commands about sessions.

    Args:
        state: What it shares with the other parts.
        inboxes: Told from where receivers go on.
        offline: Told when receivers come and go.
        channels: Told when members go, and when they are silent.
        presence: Told of all who come, go and are silent.
        media: Told of the secrets of sessions, and when sessions end.
        bans: Who may not log in.
        events: Told who comes online and goes offline.
    """

    def __init__(
        self,
        state: State,
        *,
        inboxes: Inboxes,
        offline: Offline,
        channels: Channels,
        presence: Presence,
        media: Media,
        bans: Bans,
        events: EventFeeds,
    ) -> None:
        self._state = state
        self._inboxes = inboxes
        self._offline = offline
        self._channels = channels
        self._presence = presence
        self._media = media
        self._bans = bans
        self._events = events
        self._silent: dict[Live, None] = {}
        self._departed: dict[Instance, float] = {}
        """When the sessions of instances ended that are not back, the longest gone first."""
        self._ended: dict[Account, float] = {}
        """The same for names."""

    # --- Claims -------------------------------------------------------------------

    def claim(self, outlet: Outlet, command: Claim, now: float, wall: int) -> None:
        """Carry out `Claim`."""
        account = self._state.accounts.get(command.name)
        instance = None if account is None else account.instances.get(command.iid)
        proven = instance is not None and _proves(command.secret, instance.digest)
        refusal = _refusal(account, instance, command, self._bans.refusal(command.name), proven=proven)
        if refusal is not None:
            outlet.answer(command, refusal)
            return
        live = None if account is None else account.live
        if live is not None and live.instance is instance and proven and not command.login:
            self._resume(live, outlet, command, now, wall)
        elif command.authorized:
            self._log_in(outlet, command, now, wall)
        else:
            outlet.answer(command, _UNAUTHORIZED)

    def _resume(self, live: Live, outlet: Outlet, command: Claim, now: float, wall: int) -> None:
        """A newer transport of the same instance takes over: nobody else is told."""
        self._offline.come_back(live.account, command.iid, wall)
        before, old_outlet, gone = live.session, live.outlet, live.gone
        live.session = Session(command.name, before.fence, command.place)
        live.outlet = outlet
        live.keepalive = command.keepalive
        unreachable = self._heard(live)
        if old_outlet is not None and not gone and before.place != command.place:
            old_outlet.outputs.append(Ended(before, Ending.REPLACED))
        self._take_place(live, command, now, resumed=True)
        self._presence.returned(live)
        if unreachable:
            self._channels.tell_state(live)

    def _log_in(self, outlet: Outlet, command: Claim, now: float, wall: int) -> None:
        """A new session begins; one of another instance is kicked, one of the same ends without a word."""
        state = self._state
        fence = state.clock.tick(wall)
        account = state.account(command.name)
        instance = account.instances.pop(command.iid, None)
        live = account.live
        if live is not None:
            same = live.instance is instance
            self._offline.come_back(account, command.iid, wall)
            self._end(live, Ending.REPLACED if same else Ending.REMOTE_LOGIN, now, wall)
        else:
            self._offline.come_online(account, wall)
            self._events.user(command.name, wall, online=True)
        if instance is None:
            instance = self._new_instance(account, command.iid)
            instance.older = not command.login
        account.instances[command.iid] = instance
        instance.results.forget_membership()
        if command.login:
            instance.left = {}
            instance.expelled = None
            instance.kicked = None
        self._departed.pop(instance, None)
        self._ended.pop(account, None)
        instance.digest = _digest(command.fresh_secret)
        account.fence = fence
        account.iid = command.iid
        session = Session(command.name, fence, command.place)
        account.live = Live(account, instance, session, outlet, command.keepalive, 0, command.login)
        self._take_place(account.live, command, now, resumed=False)
        self._presence.changed(account)

    def _take_place(self, live: Live, command: Claim, now: float, *, resumed: bool) -> None:
        account, instance = live.account, live.instance
        instance.attempt = command.attempt
        if instance.older:
            instance.older = False
            instance.returned = now
        instance.results.advance(command.floor)
        self._inboxes.resume_from(account, command.inbox)
        live.noticed = account.top if account.inbox is None else account.inbox.visible_top
        fence = live.session.fence
        self._state.journal.session(
            SessionRecord(
                account.name,
                instance.iid,
                instance.attempt,
                fence,
                instance.digest or b"",
                live.keepalive,
                account.cursor,
            )
        )
        secret = command.secret if resumed and command.secret is not None else command.fresh_secret
        self._media.admit(live, secret)
        assert live.outlet is not None
        live.outlet.answer(command, Claimed(fence, secret, resumed, self._state.epoch, account.cursor))

    def _new_instance(self, account: Account, iid: str) -> Instance:
        instances = account.instances
        if len(instances) >= INSTANCES_REMEMBERED:
            # Nobody holds the name at this moment: the one that came first makes room.
            gone = instances.pop(next(iter(instances)))
            self._departed.pop(gone, None)
        instance = instances[iid] = Instance(iid, Results(self._state.caps.results))
        return instance

    # --- Ends ---------------------------------------------------------------------

    def release(self, outlet: Outlet, command: Release, now: float, wall: int) -> None:
        """Carry out `Release`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        self._end(live, None, now, wall)
        self._go_offline(live.account, now, wall)
        outlet.answer(command, Settled())

    def ban(self, outlet: Outlet, command: Ban, now: float, wall: int) -> None:
        """Carry out `Ban`."""
        if not self._bans.has_room(command.name):
            outlet.answer(command, _TOO_MANY_BANS)
            return
        account = self._state.accounts.get(command.name)
        if account is not None and account.live is not None:
            self._end(account.live, Ending.BANNED, now, wall, command.text)
            self._go_offline(account, now, wall)
        self._bans.add(outlet, command)

    def kick(self, outlet: Outlet, command: Kick, now: float, wall: int) -> None:
        """Carry out `Kick`."""
        account = self._state.accounts.get(command.name)
        live = None if account is None else account.live
        if live is not None:
            live.instance.kicked = Refusal(BANNED, command.text)
            self._end(live, Ending.BANNED, now, wall, command.text)
            self._go_offline(live.account, now, wall)
        self._bans.kicked(command.name, command.text, now, wall)
        outlet.answer(command, PutOut(there=live is not None))

    def _end(self, live: Live, ending: Ending | None, now: float, wall: int, text: str = "") -> None:
        """End a session. Its name stays online until `_go_offline`."""
        self._state.alarms.set(live, None)
        self._silent.pop(live, None)
        live.account.live = None
        if ending is not None and live.outlet is not None and not live.gone:
            live.outlet.outputs.append(Ended(live.session, ending, text))
        self._media.session_over(live, ending, text)
        self._channels.leave_all(live, now, wall, dropped=ending is Ending.EXPIRED)
        self._presence.forget(live)
        self._departed.pop(live.instance, None)
        self._departed[live.instance] = now
        self._state.want_sweep(now)

    def _go_offline(self, account: Account, now: float, wall: int) -> None:
        self._offline.go_offline(account, now, wall)
        self._presence.changed(account)
        self._state.journal.session_over(account.name)
        self._ended[account] = now
        self._events.user(account.name, wall, online=False)

    # --- Silence ------------------------------------------------------------------

    def silent(self, outlet: Outlet, command: Silent, now: float, wall: int) -> None:
        """Carry out `Silent`."""
        live = self._state.current(command.session)
        if live is None:
            return
        live.since = command.since
        live.gone = live.gone or command.gone
        self._silent[live] = None
        self._set_alarm(live)

    def heard(self, outlet: Outlet, command: Heard, now: float, wall: int) -> None:
        """Carry out `Heard`."""
        live = self._state.current(command.session)
        if live is None or live.gone:
            return
        if self._heard(live):
            self._presence.changed(live.account)
            self._channels.tell_state(live)
        self._inboxes.announce(live.account)

    def _heard(self, live: Live) -> bool:
        """A session is not silent any more; whether it was unreachable."""
        unreachable = live.unreachable
        live.since = None
        live.gone = False
        live.unreachable = False
        self._silent.pop(live, None)
        self._state.alarms.set(live, None)
        return unreachable

    def _set_alarm(self, live: Live) -> None:
        if live.since is not None:
            after = live.keepalive if live.unreachable else min(UNREACHABLE_AFTER, live.keepalive)
            self._state.alarms.set(live, live.since + after)

    def on_alarm(self, live: Live, now: float, wall: int) -> None:
        """A silent session becomes unreachable, or has been silent for too long."""
        if not live.unreachable:
            live.unreachable = True
            self._set_alarm(live)
            self._presence.changed(live.account)
            self._channels.tell_state(live)
            return
        self._end(live, Ending.EXPIRED, now, wall)
        self._go_offline(live.account, now, wall)

    def shift(self, outlet: Outlet, seconds: float) -> None:
        """The node of this outlet was absent for so long: its clients were not, nor who was to return to it."""
        for live in self._silent:
            if live.since is not None and (live.outlet is outlet or live.outlet is None):
                live.since += seconds
                self._set_alarm(live)

    # --- Memory -------------------------------------------------------------------

    def sweep(self, now: float) -> bool:
        """Forget what is too old; whether anything remains to be looked at."""
        departed = self._departed
        while departed:
            instance = next(iter(departed))
            if now - departed[instance] < RESULT_MEMORY:
                break
            del departed[instance]
            instance.results.clear()
            instance.left = {}
        ended = self._ended
        while ended:
            account = next(iter(ended))
            if len(ended) <= self._state.caps.names_remembered and now - ended[account] < NAME_MEMORY:
                break
            del ended[account]
            if account.inbox is None:
                self._state.forget(account)
            else:
                # Something is stored for it. Without a fence it is forgotten when that is gone.
                account.fence = 0
                account.instances.clear()
        return bool(departed or ended)

    # --- After a restart ----------------------------------------------------------

    def restore(self, record: SessionRecord, now: float) -> None:
        """Take in a session that the journal holds: it is unreachable, and has its keepalive to return."""
        state = self._state
        account = state.account(record.name)
        account.fence = record.fence
        account.iid = record.iid
        account.cursor = account.top = record.inbox
        instance = self._new_instance(account, record.iid)
        instance.attempt = record.attempt
        instance.digest = record.digest
        instance.older = True
        session = Session(record.name, record.fence, NOWHERE)
        live = account.live = Live(account, instance, session, None, record.keepalive, record.inbox)
        live.since = now
        live.gone = live.unreachable = True
        self._silent[live] = None
        self._set_alarm(live)


def _refusal(
    account: Account | None,
    instance: Instance | None,
    command: Claim,
    ban: Refusal | None,
    *,
    proven: bool,
) -> Refusal | None:
    """Why a claim is not even looked at: only those who prove something learn anything."""
    if not (proven or command.authorized):
        return _UNAUTHORIZED
    if ban is not None:
        return ban
    if instance is not None and instance.kicked is not None and not command.login:
        return instance.kicked
    if instance is not None and command.attempt <= instance.attempt:
        return _STALE
    if (
        not command.login
        and account is not None
        and account.iid != command.iid
        and (command.fence or 0) < account.fence
    ):
        return _SUPERSEDED
    return None


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _proves(secret: str | None, digest: bytes | None) -> bool:
    return secret is not None and digest is not None and compare_digest(_digest(secret), digest)
