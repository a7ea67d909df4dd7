"""Paths of the resources of `routing`, below /2010-04-01/."""

from django.urls import path

from routing.api import accounts, credentials, domains, errors, ip_access, keys, mappings, numbers
from routing.api import applications as apps
from routing.api.paths import resource

_ACCOUNT = "Accounts/<sid:account_sid>"
_DOMAINS = f"{_ACCOUNT}/SIP/Domains"
_DOMAIN = f"{_DOMAINS}/<sid:domain_sid>"
_CREDENTIAL_LISTS = f"{_ACCOUNT}/SIP/CredentialLists"
_CREDENTIALS = f"{_CREDENTIAL_LISTS}/<sid:list_sid>/Credentials"
_ACCESS_LISTS = f"{_ACCOUNT}/SIP/IpAccessControlLists"
_ADDRESSES = f"{_ACCESS_LISTS}/<sid:list_sid>/IpAddresses"

_RESOURCES = (
    ("Accounts", accounts.Accounts, "accounts"),
    (_ACCOUNT, accounts.OneAccount, "account"),
    (f"{_ACCOUNT}/Keys", keys.Keys, "keys"),
    (f"{_ACCOUNT}/Keys/<sid:sid>", keys.OneKey, "key"),
    (f"{_ACCOUNT}/Applications", apps.Applications, "applications"),
    (f"{_ACCOUNT}/Applications/<sid:sid>", apps.OneApplication, "application"),
    (f"{_ACCOUNT}/IncomingPhoneNumbers", numbers.Numbers, "numbers"),
    (f"{_ACCOUNT}/IncomingPhoneNumbers/<sid:sid>", numbers.OneNumber, "number"),
    (_DOMAINS, domains.Domains, "domains"),
    (f"{_DOMAINS}/<sid:sid>", domains.OneDomain, "domain"),
    (_CREDENTIAL_LISTS, credentials.CredentialLists, "credential-lists"),
    (f"{_CREDENTIAL_LISTS}/<sid:sid>", credentials.OneCredentialList, "credential-list"),
    (_CREDENTIALS, credentials.Credentials, "credentials"),
    (f"{_CREDENTIALS}/<sid:sid>", credentials.OneCredential, "credential"),
    (_ACCESS_LISTS, ip_access.IpAccessControlLists, "ip-access-control-lists"),
    (f"{_ACCESS_LISTS}/<sid:sid>", ip_access.OneIpAccessControlList, "ip-access-control-list"),
    (_ADDRESSES, ip_access.IpAddresses, "ip-addresses"),
    (f"{_ADDRESSES}/<sid:sid>", ip_access.OneIpAddress, "ip-address"),
)
_MAPPINGS = (
    ("CredentialListMappings", mappings.LegacyCredentials, mappings.OneLegacyCredentials),
    ("IpAccessControlListMappings", mappings.LegacyIpAccess, mappings.OneLegacyIpAccess),
    ("Auth/Calls/CredentialListMappings", mappings.CallCredentials, mappings.OneCallCredentials),
    ("Auth/Calls/IpAccessControlListMappings", mappings.CallIpAccess, mappings.OneCallIpAccess),
    (
        "Auth/Registrations/CredentialListMappings",
        mappings.RegistrationCredentials,
        mappings.OneRegistrationCredentials,
    ),
)

app_name = "twilio"
urlpatterns = [path("", errors.unknown)]
for route, view, name in _RESOURCES:
    urlpatterns += resource(route, view.as_view(), name)
for route, several, one in _MAPPINGS:
    urlpatterns += resource(f"{_DOMAIN}/{route}", several.as_view(), several.__name__)
    urlpatterns += resource(f"{_DOMAIN}/{route}/<sid:sid>", one.as_view(), one.__name__)
