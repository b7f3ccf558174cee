#!/bin/sh
# Debian and Ubuntu: see that the system packages are there which napari's window and the virtual
# environment need. What is missing is installed through apt-get as root or by passwordless sudo;
# otherwise it is listed with the command to install it. Never asks anything.
#
#   system-packages.sh [window]     window: Qt's libraries too, and a virtual screen where
#                                   there is no real one
#
# SKIP_SYSTEM_PACKAGES=1 leaves all of it out, for libraries that come from elsewhere.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

[ "$(uname -s)" = Linux ] && [ -z "${SKIP_SYSTEM_PACKAGES:-}" ] || exit 0

window="libfontconfig1 libgl1 libegl1 libglib2.0-0 libxkbcommon0 libdbus-1-3 libxkbcommon-x11-0
    libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0"

needed=
if [ "${1:-}" = window ]; then
    needed=$window
    has_screen || needed="$needed xvfb xauth"
fi

if ! have dpkg-query; then
    # another distribution: its package names differ, so only what can be seen is checked
    [ "${1:-}" != window ] || has_screen || have xvfb-run ||
        die "No screen, and no xvfb-run to make a virtual one: please install it (Xvfb, xauth)."
    exit 0
fi

# Debian keeps ensurepip, without which there is no virtual environment, in a package of its own.
if [ ! -f .venv/.ready ] || [ -n "${PYTHON:-}" ]; then
    python=$(find_python)
    case $python in
    /usr/bin/* | /bin/*)
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        "$python" -c 'import ensurepip, venv' 2>/dev/null || needed="$needed python$version-venv"
        ;;
    esac
fi

[ -n "$needed" ] || exit 0
# Newer releases call libglib2.0-0 libglib2.0-0t64; apt-get finds it by either name.
# shellcheck disable=SC2016,SC2086 # ${...} is dpkg-query's own, $needed is a list
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $needed libglib2.0-0t64 2>/dev/null |
    sed -n 's/t64$//; s/^installed //p')
missing=
for package in $needed; do
    printf '%s\n' "$installed" | grep -qxF "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif have sudo && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    say "Missing system packages:"
    for package in $missing; do say "    $package"; done
    say "Install them, then run the same command again:"
    say "    sudo apt-get update"
    say "    sudo apt-get install -y --no-install-recommends$missing"
    exit 1
fi

apt_get() {
    # shellcheck disable=SC2086 # $as_root is none or two words
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" </dev/null
}

say "Installing system packages:$missing"
# The package lists may be missing or stale; they are only fetched when it does not work without.
# shellcheck disable=SC2086 # $missing is a list
apt_get install -y --no-install-recommends $missing >/dev/null 2>&1 || {
    apt_get update || say "apt-get update failed; trying with the lists that are there."
    apt_get install -y --no-install-recommends $missing >/dev/null
}
