"""What a member of a group with press-1 confirmation hears before the call: who calls, for whom, and what to press.

The end of the document is consent, `<Hangup>` declines (`<Sip url>`). An endpoint with a screening URL of its own goes
on to that one after the key, so that both must agree.
"""

from __future__ import annotations

from urllib.parse import urlencode

from django.urls import reverse

from routing.drafts import Context, Draft, Served, unless_post
from routing.models import Endpoint, RingGroup

KEY = "1"
MOST_ASKED = 3
SECONDS = 8  # to press a key after the prompt
_MOST_SPOKEN = 40


def document(
    group: RingGroup, endpoint: Endpoint | None, caller: str, *, digits: str | None, asked: int, route_id: int = 0
) -> Served:
    """Return what the one who has answered hears; `digits` are what was pressed after being asked `asked` times."""
    draft = Draft(Context(route_id=route_id), [])
    if digits == KEY:
        _accept(draft, endpoint)
    elif asked >= MOST_ASKED:
        draft.response.hangup()
        draft.why.append(f"{KEY} was not pressed: the call goes to somebody else.")
    else:
        _ask(draft, group, endpoint, caller, asked + 1)
    return draft.served()


def _accept(draft: Draft, endpoint: Endpoint | None) -> None:
    draft.why.append(f"{KEY} was pressed: the call is taken.")
    if endpoint and endpoint.screening_url:
        method = unless_post(endpoint.screening_method)
        draft.response.redirect(endpoint.screening_url, **({"method": method} if method else {}))
        draft.why.append(f"The screening of {endpoint} itself follows.")


def _ask(draft: Draft, group: RingGroup, endpoint: Endpoint | None, caller: str, asked: int) -> None:
    query = {"route": draft.context.route_id, "asked": asked}
    path = reverse("voice-screen", args=[group.pk, endpoint.pk if endpoint else 0])
    action = f"{path}?{urlencode({key: value for key, value in query.items() if value})}"
    gather = draft.response.gather(num_digits=1, timeout=SECONDS, action=action)
    gather.say(f"Call for {spoken(group.name)}, from {spoken(caller) or 'an unknown caller'}. Press {KEY} to take it.")
    draft.response.hangup()
    draft.why.append(f"Whoever answers must press {KEY} to take the call.")


def spoken(text: str) -> str:
    """Return a name or number as it is read aloud: digits one by one, nothing that cannot be said."""
    plain = "".join(char if char.isprintable() else " " for char in text)[:_MOST_SPOKEN].strip()
    digits = plain.removeprefix("+")
    return " ".join(digits) if digits.isascii() and digits.isdecimal() else plain
