"""Begin the history of what is there already, so that its first change can be undone too."""

import datetime
import decimal

from django.db import migrations

PARTS = {
    "ringgroupmember": "group",
    "credential": "credential_list",
    "ipaddress": "ip_access_control_list",
    "trunkrule": "trunk",
    "schedulehours": "schedule",
    "scheduleexception": "schedule",
}
MODELS = [
    "account",
    "region",
    "apikey",
    "application",
    "phonenumber",
    "sipdomain",
    "credentiallist",
    "credential",
    "ipaccesscontrollist",
    "ipaddress",
    "endpoint",
    "trunk",
    "trunkrule",
    "schedule",
    "schedulehours",
    "scheduleexception",
    "voicemail",
    "ringgroup",
    "ringgroupmember",
    "route",
    "blockedcaller",
]
LEFT_OUT = {"created", "updated", "last_used", "secret_hash"}


def note(apps, schema_editor):
    change = apps.get_model("routing", "Change")
    for name in MODELS:
        model = apps.get_model("routing", name)
        fields = [
            field
            for field in model._meta.concrete_fields
            if type(field).__name__ != "SecretField" and field.name not in LEFT_OUT
        ]
        part = PARTS.get(name, "")
        related = [field.name for field in model._meta.many_to_many]
        rows = model.objects.only(*(field.name for field in fields)).order_by("pk")
        change.objects.bulk_create(
            (_row(change, name, row, fields, related, part) for row in rows.iterator()), batch_size=500
        )


def _row(change, name, row, fields, related, part):
    values = {field.name: _plain(getattr(row, field.attname)) for field in fields}
    values |= {one: list(getattr(row, one).values_list("pk", flat=True)) for one in related}
    return change(
        batch="",
        who="",
        via="command",
        action="present",
        model=f"routing.{name}",
        object_id=str(row.pk),
        name=str(values.get("name") or values.get("friendly_name") or values.get("pattern") or row.pk)[:255],
        root_model=f"routing.{_root(row, name, part)}",
        root_id=str(getattr(row, f"{part}_id") if part else row.pk),
        values=values,
    )


def _root(row, name, part):
    return row._meta.get_field(part).related_model._meta.model_name if part else name


def _plain(value):
    return str(value) if isinstance(value, datetime.date | datetime.time | decimal.Decimal) else value


class Migration(migrations.Migration):
    dependencies = [("routing", "0009_changes_sessions_and_retention")]

    operations = [migrations.RunPython(note, migrations.RunPython.noop)]
