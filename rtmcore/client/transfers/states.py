"""The states of an upload and of a download, as tables."""

import enum
from typing import Final

from rtmcore.connection.table import Rule, Table


class Phase(enum.Enum):
    """How far a transfer has come."""

    NEW = "has not begun"
    WAITING = "waits for its next attempt"
    TICKET = "waits for a ticket"
    CONNECTING = "connects"
    ANNOUNCING = "waits for a media id"
    LOOKING = "asks how far it got"
    SENDING = "sends"
    RECEIVING = "receives"
    WITHDRAWING = "is over, and removes what it left at the server"
    OVER = "is over"


class Input(enum.Enum):
    """What happens to it."""

    START = "begin"
    DUE = "it is time for the next attempt"
    TICKET = "there is a ticket"
    OPENED = "the connection is open"
    REOPENED = "the connection is open, and the server knows the upload"
    OFFSET = "the server has said how many bytes it has"
    COMPLETE = "all is there"
    CUT = "the connection, or what was asked for, came to nothing"
    BUSY = "the server asks to come again"
    DENIED = "the ticket is not accepted"
    GONE = "the server does not know the upload any more"
    REFUSED = "the server has refused for good"
    ENDED = "it ends here, and nothing of it is at the server"
    CANCELED = "it ends here, and the server has a part of it"
    ANSWERED = "the server has answered the removal"


class Effect(enum.Enum):
    """What is done about it."""

    RETRY = "schedule the next attempt"
    ASK_TICKET = "ask for a ticket"
    CONNECT = "open a connection"
    ANNOUNCE = "ask for a media id"
    LOOK = "ask how many bytes the server has"
    SEND = "send from there on"
    RECEIVE = "ask for what is missing"
    RENEW = "drop the ticket, and schedule the next attempt"
    ANEW = "forget the media id, and schedule the next attempt"
    COMPLETE = "tell that it is done"
    FAIL = "tell why it is over"
    WITHDRAW = "tell why it is over, and open a connection for the removal"
    REMOVE = "remove it"
    LEAVE = "close the connection"


_P, _I, _E = Phase, Input, Effect
_Rules = dict[tuple[Phase, Input], Rule[Effect, Phase]]


def _shared(asking: tuple[Phase, ...]) -> _Rules:
    """What both have in common.

    Args:
        asking: The phases in which a request is under way.
    """
    rules: _Rules = {
        (_P.NEW, _I.START): Rule(_E.RETRY, _P.WAITING),
        (_P.WAITING, _I.DUE): Rule(_E.ASK_TICKET, _P.TICKET),
        (_P.TICKET, _I.TICKET): Rule(_E.CONNECT, _P.CONNECTING),
        (_P.TICKET, _I.CUT): Rule(_E.RETRY, _P.WAITING),
        (_P.TICKET, _I.REFUSED): Rule(_E.FAIL, _P.OVER),
        (_P.CONNECTING, _I.CUT): Rule(_E.RETRY, _P.WAITING),
        (_P.CONNECTING, _I.REFUSED): Rule(_E.FAIL, _P.OVER),
    }
    for phase in asking:
        rules[phase, _I.CUT] = Rule(_E.RETRY, _P.WAITING)
        rules[phase, _I.BUSY] = Rule(_E.RETRY, _P.WAITING)
        rules[phase, _I.DENIED] = Rule(_E.RENEW, _P.WAITING)
        rules[phase, _I.REFUSED] = Rule(_E.FAIL, _P.OVER)
    for phase in (_P.NEW, _P.WAITING, _P.TICKET, _P.CONNECTING, *asking):
        rules[phase, _I.ENDED] = Rule(_E.FAIL, _P.OVER)
    return rules


def _upload() -> _Rules:
    asking = (_P.ANNOUNCING, _P.LOOKING, _P.SENDING)
    rules = _shared(asking)
    rules[_P.CONNECTING, _I.OPENED] = Rule(_E.ANNOUNCE, _P.ANNOUNCING)
    rules[_P.CONNECTING, _I.REOPENED] = Rule(_E.LOOK, _P.LOOKING)
    rules[_P.CONNECTING, _I.OFFSET] = Rule(_E.SEND, _P.SENDING)
    for phase in asking:
        rules[phase, _I.OFFSET] = Rule(_E.SEND, _P.SENDING)
    for phase in (_P.LOOKING, _P.SENDING):
        rules[phase, _I.COMPLETE] = Rule(_E.COMPLETE, _P.OVER)
        rules[phase, _I.GONE] = Rule(_E.ANEW, _P.WAITING)
    for phase in (_P.WAITING, _P.TICKET, _P.CONNECTING, *asking):
        rules[phase, _I.CANCELED] = Rule(_E.WITHDRAW, _P.WITHDRAWING)
    rules[_P.WITHDRAWING, _I.REOPENED] = Rule(_E.REMOVE, _P.WITHDRAWING)
    for given in (_I.ANSWERED, _I.CUT, _I.ENDED):
        rules[_P.WITHDRAWING, given] = Rule(_E.LEAVE, _P.OVER)
    return rules


def _download() -> _Rules:
    rules = _shared((_P.RECEIVING,))
    rules[_P.CONNECTING, _I.OPENED] = Rule(_E.RECEIVE, _P.RECEIVING)
    rules[_P.RECEIVING, _I.COMPLETE] = Rule(_E.COMPLETE, _P.OVER)
    return rules


UPLOAD: Final = Table("upload", Phase.NEW, _upload())
"""What an upload does."""

DOWNLOAD: Final = Table("download", Phase.NEW, _download())
"""What a download does."""
