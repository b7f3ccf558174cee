"""Whether layers and panels of a viewer show what they say they show."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from napari_latent_faces.mixing import to_pixels
from napari_latent_faces.tiles import Tiles
from napari_latent_faces.viewer.canvas import Gallery
from napari_latent_faces.viewer.layers import FACES_KEY, MODEL_KEY, ROLE_KEY
from napari_latent_faces.viewer.panels.encode import EncodeWidget, MendWidget
from napari_latent_faces.viewer.panels.explain import CompareWidget, ExplainWidget
from napari_latent_faces.viewer.panels.mixer import MixerWidget
from napari_latent_faces.viewer.panels.pictures import BREAK
from napari_latent_faces.viewer.session import current_caption, session_of
from napari_latent_faces.viewer.window import text_overlay

_LINES = 3  # at a tile's edge: two around the chosen one, and the frame
_CLOSE = 1e-3


def lies(viewer):
    """Return a sentence for each result layer that does not show its model."""
    layers = [each for each in viewer.layers if MODEL_KEY in each.metadata]
    return [words for layer in layers if (words := _lie(viewer, layer))]


def _lie(viewer, layer):
    model, role = layer.metadata[MODEL_KEY], layer.metadata[ROLE_KEY]
    i = len(model.weights) // 2
    if role == "gallery":
        return _gallery_lie(layer, model)
    if role == "components":
        return _unlike(layer, layer.data[:, i], model.components)  # for all faces alike
    if role in ("reconstruction", "encoded") and layer.ndim == 3:
        return _unlike(layer, layer.data[i], model.reconstruct(i))
    if role == "residual":
        faces = [x for x in viewer.layers if str(x.unique_id) == layer.metadata[FACES_KEY]]
        wanted = [np.asarray(x.data[i], float) - model.reconstruct(i) for x in faces]
        return next((w for x in wanted if (w := _unlike(layer, layer.data[i], x))), None)
    return None


def _gallery_lie(layer, model):
    tiles = Tiles.found_in(layer.data.shape, model.components.shape)
    if tiles is None:
        return f"{layer.name}: no gallery of its model, but of shape {layer.data.shape}"
    rim = _LINES * tiles.gap
    if min(tiles.height, tiles.width) <= 2 * rim:
        return None
    inside = slice(rim, -rim)
    for i, component in enumerate(model.components[:, inside, inside]):
        shown = np.asarray(layer.data[tiles.box(i)][inside, inside], float)
        level = (shown * component).sum() / max(1e-12, float((component**2).sum()))
        # dimmed by what the face has of it, or not
        if np.abs(shown - level * component).max() > _CLOSE:
            return f"{layer.name}: tile {i} is not component {i}"
    return None


def _unlike(layer, shown, wanted):
    shown, wanted = np.asarray(shown, float), np.asarray(wanted, float)
    if shown.shape != wanted.shape:
        return f"{layer.name}: shape {shown.shape}, not {wanted.shape}"
    if np.abs(shown - wanted).max() > _CLOSE * max(1, np.abs(wanted).max()):
        return f"{layer.name}: not what its model says"
    return None


def panel_lies(viewer):
    """Return a sentence for each thing that does not follow the viewer.

    Panels answer within a moment: ask when nothing has been done, and nothing worked, for
    one.
    """
    focus = session_of(viewer)
    told = [*_focus_lies(focus), *_tile_lies(viewer, focus)]
    if text_overlay(viewer).text != (current_caption(viewer) or ""):
        told.append(f"caption: {text_overlay(viewer).text!r}")
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, ExplainWidget):
            told += _explain_lies(widget, focus)
        elif isinstance(widget, MixerWidget):
            told += _mixer_lies(widget, focus)
        elif isinstance(widget, CompareWidget):
            for side in (widget.left, widget.right):
                told += _choice_lies(side, viewer)
        elif isinstance(widget, (EncodeWidget, MendWidget)) and not widget.is_working:
            told += _choice_lies(widget.model_choice, viewer)
    return told


def _focus_lies(focus):
    shown = focus._result()
    model = None if shown is None else shown.metadata[MODEL_KEY]
    if focus.model is not model:
        yield f"focus: {focus.model}, not {model}"
    elif focus.face != focus._face_now():
        yield f"focus: face {focus.face}, not {focus._face_now()}"


def _tile_lies(viewer, focus):
    """Compare galleries with ones that are painted anew."""
    for layer in viewer.layers:
        if layer.metadata.get(ROLE_KEY) != "gallery":
            continue
        model = layer.metadata[MODEL_KEY]
        mode, weights, chosen = "off", None, None
        if model is focus.model:
            mode, chosen = focus.mode, focus.component
            weights = None if focus.face is None else model.weights[focus.face]
        copy = SimpleNamespace(data=layer.data.copy(), refresh=lambda **_: None)
        Gallery.of(copy.data, model).paint(copy, mode, weights, chosen)
        if not np.allclose(copy.data, layer.data, atol=_CLOSE, equal_nan=True):
            yield f"{layer.name}: tiles that do not follow the face"


def _explain_lies(panel, focus):
    page = not panel.face_page.isHidden()
    if page != (focus.model is not None and focus.face is not None):
        yield f"explain: page {page} for {focus.model}, face {focus.face}"
    elif page:
        known = panel._known
        if known is None or known.model is not focus.model:
            yield "explain: of another model"
            return
        wanted = known.lines(focus.face)
        words = panel.portrait.words.text().replace(BREAK, "")
        if not all(line in words for line in wanted):
            yield f"explain: {words!r}, not {wanted}"
        _, parts, _ = known.parts(focus.face, (0, 1))
        if [each.key for each in panel.parts.items] != [each.key for each in parts]:
            yield "explain: parts of another face"


def _mixer_lies(panel, focus):
    mix = panel.mix
    if panel.model is not focus.model:
        yield f"mixer: {panel.model}, not {focus.model}"
    elif mix is not None:
        mixed = panel.layers.find(mix.model, "mixed")
        if mixed is not None:
            wanted = to_pixels(mix.pixels, mix.model.provenance.dtype)
            yield from filter(None, [_unlike(mixed, mixed.data, wanted)])
        for row in panel.weights.rows:
            field = row.field
            wanted = mix.weights[row.component] / row._unit
            wanted = np.clip(wanted, field.minimum(), field.maximum())
            if abs(field.value() - wanted) > 10.0 ** -field.decimals():
                yield f"mixer: {field.value()} of component {row.component}, not {wanted}"


def _choice_lies(choice, viewer):
    shown = [x.metadata[MODEL_KEY] for x in viewer.layers if MODEL_KEY in x.metadata]
    shown, offered = [*shown, *choice._opened.values()], choice.combo.choices
    if {id(each.components) for each in shown} != {id(each.components) for each in offered}:
        yield f"models: {len(offered)} are offered, other ones than the layers have"
    if choice.combo.native.count() != len(offered):
        yield "models: names without models"
