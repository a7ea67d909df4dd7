"""Template filters of the call log."""

from __future__ import annotations

from django import template

from calls import harmless as module

register = template.Library()


@register.filter
def harmless(value: object) -> str:
    """Return what strangers sent with every character written out that is not seen as itself; escaping comes after."""
    return module.harmless("" if value is None else str(value))
