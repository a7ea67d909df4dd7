"""The eight regions of Twilio's `<Sip>` page, and the row that counts changes."""

from django.db import migrations

REGIONS = (
    ("us1", "ashburn", "North America, Virginia"),
    ("us2", "san-jose", "North America, Oregon"),
    ("ie1", "dublin", "Europe, Ireland"),
    ("de1", "frankfurt", "Europe, Frankfurt"),
    ("sg1", "singapore", "Asia Pacific, Singapore"),
    ("jp1", "tokyo", "Asia Pacific, Tokyo"),
    ("br1", "sao-paulo", "South America, São Paulo"),
    ("au1", "sydney", "Asia Pacific, Sydney"),
)


def create(apps, schema_editor):
    region = apps.get_model("routing", "Region")
    for code, edge, location in REGIONS:
        region.objects.create(code=code, edge=edge, location=location, is_default=code == "us1")
    apps.get_model("routing", "RoutingVersion").objects.create(pk=1, version=1)


class Migration(migrations.Migration):
    dependencies = [("routing", "0001_initial")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
