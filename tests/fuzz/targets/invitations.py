"""Target: the signals of call invitations, which come from other users."""

from random import Random

from rtmcore.limits import INVITATION_CONTENT_BYTES, INVITATION_ID_BYTES
from rtmcore.wire.invitations import InvitationSignal, Signal, decode_signal, encode_signal
from tests.fuzz.harness import Case, expect
from tests.fuzz.mutation import mutate

_SIGNALS = (
    *(
        encode_signal(InvitationSignal(signal, "caller-1", 1500, "lunch? \N{POT OF FOOD}", "room", "yes"))
        for signal in Signal
    ),
    b'{"signal": "invite", "id": "\\ud83c\\udf72", "age": 9007199254740991}',
    b'{"signal":"invite","id":"x","unknown":[[[[{"deep":[1e308,-0.0]}]]]]}',
)


class InvitationTarget:
    """`decode_signal`: a body is a signal within its bounds, or None."""

    name = "invitation"

    def make(self, random: Random) -> Case:
        return Case([mutate(random, random.choice(_SIGNALS), _SIGNALS)])

    def run(self, case: Case) -> None:
        found = decode_signal(case.pieces[0])
        if found is None:
            return
        expect(0 < len(found.id.encode()) <= INVITATION_ID_BYTES, f"id {found.id!r}")
        expect(len(found.content.encode()) <= INVITATION_CONTENT_BYTES, "a content above its bound")
        expect(found.age >= 0, f"age {found.age}")
        expect(decode_signal(encode_signal(found)) == found, f"{found} is another one the second time")
