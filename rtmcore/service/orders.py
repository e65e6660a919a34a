"""What whoever runs the server orders: handed to the engine, and reported when it is done."""

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from rtmcore.service.commands.exclusions import Ban, Unban
from rtmcore.service.commands.results import Refusal, Settled
from rtmcore.service.context import NodeContext

Order: TypeAlias = Ban | Unban
Report: TypeAlias = Callable[[Settled | Refusal], None]


class Orders:
    """Knows who waits for the engine's answer to an order.

    Args:
        context: The node's common ground.
    """

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._reports: dict[Order, deque[Report]] = {}

    def submit(self, order: Order, report: Report) -> None:
        """Hand an order to the engine, whose answer is reported once."""
        self._reports.setdefault(order, deque()).append(report)
        self._context.submit(order)

    def answered(self, order: Order, value: object) -> None:
        """Take the engine's answer; equal orders are answered in their order."""
        assert isinstance(value, Settled | Refusal)
        reports = self._reports[order]
        report = reports.popleft()
        if not reports:
            del self._reports[order]
        report(value)
