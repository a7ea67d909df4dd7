"""PURE: identifiers of what is in rooms that are derived from what they name, so that the engine and the API, which
both make queues and participants, make the same ones.
"""

from __future__ import annotations

import hashlib


def queue_sid(account_sid: str, name: str) -> str:
    """Return the SID of a queue: the same after every restart and on every engine, until the queue is renamed."""
    return "QU" + hashlib.sha256(f"{account_sid}\0{name}".encode()).hexdigest()[:32]


def participant_sid(conference_sid: str, call_sid: str) -> str:
    """Return the SID of a call in a conference; one that comes back is the same participant."""
    return "CP" + hashlib.sha256(f"{conference_sid}\0{call_sid}".encode()).hexdigest()[:32]
