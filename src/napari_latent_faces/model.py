"""A fitted factorization: latent faces, how much of each builds which face, and their file."""

from __future__ import annotations

import io
import json
import math
import reprlib
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy

from napari_latent_faces import __version__
from napari_latent_faces.files import most_unpacked, open_regular, replacing, write_arrays
from napari_latent_faces.masks import mask_to_text
from napari_latent_faces.params import METHODS, Parameters
from napari_latent_faces.solvers.factors import amounts, canonical
from napari_latent_faces.stack import as_stack, in_pixels, make_names_harmless, pixel_blocks
from napari_latent_faces.steps import consume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.solvers.nnls import Solver
    from napari_latent_faces.stack import FaceStack

StopReason = Literal["converged", "max_iter", "stopped"]


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from.

    Parameters
    ----------
    names, subjects, source, dtype, frame
        Those of the `FaceStack` that it was fitted to. With a `frame`, new faces are to be as
        high and wide as its last two numbers say, and to be aligned to the model.
    n_iter : int
        Iterations made.
    stop_reason : {"converged", "max_iter", "stopped"}
        Why the fit ended; "stopped" is the user's wish.
    versions : dict of str to str
        Versions of this package and of the libraries that did the arithmetic.
    encoded_from : str, optional
        Of weights of other faces, found by encoding: the source of those of the fit.
    reading : dict or None
        The options, other than default ones, with which `read_faces` read `source`; None
        if the faces did not come from it as they are, or that is not known.
    n_missing : int
        How many pixels of single faces the fit left out, by a mask for each face.
    missing : str
        Which they were, as `mask_to_text` writes it; empty if that is very long.
    backend : {"c", "numpy", ""}
        What swept the factors in a fit by the solver ``"multilevel"``.
    """

    names: tuple[str, ...]
    subjects: tuple[str, ...] | None
    source: str
    dtype: str
    n_iter: int
    stop_reason: StopReason
    versions: dict[str, str] = field(default_factory=dict)
    encoded_from: str | None = None
    reading: dict[str, Any] | None = None
    n_missing: int = 0
    missing: str = ""
    backend: str = ""
    frame: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        make_names_harmless(self)

    @classmethod
    def of(cls, stack: FaceStack, n_iter: int, stop_reason: StopReason) -> Provenance:
        """Return where a model comes from that is fitted now, with the libraries in use."""
        options = stack.report.options
        reading = None if options is None else options.changed()
        versions = {"napari-latent-faces": __version__, "python": sys.version.split()[0]}
        libraries = {"numpy": "numpy", "scikit-learn": "sklearn", "scipy": "scipy"}
        for name, module in libraries.items():
            if version := getattr(sys.modules.get(module), "__version__", None):
                versions[name] = version
        about = (stack.names, stack.subjects, stack.source, stack.dtype.name)
        told: dict[str, Any] = {"reading": reading, "frame": stack.frame, "versions": versions}
        return cls(*about, n_iter, stop_reason, **told)

    def with_missing(self, mask: Any) -> Provenance:
        """Return the same of a fit that left out what a mask (n, h, w) marks."""
        count = sum(int(np.count_nonzero(block)) for _, block in pixel_blocks(mask))
        text = mask_to_text(mask)  # which goes into scripts and the head of the file
        return replace(self, n_missing=count, missing=text if len(text) <= 2**20 else "")

    def of_other_faces(self, stack: FaceStack, **changes: Any) -> Provenance:
        """Return the same for weights of other faces, all of whose pixels count."""
        changes |= {"names": stack.names, "subjects": stack.subjects, "source": stack.source}
        return replace(self, n_missing=0, missing="", **changes)


@dataclass(frozen=True, eq=False)
class LatentFaces:
    """Components and weights of a stack of faces: ``faces ~ mean + weights x components``.

    The form is canonical, so that two fits compare: each component has the maximum 1 (its pixel
    farthest from 0 is positive), the weights carry the brightness, and the component with the
    largest share of the reconstruction comes first.

    Parameters
    ----------
    components : array of shape (k, h, w), or (k, h, w, 3) in colour
        The latent faces; non-negative unless `is_signed`.
    weights : array of shape (n, k)
        How much of each component builds each face; non-negative unless `is_signed`. A
        weight of 1 adds the component at full brightness, `scale` in the faces' own units.
    error : float
        Relative Frobenius error of the reconstruction of all faces, 0 to 1.
    scale : float
        The pixel value that was 1 in the fit (255 for 8-bit faces).
    params, provenance : Parameters, Provenance
        How it was fitted, and to what.
    mean : array of the shape of a picture, optional
        The mean face that the components are added to, in units of `scale`; None for
        methods that start from black.
    mask : bool array of shape (h, w), optional
        True marks pixels that the fit left out; components are 0 there, and `encode`
        and `error` do not look at them. None if all pixels count.
    transforms : array of shape (n, 3, 3), optional
        How the faces were aligned, as in `FaceStack`; None if they were not.
    """

    components: NDArray[Any]
    weights: NDArray[Any]
    error: float
    scale: float
    params: Parameters
    provenance: Provenance
    mean: NDArray[Any] | None = None
    mask: NDArray[np.bool_] | None = None
    transforms: NDArray[np.float64] | None = None

    @classmethod
    def from_factors(
        cls, W: NDArray[Any], H: NDArray[Any], picture_shape: tuple[int, ...], **attributes: Any
    ) -> LatentFaces:
        """Return the canonical form of weights (n, k) and components (k, p), with the rest."""
        weights, rows = canonical(W, H, is_signed=attributes["params"].is_signed)
        return cls(rows.reshape(-1, *picture_shape), weights, **attributes)

    @property
    def n_components(self) -> int:
        """Number of components."""
        return len(self.components)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the full reconstruction: number of faces, then that of a picture."""
        return len(self.weights), *self.picture_shape

    @property
    def picture_shape(self) -> tuple[int, ...]:
        """Shape of a face: (h, w) in grey, (h, w, 3) in colour."""
        return self.components.shape[1:]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a face in pixels."""
        h, w = self.components.shape[1:3]
        return h, w

    @property
    def is_signed(self) -> bool:
        """Whether components and weights can be negative, as those of PCA."""
        return self.params.is_signed

    @property
    def left_out(self) -> tuple[int, int]:
        """How many pixels the fit left out, and how many there are, over all faces."""
        n, h, w = self.shape[:3]
        masked = 0 if self.mask is None else n * int(np.count_nonzero(self.mask))
        return masked + self.provenance.n_missing, n * h * w

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the reconstruction that each component carries, shape (k,), sum 1.

        Of a signed model it is the share of the variance, as light and dark add up to nothing.
        """
        rows = self.components.reshape(self.n_components, -1)
        carried = amounts(self.weights, rows, is_signed=self.is_signed)
        return carried / (carried.sum() or 1.0)

    def reconstruct(
        self, indices: int | slice | Sequence[int] | NDArray[np.integer] | None = None
    ) -> NDArray[Any]:
        """Build some faces, or all, from their weights; see `blend` for what is returned."""
        return self.blend(self.weights[slice(None) if indices is None else indices])

    def blend(self, weights: NDArray[Any]) -> NDArray[Any]:
        """Build faces (m, h, w) or (h, w) from any weights (m, k) or (k,).

        They are floats in the units of the faces: 255 is white for 8-bit ones. Weights of 0
        give the mean face, or black for models without one.
        """
        weights = np.asarray(weights, self.components.dtype)
        scale = self.components.dtype.type(self.scale)
        pixels = (weights * scale) @ self.components.reshape(self.n_components, -1)
        if self.mean is not None:
            pixels += self.mean.reshape(-1) * scale
        faces: NDArray[Any] = pixels.reshape(*weights.shape[:-1], *self.picture_shape)
        return faces

    def encode(self, images: Any, mask: Any = None, *, align: bool = False) -> NDArray[Any]:
        """Find the weights that build other faces best from these components.

        They are found as the fit has found its own: non-negative ones by exact non-negative
        least squares, those of PCA and ICA by least squares, those of a sparse dictionary with
        its penalty, and of k-means all on the nearest component. Beside the result, memory does
        not grow with the number of faces. `encoding.iter_encode` does the same in steps.

        Parameters
        ----------
        images : FaceStack or array of shape (m, h, w) or (h, w)
            Pictures of the size of the components; numpy, dask, or anything that can be
            sliced. Pixels of the type that the model was fitted to are taken in the same units.
        mask : array of shape (h, w) or (m, h, w), optional
            **True or nonzero marks pixels to ignore**, as in `numpy.ma`; one mask for
            all faces or one for each. What is ignored may hold anything, NaN too.
        align : bool, default=False
            Bring the faces onto the model first, as `align_to` does.

        Returns
        -------
        array of shape (m, k) or (k,)
            Weights, non-negative unless `is_signed`.

        Raises
        ------
        ValueError, TypeError
            If the pictures or the mask have another size or type, visible pixels are negative,
            NaN or infinite, or a face is hidden wholly. An `UndeterminedWarning` tells of masks
            that leave fewer pixels than components, or hide one (its weight is 0).
        """
        from napari_latent_faces.aligning import align_to
        from napari_latent_faces.encoding import iter_encode

        ndim, own = getattr(images, "ndim", 0), self.picture_shape
        if ndim == len(own) and (align or images.shape == own):
            weights: NDArray[Any] = self.encode(images[None], mask, align=align)[0]
            return weights
        stack = align_to(self, images) if align else images
        return consume(iter_encode(self, stack, mask, measure=False)).weights

    def encoded(self, images: Any, mask: Any = None, *, align: bool = False) -> LatentFaces:
        """Return a model of other faces with these components and their own weights.

        It has the names and subjects of these faces, and their units. Parameters are those of
        `encode`, for a stack; components keep their order, whatever their shares are now.
        """
        from napari_latent_faces.aligning import align_to
        from napari_latent_faces.encoding import encode, encoded_model

        stack = align_to(self, images) if align else as_stack(images)
        return encoded_model(self, stack, encode(self, stack, mask))

    def errors(self, images: Any, weights: Any = None, mask: Any = None) -> NDArray[np.float64]:
        """Measure how badly each face is explained: ``|face - reconstruction| / |face|``, (m,).

        `images` and `mask` are those of `encode`, for a stack; `weights` (m, k) such as those
        of the model for the faces of the fit, by default the best ones.
        """
        from napari_latent_faces.encoding import iter_encode

        return consume(iter_encode(self, images, mask, weights)).errors

    def mend(self, images: Any, mask: Any = None) -> NDArray[Any]:
        """Replace marked pixels of faces by what these components expect there.

        Each face is encoded from its visible pixels only, which stay as they are; the
        reconstruction fills the rest. Parameters and errors are those of `encode`; the mask of
        a `numpy.ma.MaskedArray` counts, too. Pictures of the same shape and type are returned,
        rounded and clipped where the type is one of integers.
        """
        from napari_latent_faces.encoding import mend

        return mend(self, images, mask)

    def coder(self) -> Solver:
        """Return the function that finds weights, as `solvers.nnls.solver_of` does."""
        from napari_latent_faces.solvers.nnls import solver_of

        solve = solver_of(self.params.coding, getattr(self.params, "alpha", 0.0))
        if self.params.coding != "one-hot":
            return solve
        lengths = self.weights.max(axis=0)  # of the means of groups, which all are unequal
        return lambda R, B: solve(R * lengths, B) * lengths

    def check_pictures(self, picture_shape: tuple[int, ...]) -> None:
        """Refuse pictures of another shape, and say how to read them."""
        if picture_shape != self.picture_shape:
            there, ours = map(in_pixels, (picture_shape, self.picture_shape))
            words = f"read them with size={self.size}, colour={len(self.picture_shape) == 3}."
            raise ValueError(f"The pictures are {there}, the model's faces {ours}: {words}")

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one file, a zip of arrays as ``.npz`` is, whole or not at all."""
        is_plain = self.params.method == "nmf" and self.mean is None and self.mask is None
        header = {
            "format": "napari-latent-faces",
            "format_version": 3 if len(self.picture_shape) == 3 else 1 if is_plain else 2,
            "method": self.params.method,
            "error": self.error,
            "scale": self.scale,
            "params": self.params.to_dict(),
            "provenance": asdict(self.provenance),
        }
        text = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        arrays = {name: each for name, each in arrays.items() if each is not None}
        with replacing(path) as file:
            write_arrays(file, {"header": np.frombuffer(text, np.uint8), **arrays})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> LatentFaces:
        """Read a model that `save` wrote.

        Anybody's file is read without running code, in no more memory than it has bytes.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is not a whole and sound model.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"There is no model file {str(path)!r}.")
        members = _members(path)
        if not {*members} >= _NEEDED:
            words = f"{path} is not a model file of napari-latent-faces"
            if members == ["arr_0"] or path.suffix.lower() in (".tif", ".tiff", ".png"):
                words += (
                    ": it holds the pictures of one layer, as napari saves them, without the "
                    f"weights and parameters of a fit. Save models as {ENDING} (Save model...)"
                )
            raise ValueError(f"{words}.")
        try:
            with open_regular(path) as file, ZipFile(file) as archive:
                known = _NEEDED.union(_ARRAYS)
                return _model({n: _read_array(archive, n) for n in members if n in known})
        except Exception as error:  # a hostile file can make a decoder raise anything
            reason = str(error) if isinstance(error, ValueError) else repr(error)
            words = " ".join(reason.split())[:300]
            raise ValueError(f"{path} is damaged, or no model: {words}") from error

    def __repr__(self) -> str:
        components = f"{self.n_components} components of {in_pixels(self.picture_shape)}"
        faces = f"{len(self.weights)} faces, relative error {self.error:.4f}"
        return f"LatentFaces({components}, {faces})"


