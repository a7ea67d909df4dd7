"""PURE: what a call would do. Runs TwiML with the engine's own parser and dial machine against phones that follow a
script, on a clock of its own: no SIP, no waiting.

Documents come from an `Ask`; where nobody of ours answers for a URL the story ends there, and says so. How long a text
is spoken and how long somebody talks are estimates; who rings when, and how each leg ends, is what the engine does.
"""

from sipengine.simulation.call import simulate
from sipengine.simulation.scene import Ask, Leg, Manner, Moment, Page, Phone, Scene, Story, key_of

__all__ = ["Ask", "Leg", "Manner", "Moment", "Page", "Phone", "Scene", "Story", "key_of", "simulate"]
