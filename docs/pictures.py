"""Make the pictures of README and docs by driving the real plugin.

Run it on a screen, or::

    xvfb-run -a -s "-screen 0 1400x900x24" python docs/pictures.py [NAME ...]

makes all pictures, or those that are named. The sample faces are used, so that anyone may
look at them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # as on the first day, whatever the user has set
os.environ.setdefault("QT_SCALE_FACTOR", "1")

import scenes
import studio

IMAGES = Path(__file__).parent / "images"

ANIMATION_WIDTH, ANIMATION_BYTES = 880, 900_000

SCENES = {
    "latent-faces.webp": scenes.forming_and_mixing,
    "align.png": scenes.align,
    "align-panel.png": scenes.align_panel,
    "fit.png": scenes.fit,
    "parts.png": scenes.parts,
    "explain.png": scenes.explain,
    "map.png": scenes.face_map,
    "mixer.png": scenes.mixer,
    "mend.png": scenes.mend,
    "choose-k.png": scenes.choose_k,
    "compare.png": scenes.compare,
    "colour.png": scenes.colour,
}


def main(names: list[str]) -> None:
    """Make pictures."""
    IMAGES.mkdir(exist_ok=True)
    for name in names or SCENES:
        print(f"making {name}", flush=True)
        taken = SCENES[name]()
        if name.endswith(".webp"):
            studio.save_animation(taken, IMAGES / name, ANIMATION_WIDTH, ANIMATION_BYTES)
        else:
            studio.save_picture(taken, IMAGES / name)


if __name__ == "__main__":
    main(sys.argv[1:])
