#!/bin/sh
# Makes the virtual environment .venv and installs the project (editable) with dependency groups of
# pyproject.toml. Safe to run again: does nothing while its stamp is current.
#
#   scripts/bootstrap.sh [GROUP...]      groups: demo, test, lint, docs, bench, dev (all of them; the default)
#
# PYTHON=/path/to/python chooses the interpreter (3.11 or newer).
set -eu
. "$(dirname "$0")/lib.sh"
cd "$root"

venv=$root/.venv
stamp=$venv/backsoon-stamp
[ $# -gt 0 ] || set -- dev

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

version_of() { "$1" -c 'import platform; print(platform.python_version())'; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or newer that runs."
        command -v "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if have "$candidate" && new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer was found." \
        "On Debian 12 or Ubuntu 24.04 and newer: apt-get install python3 python3-venv" \
        "Or name one: PYTHON=/path/to/python3 make ..."
}

# Debian ships the standard library without ensurepip unless python3-venv is installed.
need_ensurepip() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 && return
    minor=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    apt_install "python$minor-venv" || apt_install python3-venv || true
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 || fail \
        "$1 cannot make virtual environments (its ensurepip module is missing)." \
        "On Debian and Ubuntu type: sudo apt-get install python3-venv" \
        "and then the same command again."
}

# What must be true of the environment for the stamp to hold, the groups apart.
facts() {
    printf 'root=%s\npython=%s\nproject=%s\n' "$root" "$(version_of "$python")" "$(cksum <pyproject.toml)"
}

if [ -d "$venv" ]; then
    # A copied or moved tree keeps an environment that points at its old place.
    if ! new_enough "$python"; then
        say "The environment in .venv does not run any more; making it anew."
        rm -rf "$venv"
    elif [ -f "$stamp" ] && ! grep -qxF "root=$root" "$stamp"; then
        say "The environment in .venv was made for another directory; making it anew."
        rm -rf "$venv"
    elif [ -n "${PYTHON:-}" ] && new_enough "$PYTHON" && [ "$(version_of "$PYTHON")" != "$(version_of "$python")" ]; then
        say "The environment in .venv has another Python than PYTHON asks for; making it anew."
        rm -rf "$venv"
    fi
fi

have_groups=
if [ -f "$stamp" ]; then
    have_groups=$(sed -n 's/^groups=//p' "$stamp")
fi
missing=
for group in "$@"; do
    case " $have_groups " in
    *" $group "* | *" dev "*) ;;
    *) missing="$missing $group" ;;
    esac
done
if [ -f "$stamp" ] && [ -z "$missing" ] && [ "$(grep -v '^groups=' "$stamp")" = "$(facts)" ]; then
    exit 0
fi

if [ ! -d "$venv" ]; then
    interpreter=$(find_python)
    need_ensurepip "$interpreter"
    say "Making .venv with Python $(version_of "$interpreter") ($interpreter)"
    "$interpreter" -m venv "$venv" || {
        rm -rf "$venv"
        fail "the virtual environment could not be made with $interpreter."
    }
fi
rm -f "$stamp"

wanted=${have_groups:+$have_groups }
for group in "$@"; do
    case " $wanted " in
    *" $group "*) ;;
    *) wanted="$wanted$group " ;;
    esac
done
wanted=${wanted% }
case " $wanted " in *" dev "*) wanted=dev ;; esac
set --
for group in $wanted; do
    set -- "$@" --group "$group"
done

export PIP_DISABLE_PIP_VERSION_CHECK=1 UV_PYTHON_DOWNLOADS=never
say "Installing the project with: $wanted (the first time takes a minute)"

with_uv() {
    "$python" -m uv --version >/dev/null 2>&1 ||
        "$python" -m pip install --quiet uv >"$log" 2>&1 || return 1
    # Copies where links are not possible (another file system) without a warning about it.
    UV_LINK_MODE=${UV_LINK_MODE:-copy} "$python" -m uv pip install --quiet --python "$python" "$@" --editable . >"$log" 2>&1
}

# Dependency groups need pip 25.1, which no Python 3.11 or 3.12 brings along.
with_pip() {
    "$python" -m pip install --quiet 'pip>=25.1' >"$log" 2>&1 &&
        "$python" -m pip install --quiet "$@" --editable . >"$log" 2>&1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! with_uv "$@"; then
    tail -n 5 "$log" >&2
    say "That did not work with uv; trying pip."
    if ! with_pip "$@"; then
        tail -n 20 "$log" >&2
        fail "the dependencies could not be installed (see above)." \
            "Is this machine online, and can pip reach its package index?" \
            "Nothing else was changed; the same command continues here."
    fi
fi
{
    facts
    printf 'groups=%s\n' "$wanted"
} >"$stamp"
