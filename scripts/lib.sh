# Shared by the scripts next to it, which source it: `. "$(dirname "$0")/lib.sh"`. POSIX sh.
# Sets `root` (the project's directory) and `python` (the interpreter of its virtual environment).

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# shellcheck disable=SC2034  # used by the scripts that source this file
python=$root/.venv/bin/python

say() { printf '%s\n' "$*"; }

warn() { printf '%s\n' "$*" >&2; }

fail() {
    warn "error: $1"
    shift
    for line in "$@"; do warn "       $line"; done
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# May this user install Debian packages without being asked for a password?
may_install() {
    have apt-get || return 1
    [ "$(id -u)" -eq 0 ] || { have sudo && sudo -n true 2>/dev/null; }
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Install Debian packages; the log is shown only when it fails.
apt_install() {
    may_install || return 1
    say "Installing with apt-get: $*"
    apt_log=$(mktemp)
    if as_root env DEBIAN_FRONTEND=noninteractive sh -c '
        apt-get -q -o Acquire::Retries=3 update || echo "apt-get update failed; trying the lists at hand"
        apt-get -q -y -o Acquire::Retries=3 install --no-install-recommends "$@"
    ' sh "$@" >"$apt_log" 2>&1; then
        rm -f "$apt_log"
    else
        tail -n 15 "$apt_log" >&2
        rm -f "$apt_log"
        return 1
    fi
}
