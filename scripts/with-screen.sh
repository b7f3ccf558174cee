#!/bin/sh
# Run a command as it is where there is a screen, otherwise on a virtual one.
#
#   with-screen.sh COMMAND [ARGUMENT ...]
set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

if has_screen; then
    exec "$@"
fi
# Qt's offscreen platform draws no OpenGL: on a virtual screen it must be X11.
export QT_QPA_PLATFORM=xcb
exec xvfb-run -a -s "-screen 0 1400x900x24" "$@"
