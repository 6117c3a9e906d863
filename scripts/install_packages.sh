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

packages_for() {
    case $1 in
    # Without recommended packages there would be no font, and a page without letters.
    # libatomic1 is for the driver that Playwright brings along.
    chromium) echo chromium fonts-liberation fonts-dejavu-core libatomic1 ;;
    gettext) echo gettext ;;
    *) fail "unknown package '$1'; known: chromium gettext" ;;
    esac
}

loss_of() {
    case $1 in
    chromium) echo "the tests marked 'browser' (the setup guide and the pages in a real browser)" ;;
    gettext) echo "the check that the translations are complete and compiled" ;;
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
