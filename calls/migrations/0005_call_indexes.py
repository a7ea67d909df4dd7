from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("calls", "0004_rest_calls"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="call",
            name="call_from",
        ),
        migrations.RemoveIndex(
            model_name="call",
            name="call_to",
        ),
        migrations.AddIndex(
            model_name="call",
            index=models.Index(fields=["from_user", "account", "-start_time", "-sid"], name="call_from_user"),
        ),
        migrations.AddIndex(
            model_name="call",
            index=models.Index(fields=["to_user", "account", "-start_time", "-sid"], name="call_to_user"),
        ),
        migrations.AddIndex(
            model_name="call",
            index=models.Index(fields=["account", "status", "-start_time", "-sid"], name="call_account_status"),
        ),
    ]
