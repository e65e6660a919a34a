"""A publisher whose requests go to a node in this process, without a socket."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rtmcore.errors import ConnectionFailed
from rtmcore.wire.exchange import HttpClientConnection, HttpFailed, HttpResponse
from rtmsync.driver.clock import Deadline
from rtmsync.publisher import Publisher
from rtmsync.testing.memory.machine import Machine, chunks


class MemoryLine:
    """A connection that carries requests to the node, and lets virtual time pass until they are answered.

    Args:
        machine: Drives the node.
        authority: The Host header.
    """

    def __init__(self, machine: Machine, authority: str) -> None:
        self.http: Final = HttpClientConnection(authority)
        self._clock = machine.clock
        self._wire = machine.connect()

    def ask(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes | None, budget: Deadline
    ) -> HttpResponse:
        """See `HttpLine`."""
        self.http.request(method, target, headers, body)
        self._wire.to_node.extend(chunks(self.http.data_to_send()))
        answers: list[HttpResponse | HttpFailed] = []

        def answered() -> bool:
            self._receive()
            event = self.http.next_event()
            if isinstance(event, HttpResponse | HttpFailed):
                answers.append(event)
            return bool(answers)

        if not self._clock.wait(answered, self._clock.now() + budget.remaining(), "publisher"):
            raise TimeoutError
        (answer,) = answers
        if isinstance(answer, HttpFailed):
            raise ConnectionFailed(f"The server's answer cannot be read: {answer.what}.")
        return answer

    def close(self) -> None:
        """See `HttpLine`."""
        self._wire.hung_up = True

    def _receive(self) -> None:
        while self._wire.to_client:
            self.http.receive_data(self._wire.to_client.popleft())
        if self._wire.ended:
            self.http.receive_eof()


class MemoryPublisher(Publisher):
    """A publisher over `MemoryLine`."""

    def __init__(self, machine: Machine, url: str, *, app_id: str, server_key: str) -> None:
        super().__init__(url, app_id=app_id, server_key=server_key)
        self._machine = machine

    @contextmanager
    def _turn(self, budget: Deadline) -> Iterator[None]:
        """Not for one call after another: a callback that runs while one of them waits may publish too."""
        yield

    def _exchange(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes | None, budget: Deadline
    ) -> HttpResponse:
        """Over a connection of its own; when it returns, what it has brought about has happened."""
        if self._closed:
            return super()._exchange(method, target, headers, body, budget)
        line = MemoryLine(self._machine, self._endpoint.authority)
        try:
            answer = line.ask(method, target, headers, body, budget)
        finally:
            line.close()
        self._machine.clock.settle()
        return answer
