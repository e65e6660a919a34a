"""For tests of a site: its RTM servers in memory, without a server, a socket or a thread."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from django.test.utils import override_settings

from rtmsync.client import Client
from rtmsync.contrib.django.clients import DEFAULT_ALIAS, clients, configured, fresh_databases
from rtmsync.contrib.django.handlers import discover
from rtmsync.contrib.django.listening import announced
from rtmsync.contrib.listening import listening
from rtmsync.contrib.settings import MEMORY
from rtmsync.driver.dispatcher import CallbackFailed

if TYPE_CHECKING:
    from unittest import TestCase as Base

    from rtmsync.testing.memory import Sent
else:
    Base = object


class RtmTestMixin(Base):
    """For test cases of Django: every server in the setting ``RTM`` is in memory, and empty at the start of each test.

    ```python
    class OrderTests(RtmTestMixin, TestCase):
        def test_a_paid_order_is_published(self):
            with self.rtm_commits() as sent:
                self.client.post("/orders/7/pay/")
            self.assertEqual([each.text for each in sent], ["paid"])
    ```
    """

    @classmethod
    def setUpClass(cls) -> None:
        """Have `setUpTestData` publish into memory too."""
        cls.addClassCleanup(_in_memory().disable)
        super().setUpClass()

    def setUp(self) -> None:
        """Begin with empty servers."""
        self.addCleanup(_in_memory().disable)
        super().setUp()

    @property
    def rtm_outbox(self) -> "list[Sent]":
        """What this test has published and sent so far, oldest first; of the alias ``default``."""
        return clients[DEFAULT_ALIAS].outbox

    @contextmanager
    def rtm_commits(self, using: str = DEFAULT_ALIAS) -> "Iterator[list[Sent]]":
        """Have what waits for the commit happen at the end of a block, as if the test's transaction were committed.

        Args:
            using: The alias in the setting ``RTM``.

        Returns:
            A list that has, after the block, what was published and sent in it.
        """
        outbox = clients[using].outbox
        before = len(outbox)
        sent: list[Sent] = []
        capture = getattr(self, "captureOnCommitCallbacks", None)
        with ExitStack() as stack:
            if capture is not None:
                for database in sorted(getattr(self, "databases", ())):
                    stack.enter_context(capture(using=database, execute=True))
            yield sent
        sent.extend(clients[using].outbox[before:])

    def rtm_user(self, user_id: str, using: str = DEFAULT_ALIAS) -> Client:
        """Somebody who is logged in until the end of the test.

        Args:
            user_id: Who.
            using: The alias in the setting ``RTM``.
        """
        client: Client = clients[using].system.client(user_id)
        self.addCleanup(client.close)
        client.login()
        return client

    @contextmanager
    def rtm_listening(self, using: str = DEFAULT_ALIAS) -> Iterator[Client]:
        """Listen during a block: handlers run in the test's thread and transaction, before what caused them returns.

        What a handler raises is raised at the end of the block.

        Args:
            using: The alias in the setting ``RTM``.

        Returns:
            The listener's session.
        """
        discover()
        connections = clients[using]
        handlers = announced(connections)
        failures: list[CallbackFailed] = []
        client = connections.listening_client()
        client.on_error(failures.append)
        with listening(client, handlers, channels=connections.settings.channels, around=fresh_databases):
            yield client
        for failure in failures:
            raise failure.error


def _in_memory() -> Any:
    """Settings in force from now on, with which nothing leaves this process."""
    override = override_settings(
        RTM={alias: {**values, "TRANSPORT": MEMORY} for alias, values in configured().items()}
    )
    override.enable()
    return override
