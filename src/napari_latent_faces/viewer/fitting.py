"""Fits, encoding and mending of the faces of a layer, and the layers that show them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_latent_faces import encoding
from napari_latent_faces.aligning import iter_align_to
from napari_latent_faces.fitting import iter_fit
from napari_latent_faces.params import NMFParams
from napari_latent_faces.steps import relayed
from napari_latent_faces.viewer import layers
from napari_latent_faces.viewer.jobs import LayerJob
from napari_latent_faces.viewer.marks import fit_mask, marks_on
from napari_latent_faces.viewer.session import add_result, find_result, session_of, show_result

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_latent_faces.fitting import FitStep
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.params import Parameters
    from napari_latent_faces.viewer.layers import LayerData

    Result = tuple[encoding.Encoding, LayerData, LayerData]

_ROLES = ("gallery", layers.PREVIEW, "components", "reconstruction", "residual")

IGNORE = "Ignore"  # the field that says which layer marks what a fit leaves out

_PAUSE = 0.1  # seconds at least between two steps that are shown
_SHOWN_SHARE = 0.15  # of the window's time that showing them may take


@dataclass(frozen=True)
class ShowOptions:
    """What to show of a fit."""

    slider: bool = False  # components on a slider of their own
    residual: bool = False
    update: bool = True  # the layers of the last fit of these faces by the same method


@dataclass(eq=False)
class ResultLayers:
    """Shows a fit of the faces of a layer while it runs and when it is done."""

    viewer: ViewerModel
    faces: Any
    options: ShowOptions
    method: type[Parameters] = NMFParams
    _preview: Any = None  # the layer in which this fit forms ...
    _live: NDArray[Any] | None = None  # ... and its picture there

    def __post_init__(self) -> None:
        self._session, self._places = session_of(self.viewer), 3 if self.options.residual else 2

    def show_step(self, components: NDArray[Any]) -> None:
        """Draw the components of a running fit, shape (k, h, w) or (k, h, w, 3)."""
        view, is_signed = self._view(), self.method.is_signed
        data = layers.live_gallery(components, view, self._places, is_signed)
        picture, live = data[0], self._live
        layer = self._preview or self._earlier().get("gallery")
        is_of_another = layer is not self._preview and layer in self._session.previews
        if layer is None or is_of_another:
            layer = add_result(self.viewer, data)
            self._session.begin_preview(layer)
        elif layer not in self.viewer.layers:
            return
        elif live is not None and layer.data is live and live.shape == picture.shape:
            live[...] = picture  # a new array would have napari look at all layers
            layer.refresh(extent=False)
            return
        else:
            self._session.begin_preview(layer)
            layer.metadata[layers.SPAN_KEY] = data[1]["metadata"][layers.SPAN_KEY]
            layer.data = picture
        self._preview, self._live = layer, picture
        self._session.results_changed(self.faces)

    def show_model(self, model: LatentFaces) -> None:
        """Put the layers of a finished fit in place of the preview."""
        view, session, own = self._view(), self._session, self._preview
        wanted = {"reconstruction": layers.reconstruction_layer(model, view)}
        if self.options.residual:
            images = layers.layer_pixels(self.faces)
            wanted["residual"] = layers.residual_layer(images, model, view)
        if self.options.slider:
            wanted["components"] = layers.components_layer(model, view)
        else:
            wanted["gallery"] = layers.gallery_layer(model, view, self._places)
        with session.undoable():
            shown = self._earlier()
            if own in self.viewer.layers and shown.setdefault("gallery", own) is not own:
                self.viewer.layers.remove(own)  # another fit was shown in a layer of its own
            session.previews.pop(own, None)
            for layer in self._results(is_own=False) if self.options.update else ():
                if layer.visible:
                    layer.metadata[layers.HIDDEN_KEY] = True
                    layer.visible = False
            for role, data in wanted.items():
                layer = show_result(self.viewer, shown.pop(role, None), data)
                if role == "residual":  # the model's limits, not the user's
                    layer.contrast_limits = data[1]["contrast_limits"]
            for layer in shown.values():  # roles that are no longer asked for
                self.viewer.layers.remove(layer)
        session.results_changed(self.faces)

    def discard(self) -> None:
        self._session.drop_preview(self._preview)

    def _results(self, *, is_own: bool) -> list[Any]:
        """Return the results of these faces that are of this method, or of others."""
        found = layers.results_of(self.viewer, self.faces, *_ROLES)
        models = [(layer, layer.metadata.get(layers.MODEL_KEY)) for layer in reversed(found)]
        method = self.method.method
        return [each for each, of in models if of and (of.params.method == method) is is_own]

    def _earlier(self) -> dict[str, Any]:
        """Return the newest results of these faces and this method, to be updated."""
        own = self._results(is_own=True) if self.options.update else []
        key, names = layers.ROLE_KEY, {layers.PREVIEW: "gallery"}
        return {names.get(each.metadata[key], each.metadata[key]): each for each in own}

    def _view(self) -> layers.FacesView:
        """Return the look of the faces; results of other methods than NMF name theirs."""
        view = layers.FacesView.of(self.faces)
        if self.method is NMFParams:
            return view
        return replace(view, name=f"{view.name}, {layers.method_words(self.method)}")


class FitSession(LayerJob):
    """Fits the faces of a layer, but for what is marked; "stop" keeps what was reached."""

    cancelled = "Cancelled; nothing was kept."
    failure = "The fit failed"
    removed = "The faces were removed, so their fit was cancelled."

    def __init__(
        self,
        viewer: ViewerModel,
        faces: Any,
        params: Parameters,
        options: ShowOptions,
        ignore: Any = None,
    ) -> None:
        stack, mask_of = layers.stack_of(faces), ignore and fit_mask(ignore, faces, IGNORE)
        # in the thread: a mask can take long to look up
        super().__init__(
            viewer, faces, lambda: iter_fit(stack, params, mask=mask_of and mask_of())
        )
        self._n_faces = len(stack)
        self.model: LatentFaces | None = None
        self._results = ResultLayers(viewer, faces, options, type(params))
        self._began, self._next_showing = time.perf_counter(), 0.0

    def words(self, step: FitStep) -> str:
        n = step.n_faces
        whose = "" if n in (None, self._n_faces) else f" of a sample of {n} faces"
        return (
            f"Iteration {step.iteration} of {step.max_iter}, relative error "
            f"{step.error:.4f}{whose}, {time.perf_counter() - self._began:.1f} s"
        )

    def take_step(self, step: FitStep) -> None:
        """Show a step, unless showing the last one has just cost the window enough."""
        began = time.perf_counter()
        if began >= self._next_showing:
            self._results.show_step(step.components)
            self.stepped.emit(step)
            now = time.perf_counter()
            self._next_showing = now + max(_PAUSE, (now - began) / _SHOWN_SHARE)

    def take_value(self, value: LatentFaces) -> str:
        self._results.show_model(value)
        self.model = value
        return _summary(value, time.perf_counter() - self._began)

    def discard(self) -> None:
        self._results.discard()


def _summary(model: LatentFaces, seconds: float) -> str:
    n_iter, how = model.provenance.n_iter, model.provenance.stop_reason
    told = f"Relative error {model.error:.4f} over all {len(model.weights)} faces"
    count, total = model.left_out
    if count:
        some = f"{count} pixels of single faces"
        what = some if model.mask is None else f"the {model.mask.sum()} pixels of each"
        told += f", without {what} that were left out ({100 * count / total:.3g} % of all)"
    if n_iter == 1 and how == "converged":  # one that needs no steps
        return f"Done in {seconds:.1f} s. {told}."
    words = {"max_iter": "Not converged", "stopped": "Stopped and kept"}.get(how, "Converged")
    return f"{words} after {n_iter} iteration{'s' * (n_iter != 1)}, {seconds:.1f} s. {told}."


class _ResultJob(LayerJob):
    """A job that brings pictures to the form of a model, and shows results beside them."""

    failure = "That failed"

    def __init__(
        self, viewer: ViewerModel, layer: Any, model: LatentFaces, shape: tuple[int, ...]
    ) -> None:
        pixels, known = layers.layer_pixels(layer), layer.metadata
        self.stack = encoding.match_stack(pixels, shape, known, rgb=layer.rgb, name=layer.name)
        self.model, self._view, self._flat = model, layers.FacesView.of(layer), layer.ndim == 2
        super().__init__(viewer, layer, self._steps)

    def _steps(self) -> Generator[tuple[int, int], None, Any]:
        raise NotImplementedError

    def show(self, *results: LayerData) -> None:
        session = session_of(self.viewer)
        with session.undoable():
            for data in results:
                role = data[1]["metadata"][layers.ROLE_KEY]
                show_result(self.viewer, find_result(self.viewer, self.layer, role), data)
        session.results_changed(self.layer)


class EncodeJob(_ResultJob):
    """Encodes pictures of any size, aligned first if asked to, and shows what comes of it."""

    def __init__(
        self, viewer: ViewerModel, layer: Any, model: LatentFaces, *, align: bool = False
    ) -> None:
        self.encoding: encoding.Encoding | None = None
        self._aligns = align and layer.metadata.get("transforms") is None
        size, frame = model.size, model.provenance.frame
        if self._aligns and frame and layers.picture_size(layer) != size:
            size = frame[2:]  # whole pictures, as those of the model were
        shape = (*size, *model.picture_shape[2:])
        if len(shape) == 3 and not layer.rgb:
            model.check_pictures(layers.picture_size(layer))  # says that colour is needed
        super().__init__(viewer, layer, model, shape)

    def _steps(self) -> Generator[tuple[int, int], None, Result]:
        model, n = self.model, len(self.stack)

        def tell(done: int) -> tuple[int, int]:
            return done, n

        if self._aligns:
            self.stack = yield from relayed(iter_align_to(model, self.stack), tell)
        found = yield from relayed(encoding.iter_encode(model, self.stack), tell)
        model = encoding.encoded_model(model, self.stack, found)
        of, images = (model, self._view), self.stack.images
        rebuilt = layers.reconstruction_layer(*of, layers.ENCODED, flat=self._flat)
        left = layers.residual_layer(images, *of, layers.ENCODED_RESIDUAL, flat=self._flat)
        return found, rebuilt, left

    def take_value(self, value: Result) -> str:
        self.encoding, *results = value
        self.show(*results)
        errors = self.encoding.errors
        told = f"Relative error {errors[0]:.4f}."
        if len(errors) > 1:
            told = f"{len(errors)} faces, mean relative error {errors.mean():.4f} "
            told += f"(from {errors.min():.4f} to {errors.max():.4f})."
        return "\n".join([told, *self.stack.report.notes])


class MendJob(_ResultJob):
    """Fills in what labels or shapes mark on all faces, or one beside those mended before."""

    def __init__(
        self, viewer: ViewerModel, layer: Any, model: LatentFaces, marks: Any, face: Any = None
    ) -> None:
        model.check_pictures((*layers.picture_size(layer), *(3,) * layer.rgb))
        super().__init__(viewer, layer, model, model.picture_shape)
        self._face, self._marks, self._marks_name = face, marks_on(marks, layer), marks.name
        earlier = None if face is None else find_result(viewer, layer, layers.MENDED)
        self._earlier = getattr(earlier, "data", None)

    def _steps(self) -> Generator[tuple[int, int], None, encoding.MendedFaces]:
        marks, face = self._marks(), self._face
        if face is not None:
            marks = marks.on(face)
        if not marks.mask.any():
            what = "these faces" if len(self.stack) > 1 else "this picture"
            raise ValueError(
                f"{self._marks_name} marks nothing of "
                f"{what if face is None else self.stack.names[face]}: paint or draw over what "
                "is to be replaced."
            )
        n = len(self.stack) if marks.faces is None else len(marks.faces)
        steps = encoding.iter_mend(self.model, self.stack, marks.mask, marks.faces)
        mended = yield from relayed(steps, lambda done: (done, n))
        is_more = isinstance(self._earlier, encoding.MendedFaces)
        return mended.over(self._earlier) if is_more else mended

    def take_value(self, value: encoding.MendedFaces) -> str:
        self.show(layers.mended_layer(value, self.stack, self._view, flat=self._flat))
        count = len(value.faces)
        what = "1 face is" if count == 1 else f"{count} faces are"
        return f"{what} mended. Ctrl+Z on the canvas takes that back."
