"""Where a model comes from: its faces, its fit, and the software that made it."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.masks import mask_to_text
from napari_latent_faces.pixels import pixel_blocks
from napari_latent_faces.report import harmless

if TYPE_CHECKING:
    from napari_latent_faces.stack import FaceStack

__all__ = ["Provenance", "StopReason", "library_versions"]

StopReason = Literal["converged", "max_iter", "stopped"]

# a library by its name, and the module that is loaded where it is used
_ARITHMETIC = {"numpy": "numpy", "scikit-learn": "sklearn", "scipy": "scipy"}
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(map(harmless, self.names)))
        if self.subjects is not None:
            object.__setattr__(self, "subjects", tuple(map(harmless, self.subjects)))

    @classmethod
    def of(cls, stack: FaceStack, n_iter: int, stop_reason: StopReason) -> Provenance:
        """Return where a model comes from that is fitted now.

        Parameters
        ----------
        stack : FaceStack
            The faces.
        n_iter : int
            Iterations made.
        stop_reason : {"converged", "max_iter", "stopped"}
            Why it ended.

        Returns
        -------
        Provenance
            With the versions of the libraries that are loaded.
        """
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
        )

    def with_missing(self, mask: Any) -> Provenance:
        """Return the same of a fit that left out what a mask (n, h, w) marks."""
        count = sum(int(np.count_nonzero(block)) for _, block in pixel_blocks(mask))
        text = mask_to_text(mask)
        return replace(self, n_missing=count, missing=text if len(text) <= _LONGEST else "")

    def of_other_faces(self, stack: FaceStack, **changes: Any) -> Provenance:
        """Return the same for weights of other faces, of which nothing was left out.

        Parameters
        ----------
        stack : FaceStack
            The other faces.
        **changes
            What else is not the same.
        """
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
    from napari_latent_faces import __version__

    versions = {"napari-latent-faces": __version__, "python": platform.python_version()}
    for name, module in _ARITHMETIC.items():
        if version := getattr(sys.modules.get(module), "__version__", None):
            versions[name] = version
    if "napari_latent_faces.nmf.kernel" in sys.modules:  # compiled by numba
        versions["numba"] = sys.modules["numba"].__version__
    return versions
