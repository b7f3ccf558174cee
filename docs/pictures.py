"""Make the pictures of README and docs by driving the real plugin.

Run it on a screen, or::

    xvfb-run -a -s "-screen 0 1400x900x24" python docs/pictures.py

The drawn faces are used, so that anyone may look at them.
"""

from __future__ import annotations

from pathlib import Path

from napari_latent_faces._demo import run_demo

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    run_demo(screenshot=IMAGES / "fit.png")


if __name__ == "__main__":
    main()
