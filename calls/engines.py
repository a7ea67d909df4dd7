"""The engines as an operator wants to see them: what each told last, and whether it is still there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DataError, IntegrityError
from django.utils import timezone

from calls.entries import EngineEntry
from calls.models import Engine
from calls.values import moment, text, whole

AWAY_AFTER = timedelta(seconds=15)  # an engine tells of itself every three
AWAY = "away"


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """An engine's row with its state now: one of `Engine.State`, or `away` if it has not been heard of for 15 s."""

    engine: Engine
    state: str
    age: float  # seconds since it told of itself

    @property
    def alive(self) -> bool:
        """Say whether it carries calls, or soon will."""
        return self.state not in (AWAY, Engine.State.STOPPED)


def engines(now: datetime | None = None) -> list[EngineStatus]:
    """Return all engines that ever told of themselves, by name."""
    now = now or timezone.now()
    return [_status(engine, now) for engine in Engine.objects.all()]


def _status(engine: Engine, now: datetime) -> EngineStatus:
    age = now - engine.seen
    gone = age > AWAY_AFTER and engine.state != Engine.State.STOPPED
    return EngineStatus(engine, AWAY if gone else engine.state, max(0.0, age / timedelta(seconds=1)))


def tell(entry: EngineEntry) -> None:
    """Write down what an engine tells of itself, in the place of what it told before."""
    row = Engine(
        name=text(entry.name, 255),
        version=text(entry.version, 32),
        library=text(entry.library, 64),
        host=text(entry.host, 255),
        pid=whole(entry.pid),
        address=text(entry.address, 128),
        regions=[text(code, 32) for code in entry.regions],
        started=moment(entry.started),
        seen=moment(entry.seen),
        state=Engine.State(entry.state),
        max_legs=whole(entry.max_legs),
        legs=whole(entry.legs),
        calls=whole(entry.calls),
        peak_legs=whole(entry.peak_legs),
        peak_calls=whole(entry.peak_calls),
        refused=whole(entry.refused),
    )
    columns = [column.name for column in Engine._meta.concrete_fields if not column.primary_key]
    try:
        Engine.objects.bulk_create([row], update_conflicts=True, unique_fields=["name"], update_fields=columns)
    except (DataError, IntegrityError) as error:  # a fault of ours; the next one may be better
        raise ValueError(f"the status of engine {entry.name} cannot be written: {error}") from error
