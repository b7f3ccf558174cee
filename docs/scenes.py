"""What each picture of the docs shows: the plugin at work on the drawn faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from studio import Studio

if TYPE_CHECKING:
    from PIL import Image

    from napari_latent_faces.stack import FaceStack

__all__ = [
    "align",
    "align_panel",
    "choose_k",
    "colour",
    "compare",
    "explain",
    "face_map",
    "fit",
    "forming_and_mixing",
    "mend",
    "mixer",
    "parts",
]

_FACE, _OTHER = 203, 87  # which are rebuilt as well as most
_STRANGER = 384  # of the last two people, whom the model of `mend` has not seen
_FORMING = 14  # frames of a fit
_EYES = (slice(40, 60), slice(14, 78))  # of a drawn face of 112 x 92 pixels


def _moved_faces() -> FaceStack:
    """Return the drawn faces, shifted, turned and scaled at random."""
    from PIL import Image

    from napari_latent_faces.samples import sample_faces

    rng = np.random.default_rng(0)
    drawn, faces = sample_faces(), []
    for picture in drawn.images:
        scale, turn = rng.normal(1, 0.06), rng.normal(0, 0.1)
        c, s = scale * np.cos(turn), scale * np.sin(turn)
        y, x = np.array([55.5, 45.5]) + rng.normal(0, 3, 2)
        place = (c, -s, x - c * 45.5 + s * 55.5, s, c, y - s * 45.5 - c * 55.5)
        image = Image.fromarray(picture)
        moved = image.transform(
            image.size, Image.Transform.AFFINE, place, Image.Resampling.BICUBIC
        )
        faces.append(np.asarray(moved))
    return replace(drawn, images=np.stack(faces))


def align() -> Image.Image:
    """Return faces that were moved at random, and aligned, each above mean and components."""
    from PIL import Image

    from napari_latent_faces.aligning import align_faces
    from napari_latent_faces.fitting import fit as fit_faces

    before = _moved_faces()
    after = align_faces(before, size=(92, 76)).images
    rows = []
    for images in (before.images[:, 10:102, 8:84], after):
        model = fit_faces(images, n_components=20)
        rows += [
            np.hstack(images[3:400:50]),
            np.hstack([images.mean(0), *(model.components[:7] * 255)]),
        ]
    sheet = np.vstack([np.pad(row, ((0, 6), (0, 0)), constant_values=255) for row in rows])
    return Image.fromarray(np.rint(sheet[:-6]).astype("u1")).convert("RGB")


def parts() -> Image.Image:
    """Return components of the drawn faces, a row each for four values of sparseness."""
    from PIL import Image

    from napari_latent_faces.fitting import fit as fit_faces
    from napari_latent_faces.samples import sample_faces
    from napari_latent_faces.tiles import montage

    rows = [
        fit_faces(sample_faces(), n_components=16, sparseness=sparseness).components[:10]
        for sparseness in (0, 0.5, 0.6, 0.7)
    ]
    sheet = montage(np.concatenate(rows), 10, fill=1)
    return Image.fromarray(np.rint(sheet * 255).astype("u1")).convert("RGB")


def align_panel() -> Image.Image:
    """Return the window with faces that were moved at random, and the same aligned."""
    with Studio(_moved_faces()) as studio:
        panel = studio.open("Align faces")
        panel.crop.value = "92, 76"
        studio.look_at(_FACE)
        panel.start()
        studio.until(lambda: not panel.is_working)
        return studio.take()


def fit() -> Image.Image:
    """Return the window after a fit."""
    with Studio() as studio:
        studio.fit()
        studio.look_at(_FACE)
        return studio.take()


def colour() -> Image.Image:
    """Return the window after a fit of the drawn faces in colour."""
    from napari_latent_faces.samples import sample_faces

    with Studio(sample_faces(colour=True)) as studio:
        studio.fit()
        studio.look_at(_FACE)
        return studio.take()


def explain() -> Image.Image:
    """Return the panel of what builds a face, with a component chosen."""
    from napari_latent_faces.viewer.session import session_of

    with Studio() as studio:
        model = studio.fit()
        studio.look_at(_FACE)
        panel = studio.open("What builds this face?")
        studio.until(lambda: not panel.face_page.isHidden())
        session_of(studio.viewer).select_component(int(model.weights[_FACE].argmax()))
        return studio.take()


def face_map() -> Image.Image:
    """Return the map of all faces, coloured by subject, and what builds the current one."""
    with Studio() as studio:
        studio.fit(n_components=40)
        studio.look_at(_FACE)
        panel = studio.open("Map of faces")
        panel.method.value = "tsne"
        studio.until(lambda: panel.found is not None and panel.found.method == "tsne")
        studio.until(lambda: all(each is not None for each in panel.plane.pictures))
        return studio.take()


def mixer() -> Image.Image:
    """Return the mixer with a face whose first weights were changed."""
    with Studio() as studio:
        studio.fit()
        studio.look_at(_FACE)
        panel = studio.open("Mix faces")
        studio.until(lambda: panel.nearest.pictures.items)
        for row, share in zip(panel.weights.rows[:3], (0.1, 0.9, 0.6), strict=True):
            for _ in _dragging(studio, row.slider, share):
                pass
        studio.wait(1000)  # the nearest face is looked for when sliders rest
        return studio.take()


def mend() -> Image.Image:
    """Return a face that the model has not seen, a bar painted over its eyes, and it mended."""
    from napari_latent_faces.fitting import fit as fit_faces
    from napari_latent_faces.samples import sample_faces

    faces = sample_faces()
    with Studio() as studio, TemporaryDirectory() as folder:
        path = Path(folder) / "first 380.npz"
        fit_faces(faces[:380], n_components=40).save(path)
        panel = studio.open("Mend faces")
        panel.model_choice.open_file(str(path))
        studio.until(lambda: not panel.is_working)
        panel.new_button.changed.emit(True)
        mask = panel.marks.value
        mask.data[_EYES] = 1
        mask.refresh()
        studio.look_at(_STRANGER)
        panel.start()
        studio.until(lambda: not panel.is_working)
        studio.viewer.layers.selection.active = studio.faces  # no brush in the picture
        studio.viewer.reset_view(margin=0.1)
        return studio.take()


def choose_k() -> Image.Image:
    """Return the curves of some numbers of components, the suggested one chosen."""
    from napari_latent_faces.samples import sample_faces

    with Studio(sample_faces(30, 6, shape=(56, 46))) as studio:
        panel = studio.open("Choose k")
        panel.ks.value = "4,8,12,16,24,32,40,48,60"
        panel.start()
        studio.until(lambda: panel.choice is not None and not panel.is_working)
        panel.show_model(panel.choice.suggested)
        panel._read_out(panel.choice.suggested)
        studio.viewer.reset_view(margin=0.13)
        return studio.take()


def compare() -> Image.Image:
    """Return components of NMF beside eigenfaces, the most similar first."""
    with Studio() as studio:
        widget = studio.open("Latent faces")
        studio.fit(widget)
        widget.method.value = "pca"
        studio.fit(widget)
        studio.look_at(_FACE)
        studio.open("Compare models")
        return studio.take()


def forming_and_mixing() -> list[tuple[Image.Image, int]]:
    """Return frames, and their milliseconds, of a fit and of the mixer.

    The fit starts from random pixels, so that there is something to form.
    """
    from napari_latent_faces.samples import sample_faces

    with Studio(sample_faces(shape=(224, 184))) as studio:
        studio.hide_layer_panels()
        studio.look_at(_FACE)
        frames = [(studio.take(), 800)]
        widget = studio.open("Latent faces")
        # the layers are there already, from random pixels: steps follow each other faster
        studio.fit(widget, init="random", max_iter=1)
        frames += [(studio.take(), 800)]
        frames += [(each, 200) for each in _fitting(studio, widget)]
        frames += [(studio.take(), 1200)]
        for face in (_OTHER, _FACE):
            studio.look_at(face)
            frames += [(studio.take(), 900)]
        frames += _mixing(studio)
    return frames


def _fitting(studio: Studio, widget: Any) -> list[Image.Image]:
    """Return what is seen while a fit runs, in slow motion: it is over within a second."""
    from unittest.mock import patch

    from napari_latent_faces.viewer import fitting as _session

    frames: list[Image.Image] = []
    widget.parameters["max_iter"].value = 200
    with patch.multiple(_session, _PAUSE=0, _SHOWN_SHARE=np.inf):  # every step
        session = widget.fit()
        session.stepped.connect(lambda _: frames.append(studio.snap()))
        studio.until(lambda: session.is_over)
    studio.look_at(_FACE)
    seen = {round(step) for step in np.geomspace(1, len(frames), _FORMING)}
    return [frames[step - 1] for step in sorted(seen)]


def _mixing(studio: Studio) -> list[tuple[Image.Image, int]]:
    """Return what is seen while weights are dragged, and random faces are asked for."""
    panel = studio.open("Mix faces")
    studio.until(lambda: panel.nearest.pictures.items)
    frames = [(studio.take(), 900)]
    for row, share in ((1, 0.8), (2, 0.6), (3, 0.9), (0, 0.4)):
        for _ in _dragging(studio, panel.weights.rows[row].slider, share):
            frames += [(studio.snap(), 150)]
        frames[-1] = (frames[-1][0], 600)
    panel.sections[0].unfold()
    for _ in range(3):
        panel.random_button.native.click()
        studio.until(lambda: not panel.is_working)
        frames += [(studio.take(), 800)]
    return frames


def _dragging(studio: Studio, slider: Any, share: float) -> Any:
    """Drag a slider's handle to a share of its length with the mouse, in steps."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    def place(part: float) -> QPoint:
        return QPoint(round(8 + (slider.width() - 16) * part), slider.height() // 2)

    start = slider.value() / slider.maximum()
    QTest.mousePress(slider, Qt.MouseButton.LeftButton, pos=place(start))
    for part in np.linspace(start, share, 5)[1:]:
        QTest.mouseMove(slider, place(part))
        studio.wait(30)
        yield
    QTest.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=place(share))
