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
from napari_latent_faces.files import check_folder, replacing, writing_folder
from napari_latent_faces.masks import mask_to_text
from napari_latent_faces.reading.beside import TRANSFORM_HEADS, TRANSFORMS
from napari_latent_faces.solvers.factors import unit_maximum
from napari_latent_faces.stack import as_pixels
from napari_latent_faces.steps import consume
from napari_latent_faces.tiles import montage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.encoding import Encoding, MendedFaces
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack

    Exporting = Generator[tuple[int, int], None, Path]

    Progress = Callable[[int, int], object]


FIT, ALIGNMENT, ENCODING, MENDING = "a fit", "an alignment", "an encoding", "a mending"
"""Kinds of results; see `napari_latent_faces.files.writing_folder`."""

# -- Tables of faces and components as comma-separated values --------------------------

_LINES = 256  # between two steps of a long table
# what makes a spreadsheet calculate a cell, full-width signs included
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def cell(text: str) -> str:
    """Return a text with an apostrophe before it if a spreadsheet would calculate it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def numbers(k: int) -> list[str]:
    """Return 0 to k - 1 as text of one length, two digits at least."""
    digits = max(2, len(str(k - 1)))
    return [f"{i:0{digits}}" for i in range(k)]


def component_heads(k: int) -> list[str]:
    """Return what the columns of `k` weights are called."""
    return [f"component_{number}" for number in numbers(k)]


def writing_table(
    path: Path,
    names: Sequence[str],
    subjects: Sequence[str] | None,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> Iterator[int]:
    """Write a table with a line a face; yield how many are written, now and then.

    The first columns are names and, where they are known, subjects; then come `columns` with
    the values of `rows`. Names that a spreadsheet would calculate get an apostrophe before
    them. Where names are not all ASCII the table begins with a byte order mark, by which Excel
    knows UTF-8.
    """
    heads = {"name": names, "subject": subjects}
    known = {head: values for head, values in heads.items() if values is not None}
    is_ascii = all(map(str.isascii, chain(*known.values(), columns)))
    encoding = "utf-8" if is_ascii else "utf-8-sig"
    # a name that is no text (undecodable bytes) must not make the whole table unreadable
    with path.open("w", encoding=encoding, errors="backslashreplace", newline="") as file:
        # all text is quoted: a carriage return alone would not be, and end the line
        table = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        table.writerow([*known, *columns])
        for i, (*face, values) in enumerate(zip(*known.values(), rows, strict=True)):
            if i % _LINES == 0:
                yield i
            table.writerow([*map(cell, face), *values])


def save_table(
    path: str | PathLike[str], heads: Sequence[str], rows: Iterable[Iterable[Any]]
) -> None:
    """Write rows as a CSV file as `writing_table` writes names; whole or not at all."""
    text = io.StringIO(newline="")
    table = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    table.writerow(heads)
    table.writerows([cell(x) if isinstance(x, str) else x for x in row] for row in rows)
    content = text.getvalue()
    with replacing(path) as file:
        encoding = "utf-8" if content.isascii() else "utf-8-sig"
        file.write(content.encode(encoding, "backslashreplace"))


# -- A model as a Python script that makes it again ------------------------------------

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
    >>> from napari_latent_faces import sample_faces, fit
    >>> print(as_python(fit(sample_faces(4), n_components=3)))  # doctest: +SKIP
    """
    origin, params = model.provenance, model.params
    kind = type(params).__name__
    is_stopped = origin.stop_reason == "stopped"
    names = [kind, "iter_fit" if is_stopped else "fit"]
    names += ["read_faces"] * (origin.reading is not None)
    sample = _sample(model).partition("(")[0]
    imported = ", ".join(sorted(names, key=lambda name: (name.islower(), name)))
    made_by = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    mask = _mask(model)
    parts = [
        f"# {params.title}, made with {made_by}",
        f"from napari_latent_faces import {imported}",
        *["from napari_latent_faces.masks import mask_from_text"] * ("mask_from_text" in mask),
        *[f"from napari_latent_faces.samples import {sample}"] * bool(sample),
        "",
        _faces(model),
        "",
        # spelled out to the last one: defaults can change
        f"params = {kind}(",
        *(f"    {name}={value!r}," for name, value in params.to_dict().items()),
        ")",
    ]
    options = ""
    if getattr(params, "init", None) == "custom":
        shapes = f"weights {model.weights.shape} and components {model.components.shape}"
        parts += [f"# What the fit started from: {shapes}", "start = ..."]
        options += ", start=start"
    if mask:
        parts.append(mask)
        options += ", mask=mask"
    parts += [
        _STOPPED.format(n_iter=origin.n_iter, options=options)
        if is_stopped
        else f"model = fit(faces, params{options})\n",
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
    if sample := _sample(model):
        return f"faces = {sample}"
    n, h, w, *channels = model.shape
    where = f" ({origin.source!r})" if origin.source else ""
    kind = "colour" if channels else "grey"
    done = (
        "were aligned (align_faces)"
        if origin.frame
        else "were not read from a folder as they are"
    )
    return f"""\
# These faces {done}, so put them in here:
# {n} {kind} pictures of {w} x {h} pixels{where}, in the order of the fit, as an
# array of type {origin.dtype} and shape {model.shape}, or as a FaceStack.
faces = ..."""


def _sample(model: LatentFaces) -> str:
    """Return the call that reads the faces, if they are a sample."""
    from napari_latent_faces.samples import sample_call

    origin = model.provenance
    if origin.reading is not None or origin.encoded_from or origin.frame:
        return ""
    return sample_call(origin.source, origin.names, model.shape)


def _mask(model: LatentFaces) -> str:
    """Return the lines that make the mask of the fit, if it had one."""
    left_out, total = model.left_out
    if not left_out:
        return ""
    if model.mask is not None:
        text, shape = mask_to_text(model.mask), model.mask.shape
    else:
        text, shape = model.provenance.missing, model.shape[:3]
    told = f"# what the fit left out: {left_out} of {total} pixels"
    if not text:  # there is no end of it
        return f"{told}, as a mask of shape {shape} that has to be put in here\nmask = ..."
    parts = [repr(text[i : i + _WIDTH]) for i in range(0, len(text), _WIDTH)]
    lines = "\n    ".join(parts)
    return f"{told}\nmask = mask_from_text(\n    {lines},\n    {shape},\n)"


# -- A model as a folder of plain files: pictures, a table, and the model itself -------


def export_model(
    model: LatentFaces, folder: str | PathLike[str], *, force: bool = False
) -> Path:
    """Write a model as files that any program reads.

    ==================  ==========================================================
    ``model.npz``       the model, for `LatentFaces.load`
    ``components/``     one 8-bit picture a component, ``00.png`` on, 255 at
                        its brightest; where components are signed, 0 is grey (128)
    ``components.png``  all of them in one picture
    ``mean.png``        the mean face, of methods that have one
    ``weights.csv``     a line a face: name, subject if it is known, and the
                        weights, in UTF-8 (what cannot be encoded is escaped)
    ==================  ==========================================================

    They are written aside first and then moved into place: whatever happens on the
    way, `folder` is as it was.

    Parameters
    ----------
    model : LatentFaces
        The model.
    folder : path-like
        Where to. It is made; the folder that it lies in must be there.
    force : bool, default=False
        Replace an earlier export. A folder that holds anything else is refused.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        If `folder` is a file, or holds anything but, with `force`, an earlier export.
    OSError
        If the files cannot be written.
    """
    return consume(iter_export(model, folder, force=force))


def iter_export(
    model: LatentFaces, folder: str | PathLike[str], *, force: bool = False
) -> Exporting:
    """Do what `export_model` does in steps, which tell how much of how much is written.

    Close the generator to end the export: `folder` is then as it was.
    """
    folder = Path(folder)
    total = model.n_components + len(model.weights)
    with writing_folder(folder, FIT, force=force) as new:
        for done in _written(model, new):
            yield done, total
    return folder


def check_export(folder: str | PathLike[str], *, force: bool = False) -> None:
    """Find out, before the work, whether `export_model` may write to `folder`."""
    check_folder(Path(folder), FIT, force=force)


def _written(model: LatentFaces, folder: Path) -> Iterator[int]:
    """Write all files into an empty folder; yield how many pictures and faces are."""
    from PIL import Image

    model.save(folder / "model.npz")
    pictures = unit_maximum(model.components)
    if model.is_signed:
        pictures = (pictures + 1 + 1 / 255) / 2  # 0 becomes 128, 1 is 255, -1 at least 1
    pictures = _as_8_bit(pictures)
    (folder / "components").mkdir()
    for i, (number, picture) in enumerate(zip(numbers(len(pictures)), pictures, strict=True)):
        yield i
        Image.fromarray(picture).save(folder / "components" / f"{number}.png")
    Image.fromarray(_contact_sheet(pictures)).save(folder / "components.png")
    if model.mean is not None:
        Image.fromarray(_as_8_bit(model.mean)).save(folder / "mean.png")
    # as Python's floats: their digits give the same number back in any program
    rows = (weights.tolist() for weights in model.weights)
    origin = model.provenance
    names = origin.names or tuple(f"face {i}" for i in range(len(model.weights)))
    columns = component_heads(model.n_components)
    path = folder / "weights.csv"
    for faces in writing_table(path, names, origin.subjects, columns, rows):
        yield len(pictures) + faces


def _as_8_bit(pictures: NDArray[Any]) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = np.rint(np.clip(pictures, 0, 1) * 255).astype(np.uint8)
    return pixels


def _contact_sheet(pictures: NDArray[Any]) -> NDArray[Any]:
    """Return pictures in one, about square and with few empty places."""
    k, h, w = pictures.shape[:3]
    square = math.sqrt(k * h / w)
    fewest, most = math.ceil(0.75 * square), math.ceil(1.25 * square)

    def empty_then_slender(columns: int) -> tuple[int, float]:
        return -k % columns, abs(columns - square)

    columns = min(range(min(fewest, k), min(most, k) + 1), key=empty_then_slender)
    return montage(pictures, columns)


# -- Encoded, mended and aligned faces as folders of plain files -----------------------
# `force` replaces earlier ones, `progress` is told how many pictures are written of how many


def export_encoded(
    model: LatentFaces,
    stack: FaceStack,
    encoding: Encoding,
    folder: str | PathLike[str],
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write what a model makes of faces as files that any program reads.

    ====================  ========================================================
    ``errors.csv``        a line a face: name, subject if it is known, relative
                          error, file of the reconstruction
    ``weights.csv``       a line a face with its weights
    ``reconstructions/``  a picture a face, in the type of the faces (floats as TIFF)
    ``model.npz``         the components with these weights, for `LatentFaces.load`
    ====================  ========================================================
    """
    folder = Path(folder)
    other = encoded_model(model, stack, encoding)
    columns = component_heads(model.n_components)
    with writing_folder(folder, ENCODING, force=force) as new:
        pictures = _write_pictures(
            LazyReconstruction(other), stack.dtype, new / "reconstructions", progress
        )
        errors = zip(encoding.errors.tolist(), pictures, strict=True)
        _write_table(new / "errors.csv", stack, ("error", "picture"), errors)
        rows = (weights.tolist() for weights in other.weights)
        _write_table(new / "weights.csv", stack, columns, rows)
        other.save(new / "model.npz")
    return folder


def export_mended(
    mended: MendedFaces,
    stack: FaceStack,
    errors: Any,
    folder: str | PathLike[str],
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write mended faces as files that any program reads.

    ``mended/`` holds a picture a face, in the type of the faces (floats as TIFF), and
    ``mended.csv`` a line a face: name, subject if it is known, relative error over the
    pixels that were not replaced (`errors`), and the file of the picture.
    """
    folder = Path(folder)
    with writing_folder(folder, MENDING, force=force) as new:
        pictures = _write_pictures(mended, stack.dtype, new / "mended", progress)
        rows = zip(np.asarray(errors).tolist(), pictures, strict=True)
        _write_table(new / "mended.csv", stack, ("error of the rest", "picture"), rows)
    return folder


def export_aligned(
    aligned: FaceStack,
    misfits: Collection[int],
    folder: str | PathLike[str],
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write aligned faces as files that any program reads.

    ``faces/`` holds a picture a face under its own name, in the type of the faces (floats
    as TIFF). ``transforms.csv`` has a line a face: name, subject if it is known, the file
    of the picture, whether it was aligned (1) or stayed where it was (0), and the first
    two rows of its transform: y of the original is ``y_y`` times y of the aligned picture
    plus ``y_x`` times x plus ``y_0``, in pixels of the whole picture, of which the aligned
    one begins at row ``top`` and column ``left``; ``height`` and ``width`` are those of the
    whole picture. `misfits` are the faces that stayed. `read_faces` of the folder gives the
    transforms back.
    """
    if aligned.transforms is None or aligned.frame is None:
        raise ValueError("The faces were not aligned: they have no transforms.")
    folder, apart, frame = Path(folder), set(misfits), aligned.frame
    with writing_folder(folder, ALIGNMENT, force=force) as new:
        stems = _file_names(aligned.names)
        place = new / "faces"
        pictures = _write_pictures(aligned.images, aligned.dtype, place, progress, stems)
        moved = aligned.transforms[:, :2].reshape(-1, 6).tolist()
        rows = (
            (picture, int(i not in apart), *transform, *frame)
            for i, (picture, transform) in enumerate(zip(pictures, moved, strict=True))
        )
        _write_table(new / TRANSFORMS, aligned, TRANSFORM_HEADS, rows)
    return folder


def _write_table(
    path: Path, stack: FaceStack, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    for _ in writing_table(path, stack.names, stack.subjects, columns, rows):
        pass


def _file_names(names: Sequence[str]) -> list[str]:
    """Return relative names without extension, or numbers where names cannot be files'."""
    plain = [name.rpartition(".")[0] or name for name in names]
    parts = [part for name in plain for part in name.split("/")]
    are_files = len({name.casefold() for name in plain}) == len(plain) and all(
        re.fullmatch(r"[\w .,()+@=~-]{1,200}", part) and part.strip(". ") for part in parts
    )
    return plain if are_files else numbers(len(names))


def read_mask(path: str | PathLike[str], size: tuple[int, int]) -> Any:
    """Read a picture of a size (h, w) as a mask: what is not black is to be ignored."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L"))
    except UnidentifiedImageError as error:
        raise ValueError(f"The mask {path} is no picture that can be read.") from error
    if pixels.shape != tuple(size):
        (h, w), (own_h, own_w) = pixels.shape, size
        raise ValueError(
            f"The mask {path} has {w} x {h} pixels, the faces have {own_w} x {own_h}: draw it "
            "on a picture of that size."
        )
    if not pixels.any():
        raise ValueError(f"The mask {path} is black: white marks what is to be ignored.")
    return pixels != 0


def _write_pictures(
    images: Any,
    dtype: np.dtype[Any],
    folder: Path,
    progress: Progress | None,
    stems: Sequence[str] | None = None,
) -> list[str]:
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
        if progress is not None:
            progress(done + 1, len(names))
    return [f"{folder.name}/{name}" for name in names]
