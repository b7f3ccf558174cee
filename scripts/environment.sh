#!/bin/sh
# Make the virtual environment .venv with the package (editable), a Qt binding and the tools.
#
#   environment.sh [GROUP]    and with another dependency group, if it can be installed
#
# Done once; again when pyproject.toml or what is compiled changes, the repository moves or
# another PYTHON is asked for. An interrupted run leaves no stamp behind, and the next one
# starts afresh.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

case $(uname -s) in
Linux | Darwin) ;;
*) die "make works on Linux and macOS. Elsewhere, in a virtual environment of your own:
    python -m pip install --upgrade pip
    python -m pip install -e \".[all]\" --group dev
    python -m pytest" ;;
esac

stamp=.venv/.ready
place=$PWD
contents=$(cat pyproject.toml setup.py src/napari_latent_faces/solvers/_kernel.[ch] | cksum)
describe='import sys; print(sys.version_info[:3], sys.base_prefix)'

# Is .venv whole, where it was made, and of the Python that is asked for?
usable() {
    [ -f "$stamp" ] && [ "$(sed -n 1p "$stamp")" = "$place" ] || return 1
    now=$(.venv/bin/python -c "$describe" 2>/dev/null) || return 1
    [ -z "${PYTHON:-}" ] || [ "$now" = "$("$PYTHON" -c "$describe")" ]
}

quiet=--quiet
[ ! -t 1 ] || quiet=
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
# shellcheck disable=SC2086 # $quiet is one word or none
pip_install() { .venv/bin/python -m pip install $quiet "$@"; }

# The package works without the group: what cannot be installed is done without.
add_group() {
    [ -n "$1" ] && [ ! "$stamp" -ot "$stamp-$1" ] || return 0
    pip_install --group "$1" || { say "Left out, it could not be installed: $1."; return 0; }
    touch "$stamp-$1"
}

if usable; then
    [ "$(sed -n 2p "$stamp")" != "$contents" ] || { add_group "${1:-}"; exit 0; }
    say "What is installed has changed: bringing .venv up to date ..."
    rm -f "$stamp"
else
    python=$(find_python)
    say "Making .venv with $("$python" -V) from $python; a minute or two, this once ..."
    rm -rf .venv
    "$python" -m venv .venv || die "Python's venv module failed: see above."
fi

pip_install --upgrade 'pip>=25.1' # knows dependency groups
pip_install -e '.[all]' --group dev
printf '%s\n' "$place" "$contents" >"$stamp"
add_group "${1:-}"
