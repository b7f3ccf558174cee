"""Make the pictures of README and docs by driving the real plugin.

Run it on a screen, or::

    xvfb-run -a -s "-screen 0 1400x900x24" python docs/pictures.py

Those that are out of date are made: the file ``images/SOURCES.json`` says of each which state
of the code it shows. ``--all`` makes all, names only those. The drawn faces are used, so
that anyone may look at them.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["NAPARI_CONFIG"] = ""  # as on the first day, whatever the user has set
os.environ.setdefault("QT_SCALE_FACTOR", "1")

import scenes
import studio

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "src" / "napari_latent_faces"
IMAGES = DOCS / "images"
RECORD = IMAGES / "SOURCES.json"

_FACES = ("synthetic.py", "drawing/*.py")
_RESULTS = (
    "layers.py",
    "views.py",
    "colours.py",
    "tiles.py",
    "_results.py",
    "_beside.py",
    "_gallery.py",
    "_labels.py",
)
_SOLVER = (  # that what parts look like depends on
    "nmf/hals.py",
    "nmf/kernel.py",
    "nmf/levels.py",
    "nmf/multilevel.py",
    "nmf/pyramid.py",
    "nmf/start.py",
    "nmf/sweeps.py",
)
_FITTED = (*_FACES, *_SOLVER, *_RESULTS)
_FIT = (
    *_FITTED,
    "_widgets/fit.py",
    "_widgets/form.py",
    "_widgets/actions.py",
    "parameters.py",
    "nmf/params.py",
    "methods/params.py",
)
_MIXER = (
    "_mixing.py",
    "_mixed_layers.py",
    "_widgets/mixer*.py",
    "_widgets/weight_*.py",
)
_EXPLAIN = ("explain.py", "_widgets/explain*.py", "_widgets/strip.py", "_widgets/portrait.py")
_MEND = ("_marks.py", "_mend.py", "_widgets/mend.py", "_widgets/job_panel.py")
_CHOOSE = (
    "choosing/words.py",
    "choosing/choice.py",
    "_widgets/choose_k.py",
    "_widgets/curve*.py",
)
_COMPARE = (
    "compare.py",
    "_widgets/compare.py",
    "_widgets/pairs_table.py",
    "_widgets/pictures.py",
)

ANIMATION_WIDTH, ANIMATION_BYTES = 960, 2_000_000


@dataclass(frozen=True)
class Picture:
    """One picture of the docs.

    Parameters
    ----------
    scene : callable
        Makes it: a picture, or frames with their milliseconds.
    shows : tuple of str
        The modules of the package that it shows, as patterns.
    """

    scene: Callable[[], Any]
    shows: tuple[str, ...]

    @property
    def state(self) -> str:
        """Hash of what the picture shows and how it is taken; comments do not count."""
        code = [inspect.getsource(self.scene), inspect.getsource(studio)]
        for pattern in self.shows:
            files = sorted(PACKAGE.glob(pattern))
            if not files:
                raise FileNotFoundError(f"No module {pattern}: correct docs/pictures.py.")
            code += [file.read_text("utf-8") for file in files]
        lines = (line.strip() for text in code for line in text.splitlines())
        kept = "\n".join(line for line in lines if line and not line.startswith("#"))
        return hashlib.sha256(kept.encode()).hexdigest()[:16]

    def make(self, path: Path) -> None:
        """Take the picture."""
        taken = self.scene()
        if path.suffix == ".webp":
            studio.save_animation(taken, path, ANIMATION_WIDTH, ANIMATION_BYTES)
        else:
            studio.save_picture(taken, path)


PICTURES = {
    "latent-faces.webp": Picture(scenes.forming_and_mixing, (*_FIT, *_MIXER)),
    "fit.png": Picture(scenes.fit, _FIT),
    "explain.png": Picture(scenes.explain, (*_FITTED, *_EXPLAIN)),
    "mixer.png": Picture(scenes.mixer, (*_FITTED, *_MIXER)),
    "mend.png": Picture(scenes.mend, (*_FACES, *_SOLVER, *_MEND)),
    "choose-k.png": Picture(scenes.choose_k, (*_FITTED, *_CHOOSE)),
    "compare.png": Picture(scenes.compare, (*_FITTED, *_COMPARE)),
}


def recorded() -> dict[str, str]:
    """Return the states that the pictures were made from."""
    if not RECORD.exists():
        return {}
    record: dict[str, str] = json.loads(RECORD.read_text("utf-8"))
    return record


def out_of_date() -> list[str]:
    """Return the names of pictures that are missing, or do not show the code as it is."""
    record = recorded()
    return [
        name
        for name, picture in PICTURES.items()
        if not (IMAGES / name).exists() or record.get(name) != picture.state
    ]


def main(arguments: list[str]) -> None:
    """Make pictures."""
    IMAGES.mkdir(exist_ok=True)
    names = list(PICTURES) if "--all" in arguments else arguments or out_of_date()
    for name in names:
        print(f"making {name}", flush=True)
        picture = PICTURES[name]
        picture.make(IMAGES / name)
        record = {**recorded(), name: picture.state}
        kept = {each: record[each] for each in PICTURES if each in record}
        RECORD.write_text(json.dumps(kept, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
