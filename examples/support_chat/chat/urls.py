"""Where the pages are."""

from django.urls import path

from chat import views

urlpatterns = [
    path("", views.customer_page, name="customer"),
    path("desk/", views.desk_page, name="desk"),
    path("desk/<str:customer>/", views.agent_page, name="agent"),
    path("desk/<str:customer>/reply/", views.reply, name="reply"),
    path("messages/<str:customer>/", views.messages, name="messages"),
    path("token/", views.customer_token, name="customer-token"),
    path("token/agent/", views.agent_token, name="agent-token"),
]
