"""Writes what engines measured: the quality of each leg's audio, and what came of SIP checks."""

from __future__ import annotations

from collections.abc import Sequence

from calls import mos
from calls.entries import CheckDone, QualityEntry
from calls.models import EndpointCheck, LegQuality
from calls.values import SMALL, checked_sid, moment, text, whole

_COLUMNS = [column.name for column in LegQuality._meta.concrete_fields if not column.primary_key]


def quality(entry: QualityEntry) -> LegQuality:
    """Return the row of a leg's quality, with the scores that follow from it."""
    heard = mos.estimate(
        entry.codec,
        entry.packets_in,
        entry.lost_in,
        jitter_ms=entry.jitter_in,
        round_trip_ms=entry.round_trip,
    )
    sent = None
    if entry.lost_out is not None:
        arrived = max(0, entry.packets_out - entry.lost_out)
        sent = mos.estimate(
            entry.codec, arrived, entry.lost_out, jitter_ms=entry.jitter_out, round_trip_ms=entry.round_trip
        )
    return LegQuality(
        call_id=checked_sid(entry.call_sid, "CA"),
        updated=moment(entry.time),
        final=entry.final,
        codec=text(entry.codec, 32),
        packets_in=whole(entry.packets_in),
        packets_out=whole(entry.packets_out),
        lost_in=whole(entry.lost_in),
        lost_out=None if entry.lost_out is None else whole(entry.lost_out),
        jitter_in_ms=_rounded(entry.jitter_in),
        jitter_in_max_ms=_rounded(entry.jitter_in_max),
        jitter_out_ms=_rounded(entry.jitter_out),
        round_trip_ms=_rounded(entry.round_trip),
        mos_in=heard,
        mos_out=sent,
    )


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 2)


def write_qualities(rows: Sequence[LegQuality]) -> None:
    """Write rows in the order in which they were told; a sample never replaces the final figures."""
    latest = {row.call_id: row for row in sorted(rows, key=lambda row: row.final)}
    samples = [sid for sid, row in latest.items() if not row.final]
    done = LegQuality.objects.filter(pk__in=samples, final=True).values_list("pk", flat=True) if samples else ()
    for sid in done:
        del latest[sid]
    LegQuality.objects.bulk_create(
        latest.values(), update_conflicts=True, unique_fields=["call"], update_fields=_COLUMNS
    )


def check(entry: CheckDone) -> EndpointCheck:
    """Return what came of a check as a row of which only the outcome counts."""
    return EndpointCheck(
        pk=whole(entry.id),
        done_at=moment(entry.time),
        code=whole(entry.code, SMALL),
        reason=text(entry.reason, 255),
        server=text(entry.server, 255),
        milliseconds=None if entry.seconds is None else round(1000 * entry.seconds, 1),
        error=text(entry.error, 1000),
    )


def write_checks(rows: Sequence[EndpointCheck]) -> None:
    """Write what came of checks, once for each."""
    for row in rows:
        EndpointCheck.objects.filter(pk=row.pk, done_at=None).update(
            done_at=row.done_at,
            code=row.code,
            reason=row.reason,
            server=row.server,
            milliseconds=row.milliseconds,
            error=row.error,
        )
