"""A stack of faces: pictures of one size with their names and subjects."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.report import ReadReport, harmless

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

__all__ = ["FaceStack"]


@dataclass(frozen=True, eq=False)
class FaceStack:
    """Grey pictures of one size, stacked along their first axis.

    Parameters
    ----------
    images : numpy or dask array of shape (n, h, w)
        The pictures in their own units (for 8-bit files 0 to 255). A dask array is
        read block by block when it is looked at.
    names : tuple of str, length n
        Path of each picture relative to the folder or archive, with ``/`` between parts.
        What is not printable in names and subjects is escaped, and an invisible character
        keeps ``<`` and ``&`` from beginning HTML.
    subjects : tuple of str, length n, or None
        Whose face each picture shows, or None where the names do not tell.
    report : ReadReport
        What was read, resized, passed over and skipped.
    source : str
        The folder or archive that was read.

    Raises
    ------
    ValueError
        If `images` is not three-dimensional or the lengths differ.
    """

    images: Any
    names: tuple[str, ...]
    subjects: tuple[str, ...] | None = None
    report: ReadReport = field(default_factory=ReadReport)
    source: str = ""

    def __post_init__(self) -> None:
        if self.images.ndim != 3:
            raise ValueError(
                f"images must have the shape (face, y, x), got {self.images.ndim} dimensions."
            )
        n = len(self.images)
        if len(self.names) != n:
            raise ValueError(f"{n} pictures but {len(self.names)} names.")
        if self.subjects is not None and len(self.subjects) != n:
            raise ValueError(f"{n} pictures but {len(self.subjects)} subjects.")
        object.__setattr__(self, "names", tuple(map(harmless, self.names)))
        if self.subjects is not None:
            object.__setattr__(self, "subjects", tuple(map(harmless, self.subjects)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of faces, height and width in pixels."""
        n, h, w = self.images.shape
        return n, h, w

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel."""
        dtype: np.dtype[Any] = np.dtype(self.images.dtype)
        return dtype

    @property
    def is_lazy(self) -> bool:
        """Whether the pictures are read only when they are looked at."""
        return not isinstance(self.images, np.ndarray)

    @property
    def matrix(self) -> Any:
        """The pictures as rows: a view of shape (n, h * w)."""
        n, h, w = self.shape
        return self.images.reshape(n, h * w)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, faces: slice | int | Sequence[int] | NDArray[Any]) -> FaceStack:
        """Return the stack of some of the faces, or of one; the report stays that of all."""
        chosen = np.atleast_1d(np.arange(len(self))[faces])
        subjects = self.subjects and tuple(self.subjects[i] for i in chosen)
        report = self.report
        if report.options is not None:  # reading again would give all of them
            report = replace(report, options=None)
        return FaceStack(
            self.images[faces if isinstance(faces, slice) else chosen],
            tuple(self.names[i] for i in chosen),
            subjects,
            report,
            self.source,
        )

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        return np.array(self.images, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        n, h, w = self.shape
        kind = "lazy " if self.is_lazy else ""
        return f"FaceStack({n} {kind}faces of {w} x {h} pixels, {self.dtype}, {self.source!r})"
