# shellcheck shell=sh
# Shared by the scripts beside it, which the Makefile runs. Sourced, from the repository's root.

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Only Linux needs a display server that may not be there.
has_screen() {
    [ "$(uname -s)" != Linux ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]
}

# Print the path of a Python >= 3.11: $PYTHON where it is set, otherwise the first that runs.
# In an active virtual environment this is the interpreter it was made from, so that .venv can
# be made anew from within itself.
find_python() {
    probe='import sys
if sys.version_info >= (3, 11): print(getattr(sys, "_base_executable", sys.executable))'
    if [ -n "${PYTHON:-}" ]; then
        found=$("$PYTHON" -c "$probe" 2>/dev/null) || found=
        [ -n "$found" ] || die "PYTHON=$PYTHON is no Python 3.11 or later that runs."
        printf '%s\n' "$found"
        return
    fi
    for name in python3 python3.13 python3.12 python3.11 python3.14 python; do
        # a name alone proves little: version managers leave stubs for what is not active
        found=$("$name" -c "$probe" 2>/dev/null) || continue
        [ -z "$found" ] || { printf '%s\n' "$found"; return; }
    done
    die "No Python 3.11 or later was found. Install one, or name it: make PYTHON=/path/to/python"
}
