"""What a long silence leads to: "connection lost" once, and the end of all tries."""

from rtmcore.client.attempts import GiveUp, Verdict
from rtmcore.connection.policy import Policy


class Outage:
    """Counts from the last byte received; the session says when that was, and when the outage is over.

    Args:
        policy: After which silence what happens.

    Attributes:
        began: The last byte before the latest outage, or the begin of the login, in monotonic seconds.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._lost_told = False
        self._give_up: GiveUp | None = None
        self.began = 0.0

    @property
    def last_attempt(self) -> bool:
        """Whether the attempt under way decides."""
        return self._give_up is not None and self._give_up.extended

    def begin(self, heard: float) -> None:
        """Nothing was heard after this time, and the state says so."""
        self.began = heard
        self._lost_told = False
        self._give_up = None

    def heard(self) -> None:
        """Something was heard: the time to give up counts anew. The outage is over when the session stands."""
        self._give_up = None

    def end(self) -> None:
        """The session stands, or has ended."""
        self._give_up = None

    def next_deadline(self, heard: float) -> float | None:
        """When the next of the two is due.

        Args:
            heard: When the last byte came.
        """
        lost, after = self.lost_at(heard), self._policy.give_up_after
        if lost is not None or after is None:
            return lost
        return heard + after if self._give_up is None else self._give_up.deadline

    def lost_at(self, heard: float) -> float | None:
        """When the connection counts as lost; None where it never does, or that was told."""
        after = self._policy.lost_after
        return None if after is None or self._lost_told else heard + after

    def is_lost(self, heard: float, now: float) -> bool:
        """Whether the connection counts as lost now, and did not before."""
        due = self.lost_at(heard)
        return due is not None and now >= due and self.lose()

    def lose(self) -> bool:
        """Count the connection as lost.

        Returns:
            Whether that is to be told, and was not yet.
        """
        tells = self._policy.lost_after is not None and not self._lost_told
        self._lost_told = True
        return tells

    def judge(self, heard: float, now: float) -> Verdict:
        """Whether to go on trying."""
        after = self._policy.give_up_after
        if after is None or now < heard + after:
            return Verdict.GO_ON
        if self._give_up is None:
            self._give_up = GiveUp(heard + after)
        return self._give_up.judge(now, self._policy.attempt_timeout)
