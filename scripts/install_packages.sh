#!/bin/sh
# Installs Debian packages that tests and checks need, where this user may. Otherwise says what is
# left out and why; with CI=true a missing one is an error.
#
#   scripts/install_packages.sh chromium gettext
set -eu
. "$(dirname "$0")/lib.sh"
cd "$root"

# The same question the tests ask, so that both agree on what "installed" means.
have_chromium() { "$python" tests/chromium.py >/dev/null 2>&1; }

have_gettext() { have msgfmt && have msgattrib && have xgettext && have msgunfmt; }

# Debian keeps PostgreSQL's programs and nginx out of an ordinary user's PATH.
have_postgresql() { "$python" tests/programs.py postgresql >/dev/null 2>&1; }
have_redis() { "$python" tests/programs.py redis >/dev/null 2>&1; }
have_nginx() { "$python" tests/programs.py nginx >/dev/null 2>&1; }
have_faketime() { "$python" tests/programs.py faketime >/dev/null 2>&1; }
have_iproute2() { "$python" tests/programs.py iproute2 >/dev/null 2>&1; }
have_wrk() { have wrk; }

packages_for() {
    case $1 in
    # Without recommended packages there would be no font, and a page without letters.
    # libatomic1 is for the driver that Playwright brings along.
    chromium) echo chromium fonts-liberation fonts-dejavu-core libatomic1 ;;
    gettext) echo gettext ;;
    postgresql) echo postgresql ;;
    redis) echo redis-server ;;
    nginx) echo nginx ;;
    faketime) echo faketime ;;
    iproute2) echo iproute2 ;;
    wrk) echo wrk ;;
    *) fail "unknown package '$1'; known: chromium gettext postgresql redis nginx faketime iproute2 wrk" ;;
    esac
}

loss_of() {
    case $1 in
    chromium) echo "the tests marked 'browser' (the setup guide and the pages in a real browser)" ;;
    gettext) echo "the check that the translations are complete and compiled" ;;
    postgresql) echo "the tests that start a PostgreSQL of their own, most of tests/faults among them" ;;
    redis) echo "the tests that start a Redis of their own" ;;
    nginx) echo "the row of 'make bench' in which nginx serves a file" ;;
    faketime) echo "the tests that move a server's clock" ;;
    iproute2) echo "the tests with several hosts" ;;
    wrk) echo "the requests a second of 'make bench'" ;;
    esac
}

missing=
packages=
for name in "$@"; do
    wanted=$(packages_for "$name")
    if ! "have_$name"; then
        missing="$missing $name"
        packages="$packages $wanted"
    fi
done
[ -n "$missing" ] || exit 0

if may_install; then
    reason="apt-get could not install it (see above)"
    # shellcheck disable=SC2086  # several words are several packages
    apt_install $packages || true
elif have apt-get; then
    reason="it is not installed and this user may not install packages"
else
    reason="it is not installed and there is no apt-get on this machine"
fi

left_out=
for name in $missing; do
    "have_$name" && continue
    left_out="$left_out $name"
    warn "Without $name: $reason."
    warn "  Left out: $(loss_of "$name")."
    if have apt-get; then warn "  To have it: sudo apt-get install $(packages_for "$name")"; fi
done
if [ -n "$left_out" ] && [ "${CI:-}" = true ]; then
    fail "CI=true: nothing may be left out."
fi
