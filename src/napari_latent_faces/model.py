"""A fitted factorization: the latent faces, and how much of each builds which face."""

from __future__ import annotations

import json
import math
import sys
import zipfile
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.lib import format as npy

from napari_latent_faces import __version__
from napari_latent_faces.files import open_regular, replacing
from napari_latent_faces.params import params_of
from napari_latent_faces.solvers.factors import amounts, canonical
from napari_latent_faces.stack import as_stack, make_names_harmless, pixel_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.params import Coding, Parameters
    from napari_latent_faces.solvers.nnls import Solver
    from napari_latent_faces.stack import FaceStack


# -- Where a model comes from: its faces, its fit, and the software that made it -------

StopReason = Literal["converged", "max_iter", "stopped"]

_LONGEST = 2**20  # letters that a mask may take in a script and in the head of a file


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from.

    Parameters
    ----------
    names : tuple of str
        The faces it was fitted to, in the order of the weights.
    subjects : tuple of str or None
        Whose faces they are.
    source : str
        The folder or archive they were read from.
    dtype : str
        The type of their pixels.
    n_iter : int
        Iterations made.
    stop_reason : {"converged", "max_iter", "stopped"}
        Why the fit ended; "stopped" is the user's wish.
    versions : dict of str to str
        Versions of this package and of the libraries that did the arithmetic.
    encoded_from : str, optional
        The source of the faces that the components were fitted to, where the weights are
        those of other faces, found by encoding; None for a fit.
    reading : dict or None
        The options, other than default ones, with which `read_faces` read `source`; None
        if the faces did not come from it as they are, or that is not known.
    n_missing : int
        How many pixels of single faces the fit left out, by a mask for each face.
    missing : str
        Which they were, as `mask_to_text` writes it; empty if none, or if there is no end
        of it.
    backend : str
        What swept the factors in a fit by the solver ``"multilevel"``: ``"c"``, compiled,
        or ``"numpy"``; empty for other solvers, or if it is not known.
    frame : (int, int, int, int), or None
        That of the `FaceStack` if the faces were aligned: pictures of new faces are to be as
        high and wide as its last two numbers say, and to be aligned to the model.
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
        return cls(
            names=stack.names,
            subjects=stack.subjects,
            source=stack.source,
            dtype=stack.dtype.name,
            n_iter=n_iter,
            stop_reason=stop_reason,
            versions=library_versions(),
            reading=None if options is None else options.changed(),
            frame=stack.frame,
        )

    def with_missing(self, mask: Any) -> Provenance:
        """Return the same of a fit that left out what a mask (n, h, w) marks."""
        from napari_latent_faces.masks import mask_to_text

        count = sum(int(np.count_nonzero(block)) for _, block in pixel_blocks(mask))
        text = mask_to_text(mask)
        return replace(self, n_missing=count, missing=text if len(text) <= _LONGEST else "")

    def of_other_faces(self, stack: FaceStack, **changes: Any) -> Provenance:
        """Return the same for weights of other faces, all of whose pixels count."""
        return replace(
            self,
            names=stack.names,
            subjects=stack.subjects,
            source=stack.source,
            n_missing=0,
            missing="",
            **changes,
        )


def library_versions() -> dict[str, str]:
    """Return the versions of this package and of the loaded libraries that do arithmetic."""
    versions = {"napari-latent-faces": __version__, "python": sys.version.split()[0]}
    for name, module in (("numpy", "numpy"), ("scikit-learn", "sklearn"), ("scipy", "scipy")):
        if version := getattr(sys.modules.get(module), "__version__", None):
            versions[name] = version
    return versions


# -- A fitted factorization: the latent faces, and how much of each builds which face --


