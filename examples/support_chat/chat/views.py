"""The pages, and what they ask for.

A page logs in to the RTM server as its owner, a dot, and a name of its own: two pages of one person do not put each
other out.
"""

import re
import secrets

from django.contrib.auth.decorators import login_required
from django.db.models import Max
from django.http import HttpResponse, HttpResponseBadRequest, HttpResponseForbidden, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from chat.models import DESK, Message, say
from rtmsync.contrib.django import clients
from rtmsync.contrib.django.views import token_response


@require_GET
def customer_page(request):
    """Where a customer asks for help. His session keeps his name."""
    customer = request.session.setdefault("customer", f"customer-{secrets.token_hex(8)}")
    page = {
        "channel": customer,
        "token": reverse("customer-token"),
        "messages": reverse("messages", args=[customer]),
        "listener": clients["default"].settings.listener,
    }
    return render(request, "chat/conversation.html", {"title": "How can we help?", "page": page})


@login_required
@require_GET
def agent_page(request, customer):
    """Where an agent answers a customer."""
    page = {
        "channel": customer,
        "token": reverse("agent-token"),
        "messages": reverse("messages", args=[customer]),
        "reply": reverse("reply", args=[customer]),
    }
    return render(request, "chat/conversation.html", {"title": f"Talking to {customer}", "page": page})


@login_required
@require_GET
def desk_page(request):
    """All conversations, the one with the newest message first."""
    conversations = Message.objects.values("customer").annotate(last=Max("id")).order_by("-last")
    page = {"channel": DESK, "token": reverse("agent-token"), "agent": reverse("agent", args=["CUSTOMER"])}
    context = {"title": "Conversations", "conversations": conversations, "page": page}
    return render(request, "chat/desk.html", context)


@require_GET
def messages(request, customer):
    """The messages of a conversation, for its customer and for agents."""
    if customer != request.session.get("customer") and not request.user.is_authenticated:
        return HttpResponseForbidden("This is not your conversation.")
    found = Message.objects.filter(customer=customer)
    return JsonResponse({"messages": [message.as_data() for message in found]})


@login_required
@require_POST
def reply(request, customer):
    """Say what an agent has written: it is stored, and then published."""
    text = request.POST.get("text", "").strip()
    if not 0 < len(text) <= Message._meta.get_field("text").max_length:
        return HttpResponseBadRequest("Say something, but not too much.")
    say(customer, request.user.get_username(), text)
    return HttpResponse(status=204)


@require_POST
def customer_token(request):
    """A token for a customer's page: it may join the customer's own channel, and write to the listener."""
    customer = request.session.get("customer")
    if customer is None:
        return HttpResponseForbidden("Open the page first.")
    return _token(request, customer, {"login": True, "join": [customer], "send": ["p2p"]})


@login_required
@require_POST
def agent_token(request):
    """A token for an agent's page: it may join every customer's channel, and hears of every message."""
    return _token(request, f"agent-{request.user.pk}", {"login": True, "join": ["customer-*", DESK]})


def _token(request, owner, scopes):
    tab = request.POST.get("tab", "")
    if not re.fullmatch("[0-9a-f]{8}", tab):
        return HttpResponseBadRequest("Which page is it for?")
    return token_response(f"{owner}.{tab}", scopes=scopes)
