"""The test mixin, used as a site's own tests would."""

import pytest
from django.db import transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from django.test.utils import override_settings

from rtmsync.contrib.django import clients, message_received, state_changed
from rtmsync.contrib.django.test import RtmTestMixin
from tests.contrib.site.models import Order


class InTransactions(RtmTestMixin, TestCase):
    """Each test in a transaction that is rolled back."""

    @classmethod
    def setUpTestData(cls) -> None:
        clients["default"].publish("orders", "before the first test")

    def test_what_waits_for_the_commit_is_published_in_the_block(self) -> None:
        with self.rtm_commits() as sent:
            self.client.post("/order/", {"text": "soup"})
            assert sent == []
        assert [each.destination for each in sent] == ["orders", "cook"]
        assert self.rtm_outbox == sent

    def test_nothing_is_published_without_it(self) -> None:
        self.client.post("/order/", {"text": "soup"})
        assert self.rtm_outbox == []
        assert Order.objects.count() == 1

    def test_a_test_begins_with_nothing(self) -> None:
        assert self.rtm_outbox == []
        assert Order.objects.count() == 0

    def test_handlers_run_in_the_transaction_of_the_test(self) -> None:
        alice = self.rtm_user("alice")
        with self.rtm_listening() as listener:
            assert listener.user_id == "desk"
            alice.channel("orders").join()
            alice.channel("orders").send("soup")
            assert Order.objects.get().text == "soup"
            with self.rtm_commits() as sent:
                alice.send_peer("desk", "how many?")
        assert [each.text for each in sent] == ["how many?", '{"to": "alice", "orders": 1}']
        assert transaction.get_connection().in_atomic_block

    def test_views_reach_the_listener(self) -> None:
        with self.rtm_listening(), self.rtm_commits():
            self.client.post("/order/", {"text": "soup"})
        assert {each.text[:4] for each in Order.objects.all()} == {"soup", '{"id'}
        assert Order.objects.count() == 2

    def test_what_a_handler_raises_fails_the_test(self) -> None:
        alice = self.rtm_user("alice")
        with pytest.raises(LookupError), self.rtm_listening():
            alice.send_peer("desk", "fail")

    def test_each_alias_has_handlers_of_its_own(self) -> None:
        alice = self.rtm_user("alice", using="second")
        with self.rtm_listening("second"):
            alice.send_peer("desk", "hello")
        assert [(each.sender, each.destination, each.text) for each in clients["second"].outbox] == [
            ("alice", "desk", "hello"),
            ("desk", "alice", "second"),
        ]
        assert self.rtm_outbox == []

    def test_signals_tell_of_messages_and_states_before_the_handlers(self) -> None:
        heard = []

        def hear(**said: object) -> None:
            heard.append((said["using"], said["sender"].__name__, Order.objects.count()))
            raise LookupError("a receiver fails")

        for signal in (message_received, state_changed):
            signal.connect(hear)
            self.addCleanup(signal.disconnect, hear)
        alice = self.rtm_user("alice")
        with self.rtm_listening():
            alice.channel("orders").join()
            alice.channel("orders").send("soup")
            alice.send_peer("desk", "how many?")
        assert heard[:4] == [
            ("default", "StateChanged", 0),
            ("default", "StateChanged", 0),
            ("default", "ChannelMessage", 0),
            ("default", "PeerMessage", 1),
        ]


class Committed(RtmTestMixin, TransactionTestCase):
    """Each test commits."""

    available_apps = ("rtmsync.contrib.django", "tests.contrib.site")

    def test_it_is_published_when_it_is_committed(self) -> None:
        with self.rtm_commits() as sent:
            self.client.post("/order/", {"text": "soup"})
            assert len(self.rtm_outbox) == 2
        assert len(sent) == 2

    def test_handlers_keep_the_connection_of_the_test(self) -> None:
        alice = self.rtm_user("alice")
        with self.rtm_listening():
            alice.channel("orders").join()
            alice.channel("orders").send("soup")
        assert Order.objects.count() == 1


@override_settings(RTM={"default": {"URL": "ws://127.0.0.1:9", "APP_ID": "0" * 32, "LISTENER": "night"}})
class WithoutDatabase(RtmTestMixin, SimpleTestCase):
    """No database, and settings of its own."""

    def test_they_are_in_memory_too(self) -> None:
        clients["default"].publish("orders", "soup")
        with self.rtm_commits() as sent:
            clients["default"].publish("orders", "bread")
        assert [each.text for each in sent] == ["bread"]
        assert [each.sender for each in self.rtm_outbox] == ["tests", "tests"]