@dataclass(frozen=True, eq=False)
class LatentFaces:
    """Components and weights of a stack of faces: ``faces ~ mean + weights x components``.

    The form is canonical, so that two fits compare: each component has the maximum 1
    (the weights carry the brightness), and the components are sorted by the share of
    the reconstruction that they carry, the largest first. Where a method gives no sign to
    a component, its pixel farthest from 0 is positive, so that all are from -1 to 1.

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
    params : Parameters
        The parameters of the fit: `NMFParams`, or those of another method.
    provenance : Provenance
        Faces, iterations, versions.
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
        """Return the canonical form of a factorization with the same product.

        Parameters
        ----------
        W, H : arrays of shape (n, k) and (k, p)
            Weights, and components as rows.
        picture_shape : tuple of int
            Shape of a face, (h, w) or (h, w, 3).
        **attributes
            The other attributes of the model, such as `error` and `scale`.

        Returns
        -------
        LatentFaces
        """
        is_signed = getattr(attributes["params"], "is_signed", False)
        weights, rows = canonical(W, H, is_signed=is_signed)
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
        return getattr(self.params, "is_signed", False)

    @property
    def left_out(self) -> tuple[int, int]:
        """How many pixels the fit left out, and how many there are, over all faces."""
        n, h, w = self.shape[:3]
        masked = 0 if self.mask is None else n * int(np.count_nonzero(self.mask))
        return masked + self.provenance.n_missing, n * h * w

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the reconstruction that each component carries: shape (k,), sum 1.

        Of a signed model, where light and dark add up to nothing, it is the share of the
        variance: that of the weight times the squared norm of the component.
        """
        carried = amounts(self.weights, self._rows, is_signed=self.is_signed)
        return carried / (carried.sum() or 1.0)

    @property
    def _rows(self) -> NDArray[Any]:
        return self.components.reshape(self.n_components, -1)

    def reconstruct(
        self, indices: int | slice | Sequence[int] | NDArray[np.integer] | None = None
    ) -> NDArray[Any]:
        """Build faces from their weights, in the units of the faces.

        Parameters
        ----------
        indices : int, slice or sequence of int, optional
            Which faces; all by default.

        Returns
        -------
        array of shape (m, h, w), or (h, w) for one index
            Floats; 255 is white for 8-bit faces.
        """
        return self.blend(self.weights[slice(None) if indices is None else indices])

    def blend(self, weights: NDArray[Any]) -> NDArray[Any]:
        """Build faces from any weights, in the units of the faces.

        Parameters
        ----------
        weights : array of shape (m, k) or (k,)
            How much of each component.

        Returns
        -------
        array of shape (m, h, w) or (h, w)
            Weights of 0 give the mean face, or black for models without one.
        """
        weights = np.asarray(weights, self.components.dtype)
        scale = self.components.dtype.type(self.scale)
        pixels = (weights * scale) @ self._rows
        if self.mean is not None:
            pixels += self.mean.reshape(-1) * scale
        faces: NDArray[Any] = pixels.reshape(*weights.shape[:-1], *self.picture_shape)
        return faces

    def encode(self, images: Any, mask: Any = None, *, align: bool = False) -> NDArray[Any]:
        """Find the weights that build other faces best from these components.

        The components stay as they are, and weights are found as the fit has found its
        own: non-negative ones by exact non-negative least squares, those of PCA and ICA
        by least squares, those of a sparse dictionary with its penalty, and of k-means all
        on the nearest component. Faces are read and solved a block at a time, by several
        threads: beside the result, memory does not grow with their number.

        Parameters
        ----------
        images : FaceStack or array of shape (m, h, w) or (h, w)
            Grey pictures of the size of the components; numpy, dask, or anything that
            can be sliced. Pixels of the type that the model was fitted to are taken in
            the same units.
        mask : array of shape (h, w) or (m, h, w), optional
            **True or nonzero marks pixels to ignore**, as in `numpy.ma`; one mask for
            all faces or one for each. What is ignored may hold anything, NaN too.
        align : bool, default=False
            Bring the faces onto the model first, as `align_to` does, which matters where the
            faces of the fit were aligned.

        Returns
        -------
        array of shape (m, k) or (k,)
            Weights, non-negative unless `is_signed`.

        Raises
        ------
        ValueError, TypeError
            If the pictures or the mask have another size or type, visible pixels are
            negative, NaN or infinite, or a face is hidden wholly.

        Warns
        -----
        UndeterminedWarning
            If a mask leaves fewer pixels than there are components, or hides a component
            wholly (its weight is then 0).

        See Also
        --------
        napari_latent_faces.encoding.iter_encode : The same with errors, in steps.
        """
        from napari_latent_faces.encoding import find_weights

        if getattr(images, "ndim", 0) == len(self.picture_shape) and (
            align or images.shape == self.picture_shape
        ):
            weights: NDArray[Any] = self.encode(images[None], mask, align=align)[0]
            return weights
        return find_weights(self, self._aligned(images) if align else images, mask)

    def _aligned(self, images: Any) -> FaceStack:
        from napari_latent_faces.aligning import align_to

        return align_to(self, images)

    def encoded(self, images: Any, mask: Any = None, *, align: bool = False) -> LatentFaces:
        """Return a model of other faces with these components and their own weights.

        Parameters
        ----------
        images, mask, align
            As in `encode`; a stack.

        Returns
        -------
        LatentFaces
            With the names and subjects of these faces, in their units. The components
            are shared and keep their order, whatever their shares are now.
        """
        from napari_latent_faces.encoding import encode, encoded_model

        stack = self._aligned(images) if align else as_stack(images)
        return encoded_model(self, stack, encode(self, stack, mask))

    def errors(self, images: Any, weights: Any = None, mask: Any = None) -> NDArray[np.float64]:
        """Measure how badly each face is explained: ``|face - reconstruction| / |face|``.

        Parameters
        ----------
        images, mask
            As in `encode`; a stack.
        weights : array of shape (m, k), optional
            Their weights, such as `weights` of the model for the faces of the fit; by
            default the best ones.

        Returns
        -------
        float64 array of shape (m,)
        """
        from napari_latent_faces.encoding import relative_errors

        return relative_errors(self, images, weights, mask)

    def mend(self, images: Any, mask: Any = None) -> NDArray[Any]:
        """Replace marked pixels of faces by what these components expect there.

        Each face is encoded from its visible pixels only (`encode`), which stay as they are;
        the reconstruction fills the rest.

        Parameters
        ----------
        images : FaceStack or array of shape (m, h, w) or (h, w)
            Pictures of the size of the components.
        mask : array of shape (h, w) or (m, h, w), optional
            **True or nonzero marks pixels to replace**, beside the mask of a
            `numpy.ma.MaskedArray`. They are not looked at, and may hold anything, NaN too.

        Returns
        -------
        array of the shape and type of the pictures
            Filled pixels are rounded and clipped where the type is one of integers.

        Raises
        ------
        ValueError, TypeError
            As `encode`, or if nothing is marked.
        """
        from napari_latent_faces.encoding import mend

        return mend(self, images, mask)

    def coder(self) -> Solver:
        """Return the function that finds weights, as `solvers.nnls.solver_of` does."""
        from napari_latent_faces.solvers.nnls import solver_of

        # a model made by hand need not have parameters
        coding: Coding = getattr(self.params, "coding", "non-negative")
        solve = solver_of(coding, getattr(self.params, "alpha", 0.0))
        if coding != "one-hot":
            return solve
        lengths = self.weights.max(axis=0)  # of the means of groups, which all are unequal
        return lambda R, B: solve(R * lengths, B) * lengths

    def check_pictures(self, picture_shape: tuple[int, ...]) -> None:
        """Refuse pictures of another shape, and say how to read them."""
        (h, w, *channels), (own_h, own_w, *own_channels) = picture_shape, self.picture_shape
        if (h, w) != (own_h, own_w):
            raise ValueError(
                f"The pictures are {w} x {h} pixels, the model's faces {own_w} x {own_h}: "
                f"read them with size=({own_h}, {own_w})."
            )
        if channels != own_channels:
            kinds = ("in colour", "grey") if channels else ("grey", "in colour")
            raise ValueError(
                f"The pictures are {kinds[0]}, the model's faces {kinds[1]}: read them with "
                f"colour={not channels}."
            )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one file, a zip of arrays as ``.npz`` is, whole or not at all.

        Parameters
        ----------
        path : path-like
            The file; an existing one is replaced.

        Raises
        ------
        OSError
            If it cannot be written; a file that was there stays as it was.
        """
        write_model(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> LatentFaces:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        LatentFaces

        Raises
        ------
        FileNotFoundError, ModelFileError
            If there is no such file, or it is not a whole and sound model.
        """
        return read_model(path)

    def __repr__(self) -> str:
        n, h, w, *channels = self.shape
        return (
            f"LatentFaces({self.n_components} {'colour ' if channels else ''}components of "
            f"{w} x {h} pixels, {n} faces, relative error {self.error:.4f})"
        )


