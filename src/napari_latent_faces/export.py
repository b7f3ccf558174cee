"""Pictures, tables, folders, and a model as a Python script."""

from __future__ import annotations

import csv
import io
import math
import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.encoding import LazyReconstruction, encoded_model
from napari_latent_faces.files import replacing, writing_folder
from napari_latent_faces.masks import mask_to_text
from napari_latent_faces.reading.beside import TRANSFORM_HEADS, TRANSFORMS
from napari_latent_faces.samples import sample_call
from napari_latent_faces.solvers.factors import unit_maximum
from napari_latent_faces.stack import as_pixels, in_pixels
from napari_latent_faces.steps import consume
from napari_latent_faces.tiles import montage

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.encoding import Encoding, MendedFaces
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack

    Count = tuple[int, int]  # how many pictures are written, of how many

# kinds of results; see `napari_latent_faces.files.writing_folder`
FIT, ALIGNMENT, ENCODING, MENDING = "a fit", "an alignment", "an encoding", "a mending"
GENERATED = "generated faces"

# what makes a spreadsheet calculate a cell, full-width signs included
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def numbers(k: int) -> list[str]:
    """Return 0 to k - 1 as text of one length, two digits at least."""
    return [str(i).zfill(max(2, len(str(k - 1)))) for i in range(k)]


def component_heads(k: int) -> list[str]:
    """Return what the columns of `k` weights are called."""
    return [f"component_{number}" for number in numbers(k)]


def save_table(
    path: str | PathLike[str],
    heads: Sequence[str],
    rows: Iterable[Iterable[Any]],
    texts: Mapping[str, Sequence[str] | None] | None = None,
) -> None:
    """Write a CSV file of columns of texts and of rows of numbers, whole or not at all."""
    known = {head: column for head, column in (texts or {}).items() if column is not None}
    # a byte order mark tells Excel of UTF-8
    encoding = "utf-8" if all(map(str.isascii, chain(*known.values()))) else "utf-8-sig"
    with replacing(path) as file:
        # a name that is no text (undecodable bytes) must not make the whole table unreadable
        text = io.TextIOWrapper(file, encoding, errors="backslashreplace", newline="")
        # all text is quoted: a carriage return alone would not be, and end the line
        table = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        table.writerow([*known, *heads])
        try:
            for *cells, row in zip(*known.values(), rows, strict=True):
                table.writerow([*("'" * x.startswith(_FORMULA) + x for x in cells), *row])
        finally:
            text.detach()


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
    `read_faces`, or the sample that they are; otherwise a comment says what to put in. Run
    with the same versions of the libraries, which it names, it gives the same model.
    """
    origin, params = model.provenance, model.params
    kind = type(params).__name__
    is_stopped = origin.stop_reason == "stopped"
    faces, mask = _faces(model), _mask(model)
    reads = origin.reading is not None
    homes = {"": f"{kind}, {'iter_' * is_stopped}fit{', read_faces' * reads}"}
    homes |= {".masks": "mask_from_text"} if "mask_from_text" in mask else {}
    if sample := re.match(r"faces = (?!read_faces\b)(\w+)\(", faces):
        homes[".samples"] = sample[1]
    made_by = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    imports = (f"from napari_latent_faces{at} import {what}" for at, what in homes.items())
    head = "\n".join([f"# {params.title}, made with {made_by}", *imports])
    # spelled out to the last one: defaults can change
    settings = "\n".join(f"    {name}={value!r}," for name, value in params.to_dict().items())
    is_custom = getattr(params, "init", None) == "custom"
    shapes = f"weights {model.weights.shape} and components {model.components.shape}"
    start = f"# What the fit started from: {shapes}\nstart = ...\n" * is_custom
    options = ", start=start" * is_custom + ", mask=mask" * bool(mask)
    fit = _STOPPED if is_stopped else "model = fit(faces, params{options})\n"
    return f"""\
{head}

{faces}

