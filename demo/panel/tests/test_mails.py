"""Whom the demo writes to about a closure, in which language, and where a newcomer finds it."""

import io
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from django.contrib.auth.models import User
from django.core import mail
from django.core.management import call_command
from django.utils import timezone

from backsoon import services
from demo.core import settings as demo_settings
from demo.panel import customers
from demo.panel.models import CustomerProfile
from demo.panel.tests.base import PanelTestCase


class MailTests(PanelTestCase):
    def test_everybody_with_an_account_and_an_address_is_told(self) -> None:
        User.objects.create_user("without")
        User.objects.create_user("gone", "gone@client.example", is_active=False)
        self.assertQuerySetEqual(customers.to_be_told(), [self.claire, self.denis])

    def test_the_language_is_the_one_that_was_chosen(self) -> None:
        CustomerProfile.objects.create(user=self.claire, language="fr")
        told = {person.username: customers.language_of(person) for person in customers.to_be_told()}
        assert told == {"claire": "fr", "denis": ""}

    def test_a_planned_closure_is_announced_to_each_in_their_language(self) -> None:
        CustomerProfile.objects.create(user=self.claire, language="fr")
        start = timezone.now() + timedelta(hours=2)
        services.schedule(start, start + timedelta(hours=1), reason="Faster machines")
        call_command("maintenance", "deliver", stdout=io.StringIO())

        subjects = {each.to[0]: each.subject for each in mail.outbox}
        assert set(subjects) == {
            "claire@client.example",
            "denis@client.example",
            "operators@northlight.example",
        }
        assert "fermeture pour maintenance" in subjects["claire@client.example"]
        assert "closed for maintenance" in subjects["denis@client.example"]

    def test_what_it_sends_is_a_file_to_read(self) -> None:
        with (
            TemporaryDirectory() as folder,
            self.settings(
                # The test runner puts a backend of its own in the place of the demo's.
                EMAIL_BACKEND=demo_settings.EMAIL_BACKEND,
                EMAIL_FILE_PATH=folder,
            ),
        ):
            mail.send_mail("Faster machines", "Tonight.", None, ["claire@client.example"])
            (written,) = Path(folder).iterdir()
            assert "Subject: Faster machines" in written.read_text(encoding="utf-8")