# -- The model file: arrays and a JSON header in one .npz, never pickled ---------------

ENDING = ".latent"
"""What a name of a model file ends in: napari writes plain arrays into ``.npz``."""

FORMAT_VERSION = 3  # 3 has colour, 2 other methods and masks; older releases read 1
MAX_HEADER_BYTES = 64 * 2**20  # names of some hundred thousand faces

_FACTORS, _OPTIONAL = ("components", "weights"), ("mean", "mask", "transforms")
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
# what a member may be compressed to before it counts as a bomb; noise does not shrink so far
_BOMB_BYTES, _BOMB_RATIO = 2**20, 200


class ModelFileError(ValueError):
    """A file is not a sound model of latent faces."""


def write_model(model: LatentFaces, path: str | PathLike[str]) -> None:
    """Write `model` to `path`, whole or not at all; see `LatentFaces.save`."""
    also = {name: getattr(model, name) for name in _OPTIONAL}
    is_plain = model.params.method == "nmf" and model.mean is None and model.mask is None
    header = {
        "format": "napari-latent-faces",
        "format_version": 3 if len(model.picture_shape) == 3 else 1 if is_plain else 2,
        "method": model.params.method,
        "error": model.error,
        "scale": model.scale,
        "params": model.params.to_dict(),
        "provenance": asdict(model.provenance),
    }
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
    arrays: dict[str, Any] = {
        "header": np.frombuffer(text, np.uint8),
        "components": model.components,
        "weights": model.weights,
        **{name: array for name, array in also.items() if array is not None},
    }
    with replacing(path) as file:
        write_arrays(file, arrays)


