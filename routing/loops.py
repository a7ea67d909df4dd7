"""PURE: chains of ring groups that lead back to themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def chain_back(start: int, leads_to: Mapping[int, Sequence[int]]) -> list[int]:
    """Return the shortest way from a group back to itself, both ends included; empty if there is none."""
    ways, seen = [[start]], {start}
    while ways:
        way = ways.pop(0)
        for group in leads_to.get(way[-1], ()):
            if group == start:
                return [*way, group]
            if group not in seen:
                seen.add(group)
                ways.append([*way, group])
    return []
