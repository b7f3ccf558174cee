"""Stacks of faces: the pictures, checks and units of their pixels, and what a read found."""

from __future__ import annotations

import math
import mmap
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.steps import warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

    from napari_latent_faces.params import ReadOptions


@dataclass(frozen=True)
class ReadReport:
    """What became of each file of a folder of faces.

    Parameters
    ----------
    n_read : int
        How many faces are in the stack.
    skipped, passed_over : tuple of (name, reason)
        Files that look like pictures but could not be read; and that are none (README, ...).
    resized : tuple of (name, (height, width))
        Pictures that had another size, and that size.
    notes : tuple of str
        What else the reader did to all pictures (bit depth, colour, ...).
    lazy : bool
        Whether only the headers were read so far: a picture can still prove broken.
    options : ReadOptions or None
        How `read_faces` read them; None if it did not, or they are a part of what it read.
    decided : str
        What was read as what in a file of numbers, such as ``400 faces of 64 x 64 from the
        columns of 'faces', MATLAB order (F)``.
    """

    n_read: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    resized: tuple[tuple[str, tuple[int, int]], ...] = ()
    passed_over: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    lazy: bool = False
    options: ReadOptions | None = None
    decided: str = ""

    def summary(self) -> str:
        """Return the report in one line, such as ``398 faces read, 2 skipped``."""
        others = f"other file{'s' * (len(self.passed_over) != 1)} passed over"
        counts = {"skipped": self.skipped, "resized": self.resized, others: self.passed_over}
        faces = f"{self.n_read} face{'s' * (self.n_read != 1)} read"
        parts = [in_one_line(self.decided) or faces]
        parts += [f"{len(some)} {words}" for words, some in counts.items() if some]
        return ", ".join(parts) + " (lazy)" * self.lazy

    def details(self) -> str:
        """Return the whole report, one line for each file that is not simply in the stack."""
        first = {reason: name for name, reason in reversed(self.passed_over)}
        others = Counter(reason for _, reason in self.passed_over)
        lazy = "Lazy: pictures are decoded when they are looked at."
        sections: dict[str, Iterable[str]] = {
            "Skipped": [f"{name}: {why}" for name, why in self.skipped],
            "Resized": [f"{name}: from {in_pixels(size)}" for name, size in self.resized],
            "Passed over": [
                f"{first[reason]}{f' and {count - 1} more' * (count > 1)}: {reason}"
                for reason, count in others.most_common()
            ],
            "Notes": self.notes,
        }
        lines = [self.summary(), *[lazy] * self.lazy]
        for title, entries in sections.items():
            if entries:
                lines += [f"{title}:", *(f"  {in_one_line(each)}" for each in entries)]
        return "\n".join(lines)


def in_pixels(picture_shape: tuple[int, ...]) -> str:
    """Return a height and width, and whether there are colours, as words."""
    h, w, *channels = picture_shape
    return f"{w} x {h} pixels{' in colour' * len(channels)}"


