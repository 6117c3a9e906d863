#!/bin/sh
# Sets the demo up (environment, database, defaults, accounts, orders, static files) and serves it.
#
#   scripts/demo.sh wsgi     gunicorn, 2 workers of 4 threads (`make demo`)
#   scripts/demo.sh asgi     uvicorn, 2 workers (`make demo-asgi`)
#
# Read from the environment: PORT (8000), HOST (127.0.0.1), DATABASE_URL, REDIS_URL, DEMO_PASSWORD,
# DEMO_SITE_URL.
set -eu
. "$(dirname "$0")/lib.sh"
cd "$root"

server=${1:-wsgi}
host=${HOST:-127.0.0.1}
port=${PORT:-8000}
case $server in wsgi | asgi) ;; *) fail "unknown server '$server'; say wsgi or asgi" ;; esac
case $port in
*[!0-9]* | '' | ??????*) fail "PORT=$port is not a port: a number from 1 to 65535." ;;
esac
[ "$port" -ge 1 ] && [ "$port" -le 65535 ] || fail "PORT=$port is not a port: a number from 1 to 65535."

scripts/bootstrap.sh demo

# Before the set-up: whoever has to choose another port should not wait for it.
port_is_free() {
    "$python" - "$host" "$port" <<'PYTHON'
import socket
import sys

host, port = sys.argv[1], int(sys.argv[2])
try:
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, proto) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
except OSError as error:
    sys.exit(f"{host}:{port}: {error.strerror or error}")
PYTHON
}
port_is_free || fail "the demo cannot listen there (see above). Is another demo running?" \
    "Choose another port: PORT=$((port < 65535 ? port + 1 : 8000)) make demo"

shown=$host
case $host in 0.0.0.0 | :: | '') shown=127.0.0.1 ;; esac
case $host in *:*) bind="[$host]:$port" ;; *) bind="$host:$port" ;; esac
case $shown in *:*) shown="[$shown]" ;; esac

export DJANGO_SETTINGS_MODULE=demo.core.settings
# For the links in mails, unless somebody puts a proxy in front and says its address.
export DEMO_SITE_URL="${DEMO_SITE_URL:-http://$shown:$port}"
mkdir -p var
say "Setting the demo up"
"$python" manage.py migrate --verbosity 0
"$python" manage.py init_default_settings
"$python" manage.py seed_demo
"$python" manage.py collectstatic --no-input --verbosity 0

say ""
say "  Client area      http://$shown:$port/"
say "  Administration   http://$shown:$port/admin/"
say "  Mails it sends   ${DEMO_VAR_DIR:-$root/var}/mails/"
say "  Ctrl-C stops the demo."
say ""

# exec: signals reach the server itself, so that Ctrl-C and `kill` end it in order.
if [ "$server" = wsgi ]; then
    # The control socket has one place for each user, which two demos would fight for.
    exec "$python" -m gunicorn demo.core.wsgi:application \
        --bind "$bind" --workers 2 --threads 4 --graceful-timeout 10 --log-level warning \
        --no-control-socket
fi
exec "$python" -m uvicorn demo.core.asgi:application \
    --host "$host" --port "$port" --workers 2 --lifespan off \
    --timeout-graceful-shutdown 10 --log-level warning
