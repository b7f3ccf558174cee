#!/bin/sh
# Run the tests with the oldest releases that pyproject.toml allows of what it names, in a
# virtual environment of its own, .venv-lowest.
#
#   lowest.sh [ARGUMENT ...]    for pytest
#
# Made anew when pyproject.toml or what is compiled changes. What those releases need in turn is as new as they
# allow, so that a failure is the fault of a bound of ours.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

place=.venv-lowest
stamp=$place/.ready
contents=$(cat pyproject.toml setup.py src/napari_latent_faces/solvers/_kernel.[ch] | cksum)
if [ "$(cat "$stamp" 2>/dev/null)" != "$contents" ]; then
    say "Making $place with the lowest versions; a minute or two ..."
    rm -rf "$place"
    "$(find_python)" -m venv "$place" || die "Python's venv module failed: see above."
    export PIP_DISABLE_PIP_VERSION_CHECK=1 UV_PYTHON="$PWD/$place/bin/python"
    # pip cannot ask for the oldest of what is named
    "$place/bin/python" -m pip install --quiet uv
    "$place/bin/python" -m uv pip install --quiet --resolution lowest-direct \
        -e '.[all]' --group test
    printf '%s' "$contents" >"$stamp"
fi
exec "$place/bin/python" -m pytest "$@"
