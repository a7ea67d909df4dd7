"""asyncio: conferences and queues: where calls of different sessions of one engine meet."""

from __future__ import annotations

from sipengine import twiml
from sipengine.script import JointVerb, Script


class Rooms:
    """All conferences and queues of an engine, by account and name."""

    def joining(self, script: Script, verb: twiml.Dial) -> JointVerb:
        raise NotImplementedError

    def waiting(self, script: Script, verb: twiml.Enqueue) -> JointVerb:
        raise NotImplementedError