def in_one_line(text: str) -> str:
    """Return a text on one line: what cannot be printed is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# Qt takes texts with a tag for HTML, and would open the pictures that they name
_UNSEEN = "\N{COMBINING GRAPHEME JOINER}"  # takes no room, and no tag or entity has one


def harmless(name: str) -> str:
    """Return a name from a file in a form that can be shown anywhere, and is no HTML to Qt."""
    return re.sub(rf"<(?!{_UNSEEN})|&(?=lt;)", rf"\g<0>{_UNSEEN}", in_one_line(name))


def make_names_harmless(owner: Any) -> None:
    """Do so with the names and subjects of a frozen object."""
    for what in ("names", "subjects"):
        if (words := getattr(owner, what)) is not None:
            object.__setattr__(owner, what, tuple(map(harmless, words)))


def harmless_lines(text: str) -> str:
    """Return a message, which may hold names of files, with each of its lines harmless."""
    return "\n".join(map(harmless, text.split("\n")))


_ADVICE = "replace them first, or mark them with mask= (missing='nan' marks those that are NaN)"
_BLOCK_VALUES = 2**24  # pixels looked at in one go


def as_stack(images: Any) -> FaceStack:
    """Return pictures (n, h, w[, 3 or 4]) as a `FaceStack`, after a look at shape and type."""
    stack: FaceStack = images
    if not isinstance(images, FaceStack):
        images = images if hasattr(images, "ndim") else np.asarray(images)
        _check_shape(images.shape)
        _warn_of_faces_last(images)
        if images.ndim == 4:
            images = images[..., :3]  # transparency does not count
        stack = FaceStack(images, tuple(f"face {i}" for i in range(len(images))))
    if stack.dtype.kind not in "buif":
        raise TypeError(f"The pixels must be real numbers, got {stack.dtype}.")
    if 0 in stack.shape[1:]:
        raise ValueError(f"The pictures have no pixels: their shape is {stack.picture_shape}.")
    return stack


def as_pictures(images: Any, shape: tuple[int, ...]) -> Any:
    """Return rows of shape (n, p) as pictures of a given shape, (h, w) or (h, w, 3)."""
    if isinstance(images, FaceStack):
        raise TypeError("shape= is for arrays with a face a row, not for a FaceStack.")
    rows = images if hasattr(images, "ndim") else np.asarray(images)
    p = math.prod(shape)
    if rows.ndim != 2 or rows.shape[1] != p:
        needed = f"shape={tuple(shape)} needs rows of {p} pixels"
        raise ValueError(f"{needed}, got an array of shape {tuple(rows.shape)}.")
    return rows.reshape(len(rows), *shape)


def named(stack: FaceStack, metadata: Mapping[str, Any]) -> FaceStack:
    """Return a stack with names, subjects and transforms of a layer, if the names fit."""
    names, subjects = metadata.get("names"), metadata.get("subjects")
    if names is None or len(names) != len(stack):
        return stack
    subjects = tuple(subjects or ()) if len(subjects or ()) == len(stack) else None
    known: dict[str, Any] = {"subjects": subjects, "white": metadata.get("white")}
    transforms = metadata.get("transforms")
    if transforms is not None and np.shape(transforms) == (len(stack), 3, 3):
        known |= {"transforms": np.asarray(transforms), "frame": metadata.get("frame")}
    return replace(stack, names=tuple(names), **known)


def _check_shape(shape: tuple[int, ...]) -> None:
    fault = "" if len(shape) in (3, 4) else f"{len(shape)} axes"
    if len(shape) == 2:
        fault = "one picture, or a face a row: give their height and width with shape=(h, w)"
    # three narrow columns are possible in a stack of grey pictures, but not in large ones
    elif len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) > 16:
        fault = "one picture in colour"
    elif len(shape) == 4 and shape[3] not in (3, 4):
        fault = f"pictures of {shape[3]} channels: choose one, images[..., i], or 3 for colour"
    if fault:
        needed = "A stack of pictures (face, y, x) or (face, y, x, channel) is needed"
        raise ValueError(f"{needed}, got the shape {shape}, {fault}.")


def _warn_of_faces_last(images: Any) -> None:
    """Warn if neighbours along the last axis differ much more than along both others."""
    if not isinstance(images, np.ndarray) or images.ndim != 3 or images.dtype.kind not in "uif":
        return
    some = np.asarray(images[:32, :32, :32], np.float64)
    if min(some.shape) < 8 or not np.isfinite(some).all():
        return
    faces, y, x = (float(np.abs(np.diff(some, axis=axis)).mean()) for axis in range(3))
    if max(faces, y) < x / 2:
        seen = f"The stack of shape {images.shape} looks like {images.shape[-1]} faces along"
        warn(f"{seen} the last axis, not the first: if so, give np.moveaxis(images, -1, 0).")


def pixel_blocks(images: Any) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield the pictures of a numpy or lazy stack in memory, some faces at a time."""
    n = len(images)
    rows = max(1, _BLOCK_VALUES // int(np.prod(images.shape[1:])))
    for first in range(0, n, rows):
        faces = slice(first, min(first + rows, n))
        yield faces, as_declared(images, faces)
        let_go(images, faces)


def as_declared(images: Any, faces: slice) -> NDArray[Any]:
    """Read some pictures of a numpy or lazy stack, if they are of the type that it says."""
    block = np.asarray(images[faces])
    if block.dtype != images.dtype:
        found = f"The stack declares {images.dtype} pixels, but {block.dtype} came from its"
        raise TypeError(f"{found} blocks: give map_blocks and the like the right dtype=.")
    return block


def let_go(images: Any, faces: slice) -> None:
    """Let the system take back the memory of some faces of a mapped file, changed or not."""
    if not isinstance(images, np.memmap):
        return
    seen: Any = images[faces]
    pages = getattr(seen, "_mmap", None)
    is_in_one = seen.flags.c_contiguous and hasattr(mmap, "MADV_DONTNEED")
    if pages is None or seen.mode == "c" or not is_in_one:
        return
    first = seen.ctypes.data - np.frombuffer(pages, np.uint8).ctypes.data
    start, stop = first + -first % mmap.PAGESIZE, first + seen.nbytes
    if stop > start:
        # which count as the program's own until there is no other memory left
        pages.madvise(mmap.MADV_DONTNEED, start, stop - start)


def peak(images: Any, names: tuple[str, ...], mask: NDArray[np.bool_] | None = None) -> float:
    """Return the largest pixel, or 0, after `check_pixels` of all that no mask (h, w) hides."""
    largest = 0.0
    for faces, block in pixel_blocks(images):
        if mask is not None:
            hidden = over_channels(mask, block.shape[1:])
            block = np.where(hidden, block.dtype.type(0), block)  # noqa: PLW2901
        check_pixels(block, names[faces])
        largest = max(largest, float(block.max()))
    return largest


def unit_scale(largest: float, dtype: np.dtype[Any]) -> float:
    """Return the pixel value that becomes 1 in a fit, where it is not known: the largest."""
    # floats up to 1 stay, unless they are below one grey level: a matter of units
    is_share = dtype.kind == "f" and 1 / 255 <= largest <= 1
    return 1.0 if is_share else largest or 1.0


def as_matrix(stack: FaceStack) -> tuple[NDArray[Any], float]:
    """Return the checked pixels as rows (n, p), over the scale (of `unit_scale`), and that."""
    X = np.empty((len(stack), math.prod(stack.picture_shape)), matrix_dtype(stack.dtype))
    for faces, block in pixel_blocks(stack.images):
        check_pixels(block, stack.names[faces])
        X[faces] = block.reshape(len(block), -1)
    scale = stack.known_scale or unit_scale(float(X.max()), stack.dtype)
    X /= X.dtype.type(scale)
    return X, scale


def matrix_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return float64 for pixels of 32 bits and more that are not float32, else float32."""
    return np.dtype(np.float32 if np.result_type(dtype, "f4") == "f4" else np.float64)


def as_pixels(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return floats in the units of pixels as their type: rounded and clipped for integers."""
    if dtype.kind == "b":
        return values >= 0.5
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        # 64 bits hold more than a float can tell, and the largest float is beyond them
        most = np.nextafter(float(limits.max), 0) if limits.bits > 53 else limits.max
        exact = values if limits.bits <= 16 else np.asarray(values, np.float64)
        values = np.rint(exact).clip(limits.min, most)
    return values.astype(dtype)


def check_pixels(block: NDArray[Any], names: tuple[str, ...]) -> None:
    """Say which face has a pixel that cannot be factorized."""
    for bad, what, advice in (
        (~np.isfinite(block), "NaN or infinite", _ADVICE),
        (block < 0, "negative", "shift or clip them first: a fit needs values of 0 or more"),
    ):
        faces = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
        if len(faces):
            others = f" (and {len(faces) - 1} other faces)" if len(faces) > 1 else ""
            raise ValueError(f"{names[faces[0]]!r}{others} has {what} pixels; {advice}.")


_LUMINANCE = np.array((19595, 38470, 7471))  # ITU-R BT.601 times 65536, as Pillow has it


def luminance(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return colours of shape (..., 3) as grey values of the same type, after ITU-R BT.601."""
    is_exact = pixels.dtype.kind in "ui" and pixels.dtype.itemsize <= 4
    colours = pixels.reshape(-1, 3)
    grey = np.empty(len(colours), pixels.dtype)
    for first in range(0, len(grey), 2**18):  # which take eight times the memory
        some = slice(first, first + 2**18)
        if is_exact:
            grey[some] = (colours[some] @ _LUMINANCE + 32768) >> 16
        else:
            grey[some] = colours[some] @ (_LUMINANCE / 65536)
    return grey.reshape(pixels.shape[:-1])


def over_channels(mask: NDArray[Any], picture_shape: tuple[int, ...]) -> NDArray[Any]:
    """Return masks (..., h, w) of pictures of any shape, the same for all channels."""
    if len(picture_shape) == 2:
        return mask
    return np.broadcast_to(mask[..., None], (*mask.shape, picture_shape[-1]))


@dataclass(frozen=True, eq=False)
class FaceStack:
    """Pictures of one size, in grey or in colour, stacked along their first axis.

    Parameters
    ----------
    images : numpy or dask array of shape (n, h, w) or (n, h, w, 3)
        The pictures in their own units (for 8-bit files 0 to 255). A dask array is
        read block by block when it is looked at.
    names : tuple of str, length n
        Path of each picture relative to the folder or archive, with ``/`` between parts.
        What is not printable is escaped, and an invisible character keeps HTML from beginning.
    subjects : tuple of str, length n, or None
        Whose face each picture shows, or None where the names do not tell.
    report : ReadReport
        What was read, resized, passed over and skipped.
    source : str
        The folder or archive that was read.
    transforms : array of shape (n, 3, 3), or None
        Of aligned faces: each takes a point (y, x, 1) of the aligned picture, in pixels of
        the whole picture before cropping, to (y, x, 1) of the original.
    frame : (int, int, int, int), or None
        Of aligned faces: where pixel (0, 0) is in the whole picture, and its height and width.
    white : float or None
        The pixel value, which becomes 1, that files declare to be white, as a PGM's maximum.
    """

    images: Any
    names: tuple[str, ...]
    subjects: tuple[str, ...] | None = None
    report: ReadReport = field(default_factory=ReadReport)
    source: str = ""
    transforms: NDArray[np.float64] | None = None
    frame: tuple[int, int, int, int] | None = None
    white: float | None = None

    def __post_init__(self) -> None:
        if self.images.ndim != 3 and self.images.shape[3:] != (3,):
            needed = "images must have the shape (face, y, x) or (face, y, x, 3)"
            raise ValueError(f"{needed}, got {tuple(self.images.shape)}.")
        n = len(self.images)
        for what in ("names", "subjects", "transforms"):
            found = getattr(self, what)
            if found is not None and len(found) != n:
                raise ValueError(f"{n} pictures but {len(found)} {what}.")
        make_names_harmless(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of faces, height and width in pixels, and 3 in colour."""
        return tuple(self.images.shape)

    @property
    def picture_shape(self) -> tuple[int, ...]:
        """Shape of a picture: (h, w) in grey, (h, w, 3) in colour."""
        return self.shape[1:]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a picture in pixels."""
        h, w = self.shape[1:3]
        return h, w

    @property
    def in_colour(self) -> bool:
        """Whether the pictures are in colour."""
        return len(self.shape) == 4

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel."""
        dtype: np.dtype[Any] = np.dtype(self.images.dtype)
        return dtype

    @property
    def known_scale(self) -> float | None:
        """The pixel value that becomes 1, where it is known without a look at the pixels."""
        return {"bool": 1.0, "uint8": 255.0}.get(self.dtype.name, self.white)

    @property
    def is_lazy(self) -> bool:
        """Whether the pictures are read only when they are looked at."""
        return not isinstance(self.images, np.ndarray)

    @property
    def matrix(self) -> Any:
        """The pictures as rows: a view of shape (n, p)."""
        return self.images.reshape(len(self), math.prod(self.picture_shape))

    def to_grey(self) -> FaceStack:
        """Return the stack in grey, of which a fit takes a third of the time and memory."""
        if not self.in_colour:
            return self
        if self.is_lazy and hasattr(self.images, "map_blocks"):
            meta = np.empty((0, 0, 0), self.dtype)
            grey = self.images.rechunk({3: 3}).map_blocks(luminance, drop_axis=3, meta=meta)
        else:
            grey = np.empty(self.shape[:3], self.dtype)
            for faces, block in pixel_blocks(self.images):
                grey[faces] = luminance(block)
        return replace(self, images=grey, report=replace(self.report, options=None))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, faces: slice | int | Sequence[int] | NDArray[Any]) -> FaceStack:
        """Return the stack of some of the faces, or of one; the report stays that of all."""
        chosen = np.atleast_1d(np.arange(len(self))[faces])
        return replace(
            self,
            images=self.images[faces if isinstance(faces, slice) else chosen],
            names=tuple(self.names[i] for i in chosen),
            subjects=self.subjects and tuple(self.subjects[i] for i in chosen),
            report=replace(self.report, options=None),  # reading again would give all of them
            transforms=None if self.transforms is None else self.transforms[chosen],
        )

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        return np.array(self.images, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        faces = f"{len(self)} {'lazy ' * self.is_lazy}faces of {in_pixels(self.picture_shape)}"
        return f"FaceStack({faces}, {self.dtype}, {self.source!r})"


class LazyStack:
    """What napari and NumPy ask of an array (n, h, w[, 3]), computed slice by slice."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.ndim, self.size = len(shape), math.prod(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def _pick(self, faces: Any, *inner: Any) -> NDArray[Any]:
        """Return some pictures, or one, of which `inner` picks pixels, an index an axis."""
        raise NotImplementedError

    def __getitem__(self, key: Any) -> NDArray[Any]:
        parts = list(key) if isinstance(key, tuple) else [key]
        for at in [at for at, part in enumerate(parts) if part is Ellipsis]:  # one at most
            parts[at : at + 1] = [slice(None)] * (self.ndim + 1 - len(parts))
        if len(parts) > self.ndim:
            raise IndexError(f"The stack has {self.ndim} axes, got {len(parts)} indices.")
        return self._pick(*parts, *[slice(None)] * (self.ndim - len(parts)))

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        if copy is False:
            raise ValueError("The pictures are computed when asked for: a copy is needed.")
        return np.asarray(self[:], dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"


def crop(images: Any, *inner: Any) -> Any:
    """Pick pixels by an index for each of the last axes, whatever axes stand before them."""
    for at, part in enumerate(inner, 1 - len(inner)):  # one by one: sequences would pair up
        images = images[(..., part, *[slice(None)] * -at)]
    return images
