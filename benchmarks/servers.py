"""Real servers on free ports of this machine: gunicorn, uvicorn, nginx."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.crew import ROOT, own_processor
from tests import programs
from tests.database_servers import quiet_port
from tests.demo_server import HOST, STOP_SECONDS, until

START_SECONDS = 30.0

COMMANDS = {
    "gunicorn": [
        *("gunicorn", "--workers", "1", "--threads", "4", "--worker-class", "gthread"),
        *("--keep-alive", "30", "--log-level", "warning", "--no-control-socket", "--bind"),
    ],
    "uvicorn": ["uvicorn", "--lifespan", "off", "--log-level", "warning", "--no-access-log"],
}
"""One process each. gunicorn keeps connections, as behind a proxy."""

STYLE = {"gunicorn": "wsgi", "uvicorn": "asgi"}


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}/"

    def get(self, headers: Mapping[str, str]) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body of the answer to a GET of ``/``."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", "/", headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


@contextmanager
def python_server(
    kind: str, application: str, env: Mapping[str, str], directory: Path, pinned: bool = True
) -> Iterator[Server]:
    """Run *application* (``module:name``) on gunicorn or uvicorn."""
    port = quiet_port()
    module, *options = COMMANDS[kind]
    place = [f"{HOST}:{port}"] if kind == "gunicorn" else ["--host", HOST, "--port", str(port)]
    command = [sys.executable, "-m", module, *options, *place, application]
    with _running(command, port, env, directory / f"{kind}-{port}.log", pinned) as server:
        yield server


@contextmanager
def nginx(headers: list[tuple[str, str]], body: bytes, directory: Path) -> Iterator[Server]:
    """Have nginx answer everything with 503 and a file of these bytes."""
    port, place = quiet_port(), directory / "nginx"
    place.mkdir()
    (place / "page").write_bytes(body)
    own = {"content-type", "content-length", "date", "server", "connection", "transfer-encoding"}
    added = "".join(
        f'add_header {name} "{_escaped(value)}" always;\n'
        for name, value in headers
        if name.lower() not in own
    )
    kind = next((value for name, value in headers if name.lower() == "content-type"), "text/html")
    (place / "nginx.conf").write_text(
        f"""
daemon off; worker_processes 1; pid {place}/pid; error_log {place}/errors;
events {{ worker_connections 512; }}
http {{
  access_log off; default_type "{kind}"; open_file_cache max=10;
  client_body_temp_path {place}/a; proxy_temp_path {place}/b; fastcgi_temp_path {place}/c;
  uwsgi_temp_path {place}/d; scgi_temp_path {place}/e;
  server {{
    listen {HOST}:{port};
    error_page 503 /page;
    location / {{ return 503; }}
    location = /page {{ internal; root {place}; {added} }}
  }}
}}
""",
        encoding="utf-8",
    )
    for path in (directory, place):  # its worker is another account when root starts it
        path.chmod(0o755)
    command = [str(programs.find("nginx")), "-c", str(place / "nginx.conf"), "-p", str(place)]
    with _running(command, port, os.environ, place / "log", True) as server:
        yield server


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


@contextmanager
def _running(
    command: list[str], port: int, env: Mapping[str, str], log: Path, pinned: bool
) -> Iterator[Server]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(env), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
            preexec_fn=_pin if pinned else None,
        )  # fmt: skip
    server = Server(port, log)
    try:
        until(_answers(server, process), START_SECONDS, lambda: log.read_text(errors="replace"))
        yield server
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def _pin() -> None:
    processor = own_processor()
    if processor is not None:
        os.sched_setaffinity(0, {processor})


def _answers(server: Server, process: subprocess.Popen[bytes]) -> Callable[[], bool | None]:
    def ask() -> bool | None:
        if process.poll() is not None:
            raise AssertionError(f"It ended at once: {server.log.read_text(errors='replace')}")
        try:
            server.get({})
        except (OSError, http.client.HTTPException):
            return None
        return True

    return ask
