"""The pages of the site."""

from django.contrib.auth.views import LoginView
from django.urls import include, path

urlpatterns = [
    path("login/", LoginView.as_view(extra_context={"title": "Log in"}), name="login"),
    path("", include("chat.urls")),
]
