"""The pages of the site."""

from django.db import transaction
from django.http import HttpResponse
from django.urls import path

from rtmsync.contrib.django import publish_on_commit, send_peer_on_commit
from rtmsync.contrib.django.views import token_view
from tests.contrib.site.models import Order


def order(request):
    with transaction.atomic():
        made = Order.objects.create(text=request.POST["text"])
        publish_on_commit("orders", {"id": made.pk}, sender="till")
        send_peer_on_commit("cook", made.text, offline=True)
        if request.POST["text"] == "poison":
            raise RuntimeError("rolled back")
    return HttpResponse("ordered")


urlpatterns = [
    path("order/", order),
    path(
        "token/",
        token_view(
            lambda request: request.GET.get("user"),
            scopes=lambda request, user: {"login": True, "join": [user]},
        ),
    ),
]
