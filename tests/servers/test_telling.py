"""Words to people by real servers and real processes, which are killed in the middle."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.database_servers import PostgreSQL
from tests.telling.servers import REFUSED, Mailbox, Receiver, serving

ROOT = Path(__file__).resolve().parents[2]

RECIPIENTS = int(os.environ.get("BACKSOON_RECIPIENTS", "600"))
"""How many customers there are; 10,000 take minutes."""

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300 + RECIPIENTS)]

FLAT_KIB = 12 * 1024
"""What ten times as many customers may take more memory at the peak."""


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with serving(Mailbox()) as server:
        yield server


class Site:
    """A site with customers in a database of its own."""

    def __init__(
        self,
        directory: Path,
        count: int,
        mailbox: Mailbox,
        *,
        database: str = "",
        **settings: Any,
    ) -> None:
        self.env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.telling.settings",
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "DATABASE_URL": database or f"sqlite:///{directory / 'db.sqlite3'}",
            "SMTP_PORT": str(mailbox.port),
            "TELLING": json.dumps(settings),
        }
        command = [sys.executable, "-m", "tests.telling.people", str(count)]
        subprocess.run(command, env=self.env, cwd=ROOT, check=True)

    def deliver(self, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "manage.py", "maintenance", "deliver", "--json", *options]
        return subprocess.Popen(
            command, env=self.env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=300 + RECIPIENTS)
    assert out, err
    answer = json.loads(out)
    assert isinstance(answer, dict)
    return answer


def told(mailbox: Mailbox) -> list[str]:
    """The receivers, once for each mail."""
    return sorted(
        receiver for (receiver, _name), count in mailbox.taken.items() for _n in range(count)
    )


def everybody(count: int) -> set[str]:
    return {f"customer{n}@example.com" for n in range(count)}


def wait_for(mailbox: Mailbox, count: int) -> None:
    deadline = time.monotonic() + 60 + RECIPIENTS
    while len(mailbox.taken) < count:
        assert time.monotonic() < deadline, f"only {len(mailbox.taken)} mails came"
        time.sleep(0.005)


def test_a_process_that_is_killed_forgets_nobody_and_writes_to_nobody_twice(
    tmp_path: Path, mailbox: Mailbox
) -> None:
    site = Site(tmp_path, RECIPIENTS, mailbox)
    for part in (1, 2):
        process = site.deliver()
        wait_for(mailbox, part * RECIPIENTS // 3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    answer = finished(site.deliver())
    assert (answer["failed"], answer["given_up"], answer["waiting"]) == (0, 0, 0)
    assert set(told(mailbox)) == everybody(RECIPIENTS)
    # What each of the two was at when it was killed may have come twice, and bears the same name.
    twice = {message: count for message, count in mailbox.taken.items() if count > 1}
    assert len(twice) <= 2
    assert set(twice.values()) <= {2}
    assert len(mailbox.taken) == RECIPIENTS  # one Message-ID each
    assert finished(site.deliver())["sent"] == 0


def deliver_by_two(site: Site, mailbox: Mailbox) -> None:
    pair = [site.deliver(), site.deliver()]
    answers = [finished(process) for process in pair]
    assert sum(answer["sent"] for answer in answers) == 300
    assert told(mailbox) == sorted(everybody(300))


def test_two_who_deliver_at_once_share_the_work(tmp_path: Path, mailbox: Mailbox) -> None:
    deliver_by_two(Site(tmp_path, 300, mailbox), mailbox)


@pytest.mark.servers("postgresql")
def test_two_who_deliver_at_once_share_the_work_on_postgresql(
    tmp_path: Path, mailbox: Mailbox
) -> None:
    with PostgreSQL(tmp_path) as postgresql:
        url = postgresql.create_database("telling")
        site = Site(tmp_path, 300, mailbox, database=url)
        deliver_by_two(site, mailbox)


def peak(pid: int) -> int:
    """The most memory that a process has had, in KiB. Its usage would include that of its parent
    before it became another program.
    """
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    line = next((line for line in text.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(line.split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="what a process takes stands in /proc")
def test_memory_does_not_grow_with_the_number_of_customers(
    tmp_path: Path, mailbox: Mailbox
) -> None:
    peaks = {}
    for count in (RECIPIENTS // 10, RECIPIENTS):
        directory = tmp_path / str(count)
        directory.mkdir()
        process = Site(directory, count, mailbox).deliver()
        peaks[count] = 0
        while process.poll() is None:
            peaks[count] = max(peaks[count], peak(process.pid))
            time.sleep(0.02)
        process.communicate()
        assert process.returncode == 0
    print(f"peak memory in KiB by customers: {peaks}")  # noqa: T201
    assert peaks[RECIPIENTS] - peaks[RECIPIENTS // 10] < FLAT_KIB


def test_addresses_that_are_refused_are_told_apart_and_stop_nobody(
    tmp_path: Path, mailbox: Mailbox
) -> None:
    mailbox.answers = {
        "customer1@example.com": REFUSED,
        "customer2@example.com": "451 4.7.1 Later, please",
    }
    site = Site(tmp_path, 5, mailbox)
    process = site.deliver()
    answer = finished(process)
    assert process.returncode == 1
    assert (answer["sent"], answer["failed"], answer["given_up"]) == (3, 1, 1)
    assert mailbox.connections == 1
    mailbox.answers = {}
    assert finished(site.deliver("--retry"))["sent"] == 2
    assert told(mailbox) == sorted(everybody(5))
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in mailbox.last


def test_a_webhook_that_fails_three_times_gets_the_same_message_signed_anew(
    tmp_path: Path, mailbox: Mailbox
) -> None:
    secret = "only-for-tests-0123456789"
    with serving(Receiver(500, 302, 503)) as receiver:
        hook = {"url": receiver.url, "secret": secret}
        site = Site(tmp_path, 1, mailbox, WEBHOOKS=[hook])
        codes = []
        for _attempt in range(4):
            process = site.deliver("--retry")
            finished(process)
            codes.append(process.returncode)
    assert codes == [1, 1, 1, 0]
    assert told(mailbox) == ["customer0@example.com"]
    assert len(receiver.got) == 4  # nobody followed the redirect
    assert len({headers["webhook-id"] for headers, _body in receiver.got}) == 1
    for headers, body in receiver.got:
        signed = b".".join(
            [headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body]
        )
        mac = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
    assert json.loads(receiver.got[-1][1])["type"] == "maintenance.announced"


def test_a_loop_ends_when_it_is_asked_to_and_goes_on_until_then(
    tmp_path: Path, mailbox: Mailbox
) -> None:
    site = Site(tmp_path, 3, mailbox)
    process = site.deliver("--loop", "--every", "0.1")
    wait_for(mailbox, 3)
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[0])["sent"] == 3