# The model file holds arrays and a JSON header as an .npz does, never pickled.
ENDING = ".latent"  # napari writes plain arrays into .npz
FORMAT_VERSION = 3  # 3 has colour, 2 other methods and masks; older releases read 1

_NEEDED = {"header", "components", "weights"}
_ARRAYS = ("components", "weights", "mean", "mask", "transforms")
_MOST_HEADER_BYTES = 64 * 2**20  # names of some hundred thousand faces


def model_path(path: str | PathLike[str]) -> Path:
    """Return `path`, with the ending of model files if it has neither that nor ``.npz``."""
    path = Path(path)
    return path if path.suffix.lower() in (ENDING, ".npz") else Path(f"{path}{ENDING}")


def is_model_file(path: str | PathLike[str]) -> bool:
    """Tell by a quick look whether `path` could be a model file; never raises or waits."""
    return {*_members(path)} >= _NEEDED


def _members(path: str | PathLike[str]) -> list[str]:
    """Return what the arrays of a file are called, nothing if it is no archive."""
    # a hostile file can make a decoder raise anything
    with suppress(Exception), open_regular(path) as file, ZipFile(file) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]
    return []


def _need(is_sound: object, fault: str) -> None:
    if not is_sound:
        raise ValueError(fault)


def _read_array(archive: ZipFile, name: str) -> NDArray[Any]:
    """Read one array; `numpy.load` makes room for any size, before it knows what is there."""
    info = archive.getinfo(f"{name}.npy")
    is_bomb = info.file_size > most_unpacked(info.compress_size, 2**20)
    _need(not is_bomb, f"its {name} are a decompression bomb.")
    file = io.BytesIO(archive.read(info))
    try:
        npy.read_magic(file)
        shape, is_fortran, dtype = npy.read_array_header_1_0(file)
        numbers = np.frombuffer(file.getbuffer(), dtype, math.prod(shape), file.tell())
        array = numbers.reshape(shape, order="F" if is_fortran else "C")
        return array.astype(dtype.newbyteorder("="))
    except Exception as error:
        raise ValueError(f"its {name}: {error}") from error


