"""The table of messages."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Make the table."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Message",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("customer", models.CharField(db_index=True, max_length=64)),
                ("author", models.CharField(max_length=200)),
                ("text", models.TextField(max_length=2000)),
                ("time", models.DateTimeField(auto_now_add=True)),
                ("rtm_id", models.BigIntegerField(null=True, unique=True)),
            ],
            options={"ordering": ("id",)},
        ),
    )
