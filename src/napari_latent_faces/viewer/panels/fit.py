"""The panel that fits latent faces to a stack."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox
from napari.layers import Layer
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel, QMenu, QMessageBox

from napari_latent_faces.export import as_python, iter_export
from napari_latent_faces.files import CONTENTS
from napari_latent_faces.params import METHODS
from napari_latent_faces.viewer import reader
from napari_latent_faces.viewer.fitting import IGNORE, FitSession, ShowOptions
from napari_latent_faces.viewer.jobs import Job
from napari_latent_faces.viewer.layers import model_words
from napari_latent_faces.viewer.marks import own_mask
from napari_latent_faces.viewer.panels import form
from napari_latent_faces.viewer.panels.form import button, in_a_row
from napari_latent_faces.viewer.panels.panel import Panel, mark_layers
from napari_latent_faces.viewer.window import open_dock

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget

_NEXT = {  # panels that a new user is pointed at after a fit
    "What builds this face?": "See which components make it, and which faces use them, too.",
    "Mix faces": "Move sliders to mix faces that do not exist.",
}


class _Export(Job):
    cancelled = "The export was cancelled."
    failure = "The export failed"

    def take_value(self, value: Path) -> str:
        return f"Written to {value}."


class FitWidget(Panel):
    """Fits NMF, or another method, to faces and shows components and reconstructions."""

    page = "latent-faces"
    start_words = "F&it", "Find what these faces are made of (Alt+I; Esc cancels)."
    stop_words = "Stop and &keep", "End the fit now and keep what was reached."
    cancel_tip = "End the fit and drop it (Esc)."

    def _lay_out(self) -> None:
        viewer, self.recent = self.viewer, QMenu(self)
        self.recent.aboutToShow.connect(self._list_recent)
        self.recent.triggered.connect(lambda each: reader.open_path(viewer, each.data() or ""))
        open_folder, open_model = reader.open_folder, reader.open_model
        tip = "Open a folder of faces."
        self.folder_button = button("Open folder...", tip, partial(open_folder, viewer))
        recent = button("Recent", "Open what was opened last again.")
        recent.native.setMenu(self.recent)
        tip = "Open a model that was saved earlier."
        model = button("Open model...", tip, partial(open_model, viewer))
        self.add(in_a_row(self.folder_button, recent, model))
        self._add_fields()
        self.add_controls()
        tip = "Open 400 drawn faces of people who do not exist, and fit them (Alt+S)."
        self.sample_button = button("&Show me", tip, self._fit_sample)
        self.next_buttons = {
            name: button(name, tip, partial(open_dock, viewer, name))
            for name, tip in _NEXT.items()
        }
        self.links = in_a_row(QLabel("Next:"), *self.next_buttons.values())
        self.links.hide()
        self.about = form.text()
        tip = "Write the model to one file that opens here again."
        save = partial(reader.save_model, viewer, self._tell)
        self.save_button = button("Save model...", tip, save)
        tip = "The model, pictures of the components and weights as files."
        self.export_button = button("Export...", tip, self._ask_where_to_export)
        tip = "A script that makes this result again."
        self.copy_button = button("Copy as Python", tip, self.copy)
        tip = "Show what was there before the last result; again, that result (Ctrl+Z)."
        self.undo_button = button("Undo", tip, self.session.undo)
        saving = in_a_row(self.save_button, self.export_button)
        others = in_a_row(self.copy_button, self.undo_button)
        self.add(self.sample_button, self.links, self.about, saving, others)
        self._show_method()

    def _add_fields(self) -> None:
        faces = self.choose_faces("The stack to factorize, with the axes face, y, x.")
        self.method = ComboBox(
            value=reader.default_method(),
            label="Method",
            choices=[(kind.title, name) for name, kind in METHODS.items()],
            tooltip="Only NMF finds parts that add up; others are there for comparison.",
        )
        self.summary = form.text()
        shared: dict[str, ValueWidget[Any]] = {}  # what is typed there counts for all methods
        self._inputs = {
            method: form.make_fields(kind, shared=shared) for method, kind in METHODS.items()
        }
        self._own_mask: Any = None  # that of the faces, which is chosen unless another is
        self.ignore = ComboBox(
            label=IGNORE,
            choices=lambda _box: [
                ("nothing", None),
                *((layer.name, layer) for layer in mark_layers(self.viewer)),
            ],
            tooltip="Labels or shapes over pixels that the fit shall not see: with the axes "
            "y, x in all faces alike; with face, y, x in single ones.",
        )
        tip = "One component at a time, as a stack, instead of all in one picture."
        self.slider = CheckBox(text="Components with a slider of their own", tooltip=tip)
        tip = "A layer of faces minus reconstructions: what the parts do not explain."
        self.residual = CheckBox(text="Add the residual", tooltip=tip)
        tip = "Put results into the layers of the last fit by this method, not into new ones."
        self.update_earlier = CheckBox(value=True, text="Update earlier results", tooltip=tip)
        advanced = {
            name
            for kind in METHODS.values()
            for name, field in kind.__dataclass_fields__.items()
            if field.metadata.get("advanced")
        }
        basic = [each for each in shared.values() if each.name not in advanced]
        rest = [each for each in shared.values() if each.name in advanced]
        self._of_methods = [*basic, *rest, self.ignore]
        self.add_form([faces, self.method, self.summary, *basic])
        rest += [self.ignore, self.slider, self.residual, self.update_earlier]
        self.advanced: Any = self.add_form(rest, "Advanced").parent()
        self.method.changed.connect(self._show_method)

    def _list_recent(self) -> None:
        self.recent.clear()
        for path in reader.recent_paths():
            action: Any = self.recent.addAction(path.replace("&", "&&"))
            action.setData(path)
        if not self.recent.actions():
            self.recent.addAction("nothing yet")

    @property
    def parameters(self) -> dict[str, ValueWidget[Any]]:
        """The inputs of the chosen method by the names of its parameters."""
        return self._inputs[self.method.value]

    def _show_method(self) -> None:
        """Show the fields of the chosen method only; the others keep what was typed."""
        method, shown = METHODS[self.method.value], list(self.parameters.values())
        shown += [self.ignore] * method.takes_mask
        for each in self._of_methods:
            each.native.parent().layout().setRowVisible(each.native, each in shown)
        self.summary.value = method.summary

    def _what_is_missing(self) -> str:
        missing = super()._what_is_missing()
        return f"{missing} New here? Press Show me." if missing else ""

    def synchronize(self) -> None:
        self.ignore.reset_choices()
        super().synchronize()
        faces, model = self.faces.value, self.session.model
        own = None if faces is None else own_mask(self.viewer, faces)
        if own is not self._own_mask and self.ignore.value in (None, self._own_mask):
            self.ignore.value = own
        self._own_mask = own
        self.sample_button.visible = faces is None and not self.is_working
        self.about.visible = model is not None
        self.about.value = "" if model is None else f"{model_words(model)}:"
        self.save_button.enabled = self.copy_button.enabled = model is not None
        self.export_button.enabled = model is not None and not self.is_working
        self.undo_button.enabled = self.session.can_undo

    def _can_stop(self) -> bool:
        return isinstance(self.job, FitSession) and super()._can_stop()

    def _tell(self, text: str) -> None:
        self.status.value = text

    def fit(self) -> FitSession | None:
        session: FitSession | None = self.start()
        return session

    def _make_job(self) -> FitSession:
        options = ShowOptions(self.slider.value, self.residual.value, self.update_earlier.value)
        params = form.read_fields(METHODS[self.method.value], self.parameters)
        ignore = self.ignore.value if params.takes_mask else None  # else it is hidden
        return FitSession(self.viewer, self.faces.value, params, options, ignore)

    def _show_step(self, step: Any) -> None:
        if isinstance(self.job, FitSession):
            self.show_progress(step.iteration, step.max_iter)
            sharpening = "Stopping, and sharpening what was reached to full size ..."
            self._tell(sharpening if self._is_stopping else self.job.words(step))
        else:
            self.show_progress(*step)
            self._tell(f"Writing: {step[0] / step[1]:.0%} ...")

    def _show_result(self, job: Any) -> None:
        if isinstance(job, FitSession) and job.model is not None:
            self.links.show()

    def _fit_sample(self) -> None:
        [sample] = reader.drawn_faces()
        self.faces.value = self.viewer.add_layer(Layer.create(*sample))
        self.fit()

    def copy(self) -> None:
        model, clipboard = self.session.model, QApplication.clipboard()
        if model is not None and clipboard is not None:
            clipboard.setText(as_python(model))
            self._tell("Copied: paste it into a file or a notebook.")

    def export(self, folder: Path) -> None:
        job = _Export(iter_export, self.session.model, folder, force=folder.exists())
        self.run(job, "Writing ...")

    def _ask_where_to_export(self) -> None:
        words = "Export into this folder: model, pictures and weights"
        chosen = QFileDialog.getExistingDirectory(self, words)
        question = f"{chosen} holds an earlier export. Replace it?"
        yes = QMessageBox.StandardButton.Yes
        if chosen and (
            not (Path(chosen) / CONTENTS).is_file()
            or QMessageBox.question(self, "Export", question) == yes
        ):
            self.export(Path(chosen))
