"""The TwiML of a voicemail box: the greeting, and what the caller says."""

from __future__ import annotations

from collections.abc import Callable

from django.urls import reverse

from routing.drafts import Draft
from routing.models import Voicemail

Recorded = Callable[[str, int, str], None]
_keepers: list[Recorded] = []


def register(keeper: Recorded) -> None:
    """Have the call log told of recordings for a box: account SID, id of the box, recording SID."""
    if keeper not in _keepers:
        _keepers.append(keeper)


def tell_keepers(account_sid: str, box_id: int, recording_sid: str) -> None:
    """Tell the call log of a recording."""
    for keeper in _keepers:
        keeper(account_sid, box_id, recording_sid)


def take_message(draft: Draft, box: Voicemail) -> None:
    """Greet the caller and record what he says; who says nothing is hung up on."""
    draft.why.append(f"The caller is asked to leave a message in voicemail box {box}.")
    match box.greeting:
        case Voicemail.Greeting.SAY:
            draft.response.say(box.greeting_text, **({"language": box.language} if box.language else {}))
        case Voicemail.Greeting.FILE if box.greeting_file:
            draft.response.play(reverse("voice-greeting", args=[box.greeting_file.name]))
        case Voicemail.Greeting.URL if box.greeting_url:
            draft.response.play(box.greeting_url)
        case _:
            pass  # only the beep
    draft.response.record(
        action=reverse("voice-voicemail-done", args=[box.pk or 0]),
        max_length=box.max_length,
        finish_on_key="#",
        recording_status_callback=reverse("voice-voicemail-recorded", args=[box.pk or 0]),
    )
    draft.response.hangup()


def goodbye(box: Voicemail | None, seconds: str, draft: Draft) -> None:
    """End the call of somebody who has left a message."""
    length = f" of {seconds} s" if seconds.isascii() and seconds.isdecimal() else ""
    draft.why.append(f"A message{length} was left in {f'voicemail box {box}' if box else 'a box that is gone'}.")
    draft.response.hangup()