params = {kind}(
{settings}
)
{start}{mask}{fit.format(n_iter=origin.n_iter, options=options)}
print(model.error)  # {model.error!r}
model.save("model.npz")
"""


def _faces(model: LatentFaces) -> str:
    origin = model.provenance
    if origin.reading is not None:
        options = "".join(f", {name}={value!r}" for name, value in origin.reading.items())
        return f"faces = read_faces({origin.source!r}{options})"
    sample = sample_call(origin.source, origin.names, model.shape)
    if sample and not (origin.encoded_from or origin.frame):
        return f"faces = {sample}"
    pictures = f"{len(model.weights)} pictures of {in_pixels(model.picture_shape)}"
    where = f" ({origin.source!r})" if origin.source else ""
    done = "aligned (align_faces)" if origin.frame else "not read from a folder as they are"
    return f"""\
# These faces were {done}, so put them in here:
# {pictures}{where}, in the order of the fit, as an
# array of type {origin.dtype} and shape {model.shape}, or as a FaceStack.
faces = ..."""


def _mask(model: LatentFaces) -> str:
    left_out, total = model.left_out
    if not left_out:
        return ""
    if model.mask is not None:
        text, shape = mask_to_text(model.mask), model.mask.shape
    else:
        text, shape = model.provenance.missing, model.shape[:3]
    told = f"# what the fit left out: {left_out} of {total} pixels"
    if not text:  # there is no end of it
        return f"{told}, as a mask of shape {shape} that has to be put in here\nmask = ...\n"
    lines = "\n    ".join(repr(text[i : i + _WIDTH]) for i in range(0, len(text), _WIDTH))
    return f"{told}\nmask = mask_from_text(\n    {lines},\n    {shape},\n)\n"


def export_model(
    model: LatentFaces, folder: str | PathLike[str], *, force: bool = False
) -> Path:
    """Write a model as files that any program reads, and return the folder.

    ==================  ==========================================================
    ``model.npz``       the model, for `LatentFaces.load`
    ``components/``     one 8-bit picture a component, ``00.png`` on, 255 at
                        its brightest; where components are signed, 0 is grey (128)
    ``components.png``  all of them in one picture
    ``mean.png``        the mean face, of methods that have one
    ``weights.csv``     a line a face: name, subject if it is known, and the
                        weights, in UTF-8 (what cannot be encoded is escaped)
    ==================  ==========================================================

    The folder is made when all is written; the one that it lies in must be there. With
    `force`, an earlier export is replaced, and nothing else: `FileExistsError`.
    """
    return consume(iter_export(model, folder, force=force))


def iter_export(
    model: LatentFaces, folder: str | PathLike[str], *, force: bool = False
) -> Generator[Count, None, Path]:
    """Do what `export_model` does in steps: how many pictures of how many are written.

    Close the generator to end the export: `folder` is then as it was.
    """
    from PIL import Image

    origin, k = model.provenance, model.n_components
    with writing_folder(Path(folder), FIT, force=force) as new:
        model.save(new / "model.npz")
        pictures = unit_maximum(model.components)
        if model.is_signed:
            pictures = (pictures + 1 + 1 / 255) / 2  # 0 becomes 128, 1 is 255, -1 at least 1
        pictures = _as_8_bit(pictures)
        yield 0, k
        yield from write_pictures(pictures, pictures.dtype, new / "components")
        sheet = montage(pictures, math.ceil(math.sqrt(k)))
        Image.fromarray(sheet).save(new / "components.png")
        if model.mean is not None:
            Image.fromarray(_as_8_bit(model.mean)).save(new / "mean.png")
        names = origin.names or [f"face {i}" for i in range(len(model.weights))]
        texts = {"name": names, "subject": origin.subjects}
        save_table(new / "weights.csv", *_weights(model), texts)
        yield k, k  # the last time that it can be ended
    return Path(folder)


def _weights(model: LatentFaces) -> tuple[list[str], Iterator[list[float]]]:
    # as Python's floats: their digits give the same number back in any program
    return component_heads(model.n_components), (row.tolist() for row in model.weights)


def _as_8_bit(pictures: NDArray[Any]) -> NDArray[np.uint8]:
    return as_pixels(pictures * 255, np.dtype(np.uint8))


# Other results as folders of plain files, in steps as `iter_export`; `force` replaces earlier
# ones.


def iter_export_encoded(
    model: LatentFaces, stack: FaceStack, encoding: Encoding, folder: Path, *, force: bool
) -> Generator[Count]:
    """Write errors, weights and reconstructions of faces, and the model with these weights."""
    other = encoded_model(model, stack, encoding)
    with writing_folder(folder, ENCODING, force=force) as new:
        rebuilt, place = LazyReconstruction(other), new / "reconstructions"
        pictures = yield from write_pictures(rebuilt, stack.dtype, place)
        errors = zip(encoding.errors.tolist(), pictures, strict=True)
        _write_table(new / "errors.csv", stack, ("error", "picture"), errors)
        _write_table(new / "weights.csv", stack, *_weights(other))
        other.save(new / "model.npz")


def iter_export_mended(
    mended: MendedFaces, stack: FaceStack, errors: Any, folder: Path, *, force: bool
) -> Generator[Count]:
    """Write mended faces, and their errors over the pixels that were not replaced."""
    with writing_folder(folder, MENDING, force=force) as new:
        pictures = yield from write_pictures(mended, stack.dtype, new / "mended")
        rows = zip(np.asarray(errors).tolist(), pictures, strict=True)
        _write_table(new / "mended.csv", stack, ("error of the rest", "picture"), rows)


def iter_export_aligned(
    aligned: FaceStack, misfits: Iterable[int], folder: Path, *, force: bool
) -> Generator[Count]:
    """Write aligned faces under their own names, and their transforms and who stayed apart."""
    if aligned.transforms is None or aligned.frame is None:
        raise ValueError("The faces were not aligned: they have no transforms.")
    apart, stems = set(misfits), _file_names(aligned.names)
    with writing_folder(folder, ALIGNMENT, force=force) as new:
        images, place = aligned.images, new / "faces"
        pictures = yield from write_pictures(images, aligned.dtype, place, stems)
        moved = aligned.transforms[:, :2].reshape(-1, 6).tolist()
        rows = (
            (picture, int(i not in apart), *transform, *aligned.frame)
            for i, (picture, transform) in enumerate(zip(pictures, moved, strict=True))
        )
        _write_table(new / TRANSFORMS, aligned, TRANSFORM_HEADS, rows)


def _write_table(
    path: Path, stack: FaceStack, heads: Sequence[str], rows: Iterable[Iterable[Any]]
) -> None:
    save_table(path, heads, rows, {"name": stack.names, "subject": stack.subjects})


def _file_names(names: Sequence[str]) -> list[str]:
    """Return relative names without extension, or numbers where names cannot be files'."""
    plain = [name.rpartition(".")[0] or name for name in names]
    parts = [part for name in plain for part in name.split("/")]
    are_files = len({name.casefold() for name in plain}) == len(plain) and all(
        re.fullmatch(r"[\w .,()+@=~-]{1,200}", part) and part.strip(". ") for part in parts
    )
    return plain if are_files else numbers(len(names))


