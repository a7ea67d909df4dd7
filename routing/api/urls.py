"""Paths of the resources of `routing`, below /2010-04-01/."""

from django.urls import path

from routing.api import applications as app
from routing.api import errors
from routing.api.paths import resource

_ACCOUNT = "Accounts/<sid:account_sid>"

app_name = "twilio"
urlpatterns = [
    path("", errors.unknown),
    *resource(f"{_ACCOUNT}/Applications", app.Applications.as_view(), "applications"),
    *resource(f"{_ACCOUNT}/Applications/<sid:sid>", app.OneApplication.as_view(), "application"),
]
