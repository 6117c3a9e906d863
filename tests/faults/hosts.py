"""Hosts of their own on one machine: network, name and process numbers apart, one bridge between.

Needs root and `ip` of iproute2. Addresses are from the range for benchmarks of networks (RFC 2544).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests import programs
from tests.database_servers import _FOR_TESTS, PostgreSQL
from tests.demo_server import HOST, ROOT

NETWORK = "198.18.77"
GATEWAY = f"{NETWORK}.1"
PORT = 8000

STOP_SECONDS = 15.0


def obstacle() -> str | None:
    """Why no hosts can be made here, as a sentence; None when they can."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return "Only root on Linux can make network namespaces."
    tried = subprocess.run(
        ["unshare", "--net", "--uts", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    return f"No namespaces here: {tried.stderr.decode().strip()}" if tried.returncode else None


def ip(*arguments: str) -> None:
    """Run `ip`; what it says is part of the error if it fails."""
    found = programs.find("iproute2")
    assert found is not None
    done = subprocess.run([str(found), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


class ReachablePostgreSQL(PostgreSQL):
    """A PostgreSQL that listens on the bridge as well."""

    def url_seen_from_bridge(self, database: str) -> str:
        """The address of a database as the hosts have to use it."""
        return self.url_of(database).replace(HOST, GATEWAY)

    def _launch(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        rules = self._data / "pg_hba.conf"
        if NETWORK not in rules.read_text(encoding="utf-8"):
            with rules.open("a", encoding="utf-8") as added:
                added.write(f"host all all {NETWORK}.0/24 trust\n")
        usual = _FOR_TESTS["listen_addresses"]
        _FOR_TESTS["listen_addresses"] = f"{usual},{GATEWAY}"
        try:
            return super()._launch(output)
        finally:
            _FOR_TESTS["listen_addresses"] = usual


@dataclass
class Host:
    """A host with a web server. Made by :func:`bridge`."""

    number: int
    label: str
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def name(self) -> str:
        """What it calls itself."""
        return f"web{self.number}"

    @property
    def address(self) -> str:
        """Where it is reached."""
        return f"{NETWORK}.{10 + self.number}"

    @property
    def link(self) -> str:
        """Our end of its cable."""
        return f"{self.label}{self.number}"

    def serve(self, command: list[str], env: dict[str, str]) -> None:
        """Start a server on it."""
        inner = f'hostname {self.name} && exec "$@"'
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *(str(programs.find("iproute2")), "netns", "exec", self.link),
                    *("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"),
                    *("sh", "-c", inner, "sh", sys.executable, "-m", *command),
                    *("--bind", f"{self.address}:{PORT}"),
                ],
                env=env, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def cut(self) -> None:
        """Pull the cable."""
        ip("link", "set", self.link, "down")

    def join(self) -> None:
        """Plug it in again."""
        ip("link", "set", self.link, "up")

    def stop(self) -> None:
        """End its server, and with it all that it has started."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)


@contextmanager
def bridge(directory: Path, hosts: int) -> Iterator[list[Host]]:
    """So many hosts that can reach each other and us."""
    label = f"b{uuid.uuid4().hex[:6]}-"  # a name of a link has 15 characters at most
    middle = f"{label}br"
    made = [Host(number, label, directory / f"web{number}.log") for number in range(1, hosts + 1)]
    ip("link", "add", "name", middle, "type", "bridge")
    try:
        ip("addr", "add", f"{GATEWAY}/24", "dev", middle)
        ip("link", "set", middle, "up")
        for host in made:
            ip("netns", "add", host.link)
            ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.link)
            ip("link", "set", host.link, "master", middle, "up")
            inside = ("-n", host.link)
            ip(*inside, "addr", "add", f"{host.address}/24", "dev", "eth0")
            ip(*inside, "link", "set", "eth0", "up")
            ip(*inside, "link", "set", "lo", "up")
        yield made
    finally:
        for host in made:
            host.stop()
            _try("netns", "del", host.link)
        _try("link", "del", middle)


def _try(*arguments: str) -> None:
    try:
        ip(*arguments)
    except AssertionError:
        return  # it was not made, or has gone with its namespace
