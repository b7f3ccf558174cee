"""A model as a Python script that makes it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_latent_faces.masks import mask_to_text

if TYPE_CHECKING:
    from napari_latent_faces.model import LatentFaces

__all__ = ["as_python"]

_WIDTH = 90  # letters of a line
_STOPPED = """\
# The fit was stopped by hand after {n_iter} iterations: it is here, too.
steps, answer, model = iter_fit(faces, params{options}), None, None
while model is None:
    try:
        step = steps.send(answer)
    except StopIteration as end:
        model = end.value
    else:
        answer = "stop" if step.iteration >= {n_iter} else None
"""


def as_python(model: LatentFaces) -> str:
    """Return a short script with the public functions that makes a model again.

    It reads the faces with the options that they were read with, where they came from
    `read_faces`; otherwise a comment says what to put in. Run with the same versions of
    the libraries, which it names, it gives the same components, weights and error.

    Parameters
    ----------
    model : LatentFaces
        The model.

    Returns
    -------
    str
        Python code.

    Examples
    --------
    >>> from napari_latent_faces import draw_faces, fit
    >>> print(as_python(fit(draw_faces(4), n_components=3)))  # doctest: +SKIP
    """
    origin = model.provenance
    is_stopped = origin.stop_reason == "stopped"
    names = {type(model.params).__name__, "iter_fit" if is_stopped else "fit"}
    if origin.reading is not None:
        names.add("read_faces")
    imported = ", ".join(sorted(names, key=lambda name: (name.islower(), name)))
    made_by = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    parts = [
        f"# {model.params.title}, made with {made_by}",
        f"from napari_latent_faces import {imported}",
        *["from napari_latent_faces.masks import mask_from_text"] * bool(_marks(model)[0]),
        "",
        _faces(model),
        "",
        f"params = {_params(model)}",
        *_also(model),
        (
            _STOPPED.format(n_iter=origin.n_iter, options=_options(model)).rstrip()
            if is_stopped
            else f"model = fit(faces, params{_options(model)})"
        ),
        "",
        f"print(model.error)  # {model.error!r}",
        'model.save("model.npz")',
    ]
    return "\n".join(parts) + "\n"


def _faces(model: LatentFaces) -> str:
    """Return the lines that get the faces."""
    origin = model.provenance
    if origin.reading is not None:
        options = "".join(f", {name}={value!r}" for name, value in origin.reading.items())
        return f"faces = read_faces({origin.source!r}{options})"
    n, h, w = model.shape
    where = f" ({origin.source!r})" if origin.source else ""
    return "\n".join(
        [
            "# These faces were not read from a folder as they are, so put them in here:",
            f"# {n} grey pictures of {w} x {h} pixels{where}, in the order of the fit, as an",
            f"# array of type {origin.dtype} and shape {(n, h, w)}, or as a FaceStack.",
            "faces = ...",
        ]
    )


def _also(model: LatentFaces) -> list[str]:
    """Return the lines that say what else the fit was given: it cannot be spelled out."""
    n, h, w = model.shape
    k, lines = model.n_components, []
    if "start" in _options(model):
        lines = [f"# What the fit started from: weights {(n, k)} and components {(k, h, w)}"]
        lines += ["start = ..."]
    return lines + _mask(model)


def _mask(model: LatentFaces) -> list[str]:
    """Return the lines that make the mask of the fit, if it had one."""
    text, shape = _marks(model)
    if not shape:
        return []
    left_out, total = model.left_out
    told = f"# what the fit left out: {left_out} of {total} pixels"
    if not text:  # there is no end of it
        return [f"{told}, as a mask of shape {shape} that has to be put in here", "mask = ..."]
    lines = [f"    {text[i : i + _WIDTH]!r}" for i in range(0, len(text), _WIDTH)]
    return [told, "mask = mask_from_text(", *lines[:-1], f"{lines[-1]},", f"    {shape},", ")"]


def _marks(model: LatentFaces) -> tuple[str, tuple[int, ...]]:
    """Return the mask of a fit as text, and its shape; no shape if it had none."""
    origin = model.provenance
    if model.mask is not None:
        return mask_to_text(model.mask), model.mask.shape
    return origin.missing, model.shape if origin.n_missing else ()


def _options(model: LatentFaces) -> str:
    is_custom = getattr(model.params, "init", None) == "custom"
    return ", start=start" * is_custom + ", mask=mask" * bool(model.left_out[0])


def _params(model: LatentFaces) -> str:
    """Return the parameters, spelled out to the last one: defaults can change."""
    values = model.params.to_dict()
    lines = "".join(f"    {name}={value!r},\n" for name, value in values.items())
    return f"{type(model.params).__name__}(\n{lines})"
