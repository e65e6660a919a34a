"""What the chat promises."""

from django.test import TestCase

from chat.models import Message, say
from rtmsync.contrib.django.test import RtmTestMixin


class ChatTests(RtmTestMixin, TestCase):
    """Without a server: the mixin puts one into memory."""

    def test_an_answer_is_published_when_it_is_stored(self):
        with self.rtm_commits() as sent:
            say("customer-1", "ann", "It is on its way.")
        self.assertEqual([each.channel for each in sent], ["customer-1", "desk"])

    def test_what_a_customer_writes_is_stored(self):
        customer = self.rtm_user("customer-1.00000000")
        with self.rtm_listening():
            customer.send_peer("support-desk", "My order is late.")
        self.assertEqual(Message.objects.get().text, "My order is late.")