def write_arrays(file: IO[bytes], arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays as `numpy.savez` does, but close the archive whatever happens.

    `numpy.savez` of NumPy 2.0 leaves that to the garbage collector, which then writes to a
    file that may be gone.
    """
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, np.asanyarray(array), allow_pickle=False)


def model_path(path: str | PathLike[str]) -> Path:
    """Return `path`, with the ending of model files if it has neither that nor ``.npz``."""
    path = Path(path)
    known = path.suffix.lower() in (ENDING, ".npz")
    return path if known else path.with_name(path.name + ENDING)


def is_model_file(path: str | PathLike[str]) -> bool:
    """Tell by a quick look whether `path` could be a model file; never raises or waits."""
    return {"header", *_FACTORS} <= set(_members(path))


def read_model(path: str | PathLike[str]) -> LatentFaces:
    """Read the model at `path` and check that it is sound; see `LatentFaces.load`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no model file {str(path)!r}.")
    if not is_model_file(path):
        what = ""
        if _members(path) == ["arr_0"] or path.suffix.lower() in (".tif", ".tiff", ".png"):
            what = (
                ": it holds the pictures of one layer, as napari saves them, without the "
                f"weights and parameters of the fit. Save the model as {ENDING} (Save model...)"
            )
        raise ModelFileError(f"{path} is not a model file of napari-latent-faces{what}.")
    try:
        with _opened(path) as archive:
            header = _header(archive)
            names = {*_FACTORS, *_OPTIONAL} & set(_names(archive))
            return _model(header, {name: _read_array(archive, name) for name in names})
    except ModelFileError as error:
        raise ModelFileError(f"{path} cannot be used: {error}") from error
    except Exception as error:  # a hostile file can make a decoder raise anything
        raise ModelFileError(
            f"{path} is damaged or not a model file: {_in_words(error)}"
        ) from error


@contextmanager
def _opened(path: str | PathLike[str]) -> Iterator[zipfile.ZipFile]:
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        yield archive


def _names(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist()]


def _members(path: str | PathLike[str]) -> list[str]:
    """Return what the arrays of a file are called, nothing if it is no archive."""
    try:
        with _opened(path) as archive:
            return _names(archive)
    except Exception:  # noqa: BLE001 - a hostile file can make a decoder raise anything
        return []


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read one array, if the file really holds as many bytes as it declares.

    `numpy.load` makes room for whatever size an array declares, and unpacks whatever is
    compressed, before it knows what is there.
    """
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > _BOMB_BYTES and info.file_size > _BOMB_RATIO * info.compress_size:
        raise ValueError(
            f"its {name} are a decompression bomb, {info.file_size} bytes from "
            f"{info.compress_size}"
        )
    with archive.open(info) as file:
        version = npy.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"arrays of version {version} are not read")
        shape, _, dtype = _HEADERS[version](file)
        if dtype.hasobject:
            raise ValueError(f"its {name} are pickled Python objects, which are never loaded")
        declared = math.prod(shape) * dtype.itemsize
        there = info.file_size - file.tell()
        if min(shape, default=0) < 0 or declared != there:
            raise ValueError(
                f"its {name} declare {' x '.join(map(str, shape)) or 1} numbers of type "
                f"{dtype}, but {there} bytes are there instead of {declared}"
            )
    with archive.open(info) as file:
        array = npy.read_array(file, allow_pickle=False)
        file.read()  # to the end, where the checksum is looked at
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _in_words(error: Exception) -> str:
    """Say in one line what is wrong with a file."""
    if isinstance(error, RecursionError):
        return "its header is nested too deeply."
    if isinstance(error, MemoryError):
        return "it needs more memory than is free."
    words = f"{error}" if str(error) else type(error).__name__
    if isinstance(error, KeyError):
        words = f"its header lacks {words}"
    return " ".join(words.split())[:300].rstrip(".") + "."


def _header(archive: zipfile.ZipFile) -> dict[str, Any]:
    if archive.getinfo("header.npy").file_size > MAX_HEADER_BYTES:
        raise ModelFileError(f"its header is larger than {MAX_HEADER_BYTES >> 20} MiB.")
    raw = _read_array(archive, "header")
    header = json.loads(raw.tobytes().decode("utf-8", "surrogatepass"))
    version = header["format_version"]
    if not isinstance(version, int) or version < 1:
        raise ModelFileError(f"its format version {_short(version)} is not a number from 1 on.")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"it has format version {_short(version)}, this package reads up to "
            f"{FORMAT_VERSION}; update napari-latent-faces."
        )
    return dict(header)


def _model(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> LatentFaces:
    # files of format version 1 need not name their method
    params = params_of(header.get("method", "nmf"), **header["params"])
    for fault in _faults_of_arrays(arrays, is_signed=params.is_signed):
        raise ModelFileError(fault)
    error, scale = (_number(header[name], name) for name in ("error", "scale"))
    model = LatentFaces(
        error=error,
        scale=scale,
        params=params,
        provenance=_provenance(header["provenance"]),
        **arrays,
    )
    for fault in _faults(model):
        raise ModelFileError(fault)
    return model


def _faults_of_arrays(arrays: dict[str, NDArray[Any]], *, is_signed: bool) -> Iterator[str]:
    """Say what is wrong with arrays of a model."""
    components, weights = (arrays[name] for name in _FACTORS)
    is_picture = components.ndim == 3 or components.shape[3:] == (3,)
    if not is_picture or weights.ndim != 2 or components.shape[0] != weights.shape[1]:
        yield (
            f"components of shape {components.shape} and weights of shape {weights.shape} do "
            "not belong together."
        )
    for name, array in arrays.items():
        if name == "mask":
            continue
        can_be_negative = is_signed or name == "transforms"
        if array.dtype.kind != "f":
            yield f"its {name} are of type {array.dtype}, not floats."
        if not array.size:
            yield f"its {name} are empty, of shape {array.shape}."
        if not (np.isfinite(array) & (can_be_negative | (array >= 0))).all():
            wanted = "finite" if can_be_negative else "finite and non-negative"
            yield f"its {name} are not all {wanted}."


def _faults(model: LatentFaces) -> Iterator[str]:
    """Say what does not fit together in a model."""
    n, h, w, *_ = model.shape
    mean, mask, transforms = model.mean, model.mask, model.transforms
    origin, frame = model.provenance, model.provenance.frame
    if mean is not None and mean.shape != model.picture_shape:
        yield f"its mean has the shape {mean.shape}, its components {model.picture_shape}."
    if mask is not None and (mask.dtype != bool or mask.shape != (h, w)):
        yield (
            f"its mask is of type {mask.dtype} and shape {mask.shape}, not of booleans and "
            f"shape {(h, w)}."
        )
    if transforms is not None and transforms.shape != (n, 3, 3):
        yield f"its transforms have the shape {transforms.shape}, not {(n, 3, 3)}."
    if frame is not None and (frame[0] + h > frame[2] or frame[1] + w > frame[3]):
        yield f"its faces, {w} x {h}, do not fit its frame {frame}."
    for what in filter(None, (origin.names, origin.subjects)):
        if len(what) != n:
            yield f"it names {len(what)} faces but has weights for {n}."
    if model.params.n_components != model.n_components:
        yield (
            f"its parameters say {model.params.n_components} components, but it holds "
            f"{model.n_components}."
        )
    if model.scale == 0:
        yield "its scale is 0: no pixel would be seen."


def _provenance(origin: dict[str, Any]) -> Provenance:
    parts = {
        each.name: _of_type(str(each.type), origin[each.name], each.name)
        for each in fields(Provenance)
        if each.default is MISSING or each.name in origin  # else it is of an older release
    }
    return Provenance(**parts)


def _of_type(hint: str, value: Any, what: str) -> Any:
    """Return what JSON has made of a value of some type as that again, if it is sound."""
    found = value
    if value is None and "None" in hint:
        return None
    if hint == "int":
        found = int(_number(value, what))
    elif hint == "dict[str, str]":
        found = dict(zip(value, _texts([*value.values()], what), strict=True))
    elif hint.startswith("tuple[str"):
        found = _texts(value, what)
    elif hint.startswith("tuple[int"):
        if not isinstance(value, list) or len(value) != 4:
            raise ModelFileError(f"its {what} is {_short(value)}, not four whole numbers.")
        found = tuple(int(_number(each, what)) for each in value)
    elif hint.startswith("dict"):  # options, with a tuple or two
        if not isinstance(value, dict):
            raise ModelFileError(f"its {what} is {_short(value)}, no table of options.")
        found = {name: tuple(x) if isinstance(x, list) else x for name, x in value.items()}
    elif not isinstance(value, str):
        raise ModelFileError(f"its {what} is {_short(value)}, no text.")
    return found


def _texts(values: Any, what: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise ModelFileError(f"its {what} are no list of texts.")
    return tuple(values)


def _number(value: Any, what: str) -> float:
    """Return a number that is finite and not negative."""
    sound = isinstance(value, (int, float)) and 0 <= value <= sys.float_info.max
    if not sound or isinstance(value, bool):
        raise ModelFileError(f"its {what} is {_short(value)}, no number from 0 on.")
    return float(value)


def _short(value: Any) -> str:
    """Return how a value is written, its start if that is long."""
    try:
        words = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a deep list
        return "too large"
    return words if len(words) <= 60 else f"{words[:60]}..."
