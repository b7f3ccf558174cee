#!/bin/sh
# Ask for known weaknesses of everything that .venv holds, with pip-audit in a virtual
# environment of its own, .venv-audit. Only the names and versions of the packages are sent.
#
#   audit.sh [ARGUMENT ...]    for pip-audit
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

place=.venv-audit
if ! "$place/bin/python" -c 'import pip_audit' 2>/dev/null; then
    say "Making $place with pip-audit ..."
    rm -rf "$place"
    "$(find_python)" -m venv "$place" || die "Python's venv module failed: see above."
    "$place/bin/python" -m pip install --quiet --disable-pip-version-check pip-audit
fi
list=$place/packages.txt
# what is installed from this folder is audited by nobody but its authors
.venv/bin/python -m pip list --format freeze --exclude-editable \
    --disable-pip-version-check >"$list"
# strict: a package that nobody knows anything of has not been audited
audit() { "$place/bin/python" -m pip_audit --strict --no-deps --disable-pip -r "$@"; }

if audit "$list" "$@"; then
    exit 0
fi
# a service that knows nothing of pip is none: a network without it may say that all is unknown
known=$place/known.txt
echo 'pip==25.1' >"$known"
audit "$known" "$@" --format json 2>/dev/null | grep -q '"name": *"pip"' ||
    die "NOTHING WAS AUDITED: the service that knows of weaknesses cannot be asked from here."
die "Packages with known weaknesses, or that could not be looked up: see above."
