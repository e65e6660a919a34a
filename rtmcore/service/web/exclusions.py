"""Who is put out over HTTP: users for good or for now, and members of a channel."""

from collections.abc import Callable
from typing import Final, TypeAlias

from rtmcore.limits import BAN_REASON_LENGTH
from rtmcore.service.commands.exclusions import Ban, Expel, Kick, Unban
from rtmcore.service.commands.names import RTM, Name
from rtmcore.service.context import NodeContext
from rtmcore.service.orders import Orders
from rtmcore.service.web.problems import invalid
from rtmcore.service.web.reading import check_id, read_fields
from rtmcore.service.web.routes import BAN, EXPEL, KICK, UNBAN, Job

Answered: TypeAlias = Callable[[int, object], None]

_SURROGATES: Final = range(0xD800, 0xE000)


class Exclusions:
    """Puts users and members out for those who have a server key.

    Args:
        context: The node's common ground.
        orders: Knows who waits for bans.
        answered: Takes the number of a job and the engine's answer.
    """

    def __init__(self, context: NodeContext, orders: Orders, answered: Answered) -> None:
        self._context = context
        self._orders = orders
        self._answered = answered
        self.begin = {BAN: self._ban, UNBAN: self._unban, KICK: self._kick, EXPEL: self._expel}
        """What carries out each operation; returns the seconds that it may take besides the engine's own."""

    def _ban(self, job: Job, body: bytes) -> float:
        name, number = _user(job), job.number
        order = Ban(name, _text(job, body, "The user is banned"), job.key)
        self._note("ban", job)
        self._orders.submit(order, lambda value: self._answered(number, value))
        return 0.0

    def _unban(self, job: Job, body: bytes) -> float:
        name, number = _user(job), job.number
        self._note("unban", job)
        self._orders.submit(Unban(name, job.key), lambda value: self._answered(number, value))
        return 0.0

    def _kick(self, job: Job, body: bytes) -> float:
        name = _user(job)
        text = _text(job, body, "The user was put out")
        self._note("kick", job)
        self._context.submit(Kick(job.number, name, job.key, text))
        return 0.0

    def _expel(self, job: Job, body: bytes) -> float:
        name, channel = _user(job), job.names["channel"]
        check_id(job, channel, "channel id")
        text = _text(job, body, "The member was taken out of the channel")
        self._note("kick of a member", job)
        self._context.submit(Expel(job.number, name, job.key, channel, text))
        return 0.0

    def _note(self, what: str, job: Job) -> None:
        self._context.note(what, {"app": job.app, **job.names})


def _user(job: Job) -> Name:
    user = job.names["user"]
    check_id(job, user, "user id")
    return Name(job.app, RTM, user)


def _text(job: Job, body: bytes, what: str) -> str:
    """What is said to whom it concerns."""
    reason = read_fields(job, body or b"{}").get("reason", "")
    if len(reason) > BAN_REASON_LENGTH or any(ord(sign) in _SURROGATES for sign in reason):
        raise invalid(job, f"The reason is a text of at most {BAN_REASON_LENGTH} characters.")
    return f"{what}: {reason}" if reason else f"{what}."