def write_pictures(
    images: Any, dtype: np.dtype[Any], folder: Path, stems: Sequence[str] | None = None
) -> Generator[Count, None, list[str]]:
    """Write pictures one by one; return their names relative to the folder above."""
    from PIL import Image

    folder.mkdir()
    suffix = ".tif" if dtype.kind == "f" else ".png"
    names = [f"{number}{suffix}" for number in stems or numbers(len(images))]
    for done, name in enumerate(names):
        pixels = as_pixels(np.asarray(images[done]), dtype)
        if dtype.kind == "f":
            pixels = pixels.astype(np.float32)  # the only floats that Pillow writes
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
        yield done + 1, len(names)
    return [f"{folder.name}/{name}" for name in names]


def read_mask(path: str | PathLike[str], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a picture of a size (h, w) as a mask: what is not black is to be ignored."""
    from PIL import Image

    with Image.open(path) as picture:
        mask: NDArray[np.bool_] = np.asarray(picture.convert("L")) != 0
    if mask.shape != tuple(size):
        there, ours = map(in_pixels, (mask.shape, size))
        raise ValueError(
            f"The mask {path} has {there}, the faces {ours}: draw it on one of them."
        )
    if not mask.any():
        raise ValueError(f"The mask {path} is black: white marks what is to be ignored.")
    return mask
