"""Writer: the model behind a result layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_latent_faces.viewer.layers import LayerData

__all__ = ["write_model_layers"]


def write_model_layers(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Write the model that the layers belong to.

    Parameters
    ----------
    path : str
        The file; ``.npz`` is added where it is missing.
    layers : sequence of layer data
        Result layers of one fit.

    Returns
    -------
    list of str
        The file that was written.

    Raises
    ------
    ValueError
        If a layer is not a result, or the layers are results of different fits.
    """
    from napari_latent_faces.viewer.layers import MODEL_KEY

    models = {}
    for _data, kwargs, _kind in layers:
        model = kwargs.get("metadata", {}).get(MODEL_KEY)
        if model is None:
            raise ValueError(
                f"The layer {kwargs.get('name')!r} is no result of a fit: select only latent "
                "faces, reconstruction or residual to save their model."
            )
        models[id(model)] = model
    if len(models) != 1:
        raise ValueError("The layers are results of different fits: save one fit at a time.")
    target = path if path.lower().endswith(".npz") else f"{path}.npz"
    models.popitem()[1].save(target)
    return [target]
