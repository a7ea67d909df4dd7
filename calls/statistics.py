"""What the database knows of how its values are spread, by which it chooses indexes.

PostgreSQL keeps that itself. SQLite does only when told, and without it goes through all calls of a status to find
those of one number.
"""

from __future__ import annotations

from django.db import connection

from calls.models import Call, Notification, Recording, WebhookDelivery

LOOKED_AT = 1000  # rows of each index: milliseconds, however long the log is


def refresh() -> None:
    """Look at a sample of the log's tables; do nothing but on SQLite."""
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA analysis_limit={LOOKED_AT}")
        for model in (Call, Notification, Recording, WebhookDelivery):
            cursor.execute(f"ANALYZE {model._meta.db_table}")
