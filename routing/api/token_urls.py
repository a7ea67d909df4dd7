"""Paths of Twilio's accounts.twilio.com, below /v1/."""

from django.urls import path

from routing.api import accounts

app_name = "tokens"
urlpatterns = [
    path("AuthTokens/Promote", accounts.TokenPromotion.as_view(), name="promotion"),
    path("AuthTokens/Secondary", accounts.SecondaryToken.as_view(), name="secondary"),
]
