"""Command: are the finished recordings all there, and are they what they were when they were finished?"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet
from django.utils import timezone

from calls import recordings
from calls.models import Recording

MOST_DAYS = 36_500


class Command(BaseCommand):
    help = (
        "Compare the file of each completed recording with its size, length and SHA-256 in the database; "
        "print those that are missing or damaged, and exit with 1 if there are any."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Define SIDs, --days and --quick."""
        parser.add_argument("sid", nargs="*", help="Only these recordings (RE…).")
        parser.add_argument("--days", type=int, help="Only recordings of the last so many days.")
        parser.add_argument("--quick", action="store_true", help="Do not read the files: size and length only.")

    def handle(self, *, sid: list[str], days: int | None, quick: bool, **options: Any) -> None:
        """Check them one after the other; memory does not grow with their number."""
        asked = _asked(sid, days)
        unknown = sorted(set(sid) - set(asked.values_list("pk", flat=True)))
        for name in unknown:
            self.stdout.write(f"{name}: there is no completed recording of this SID.")
        checked, bad = 0, len(unknown)
        for recording in asked.iterator(chunk_size=500):
            checked += 1
            if problem := recordings.problem(recording, thorough=not quick):
                bad += 1
                self.stdout.write(f"{recording.sid} of {recording.start_time:%Y-%m-%d %H:%M}: {problem}")
        self.stdout.write(f"{checked} recordings checked, {bad} missing or damaged.")
        if bad:
            raise CommandError("Restore the files above from a backup of RECORDINGS_DIR.", returncode=1)


def _asked(sids: list[str], days: int | None) -> QuerySet[Recording]:
    found = Recording.objects.filter(status=Recording.Status.COMPLETED).order_by("start_time", "pk")
    if sids:
        found = found.filter(pk__in=sids)
    if days is not None:
        if not 0 <= days <= MOST_DAYS:
            raise CommandError(f"--days {days}: give a number from 0 to {MOST_DAYS}.")
        first = timezone.localdate() - timedelta(days=days)
        found = found.filter(start_time__gte=timezone.make_aware(datetime.combine(first, time.min)))
    return found
