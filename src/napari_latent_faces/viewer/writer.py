"""Writer: the model behind a result layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari

    from napari_latent_faces.viewer.layers import LayerData

__all__ = ["save_model", "write_model_layers"]


def write_model_layers(
    path: str | None = None, layers: Sequence[LayerData] = ()
) -> list[str] | None:
    """Write the model that all the layers belong to; ``.npz`` is added where it is missing."""
    from napari_latent_faces.model_file import model_path
    from napari_latent_faces.viewer.captions import CAPTIONS
    from napari_latent_faces.viewer.layers import MODEL_KEY, ROLE_KEY

    if path is None:
        import napari

        save_model(napari.current_viewer())
        return None
    models = {}
    for _data, kwargs, _kind in layers:
        if kwargs.get("metadata", {}).get(ROLE_KEY) == CAPTIONS:  # when all are selected
            continue
        model = kwargs.get("metadata", {}).get(MODEL_KEY)
        if model is None:
            raise ValueError(
                f"The layer {kwargs.get('name')!r} is no result of a fit: select only latent "
                "faces, reconstruction or residual to save their model, or choose another type "
                "of file for pictures."
            )
        models[id(model)] = model
    if len(models) != 1:
        raise ValueError("The layers are results of different fits: save one fit at a time.")
    target = model_path(path)
    models.popitem()[1].save(target)
    return [str(target)]


def save_model(
    viewer: napari.components.ViewerModel | None, tell: Callable[[str], object] | None = None
) -> None:
    """Ask for a file and save the model that the viewer is about, in a thread.

    Parameters
    ----------
    viewer : napari.components.ViewerModel or None
        The viewer.
    tell : callable, optional
        Shows the user a text; by default, napari does.
    """
    from pathlib import Path

    from napari.utils.history import get_save_history, update_save_history
    from napari.utils.notifications import show_info
    from qtpy.QtWidgets import QApplication, QFileDialog

    from napari_latent_faces.model_file import ENDING, model_path
    from napari_latent_faces.viewer.jobs import Job
    from napari_latent_faces.viewer.session import session_of

    tell = tell or show_info
    focus = None if viewer is None else session_of(viewer).focus
    if focus is None or focus.model is None:
        tell("There is no model to save yet: fit one first.")
        return
    chosen, _ = QFileDialog.getSaveFileName(
        QApplication.activeWindow(),
        "Save the model",
        str(Path(get_save_history()[0], _proposed(focus))),
        f"Model of latent faces (*{ENDING} *.npz)",
    )
    if not chosen:
        return
    path = model_path(chosen)
    update_save_history(str(path))
    job = Job(focus.model.save, path)
    job.returned.connect(lambda _: tell(f"Saved {path}."))
    job.start()


def _proposed(focus: Any) -> str:
    """Return a name for the file of the model that a viewer is about."""
    from pathlib import Path

    from napari_latent_faces.model_file import ENDING

    faces, model = focus.faces, focus.model
    of = Path(faces.name if faces is not None else model.provenance.source or "faces").name
    return f"{of} {model.params.method} {model.n_components}{ENDING}"