def _model(arrays: dict[str, NDArray[Any]]) -> LatentFaces:
    """Make a model of what a file holds, or say what does not fit together."""
    raw = arrays.pop("header")
    _need(raw.nbytes <= _MOST_HEADER_BYTES, "its header is too large.")
    header = json.loads(raw.tobytes().decode("utf-8", "surrogatepass"))
    version = _made(int, header["format_version"], "format version")
    words = f"it has format version {version}, which later releases read: update this one."
    _need(version <= FORMAT_VERSION, words)
    method = header.get("method", "nmf")  # files of format version 1 need not name it
    _need(method in METHODS, f"its method cannot be {reprlib.repr(method)}.")
    params = METHODS[method](**header["params"])
    origin = header["provenance"]
    hints = {name: hint for name, hint in get_type_hints(Provenance).items() if name in origin}
    own = {name: _made(hint, origin[name], name) for name, hint in hints.items()}
    provenance = Provenance(**own)
    known = {name: _made(float, header[name], name) for name in ("error", "scale")}
    components, weights, k = arrays["components"], arrays["weights"], params.n_components
    is_picture = components.ndim == 3 or components.shape[3:] == (3,)
    _need(is_picture, f"its components of shape {components.shape} are no pictures.")
    (h, w, *colour), n = components.shape[1:], len(np.atleast_1d(weights))
    shapes = {"components": (k, h, w, *colour), "weights": (n, k), "mean": (h, w, *colour)}
    shapes |= {"mask": (h, w), "transforms": (n, 3, 3)}
    for name, array in arrays.items():
        found, shape = array.shape, shapes[name]
        _need(found == shape, f"its {name} of shape {found} should have the shape {shape}.")
        _need(array.size, f"its {name} are empty, of shape {found}.")
        kind, kinds = ("b", "booleans") if name == "mask" else ("f", "floats")
        _need(array.dtype.kind == kind, f"its {name} are of type {array.dtype}, not {kinds}.")
        is_signed = params.is_signed or name == "transforms"
        wanted = "finite" if is_signed else "finite and non-negative"
        is_fine = np.isfinite(array) & (is_signed | (array >= 0))
        _need(is_fine.all(), f"its {name} are not all {wanted}.")
    top, left, *whole = frame = provenance.frame or (0, 0, h, w)
    fits = top + h <= whole[0] and left + w <= whole[1]
    _need(fits, f"its faces, {w} x {h}, do not fit its frame {frame}.")
    for what in filter(None, (provenance.names, provenance.subjects)):
        _need(len(what) == n, f"it names {len(what)} faces but has weights for {n}.")
    _need(known["scale"], "its scale is 0: no pixel would be seen.")
    return LatentFaces(**{**arrays, **known}, params=params, provenance=provenance)


def _made(hint: Any, value: Any, what: str) -> Any:
    """Return what JSON has made of a value of some type as that again, if it is sound."""
    kind, parts = get_origin(hint), get_args(hint)
    if NoneType in parts:
        return None if value is None else _made(parts[0], value, what)
    if hint in (int, float):
        if type(value) in (int, float) and 0 <= value <= sys.float_info.max:
            return hint(value)
    elif hint is Any:
        return tuple(value) if isinstance(value, list) else value
    elif kind is dict and isinstance(value, dict):
        return {key: _made(parts[1], each, what) for key, each in value.items()}
    elif kind is tuple and isinstance(value, list):
        hints = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        if len(hints) == len(value):
            return tuple(_made(*pair, what) for pair in zip(hints, value, strict=True))
    elif kind in (None, Literal) and isinstance(value, str):
        return value
    raise ValueError(f"its {what} cannot be {reprlib.repr(value)}.")
