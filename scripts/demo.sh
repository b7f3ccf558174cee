#!/bin/sh
# Show the plugin at work: in a window, or without a screen in a picture, demo.png.
#
#   demo.sh [FOLDER]     a folder of faces; the bundled ones if none is given
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

if has_screen; then
    exec .venv/bin/python -m napari_latent_faces demo "$@"
fi
rm -f demo.png
say "No screen: showing the window on a virtual one ..."
sh scripts/with-screen.sh .venv/bin/python -m napari_latent_faces demo "$@" --screenshot demo.png
[ -s demo.png ] || die "The demo ended without a picture."
printf 'The window was saved as %s\n' "$PWD/demo.png"
