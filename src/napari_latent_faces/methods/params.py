"""The parameters of the other methods, one frozen dataclass each.

A parameter that a method does not have is no field of its dataclass: nothing is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from napari_latent_faces.parameters import Parameters, about, parameter

__all__ = [
    "DictionaryParams",
    "ICAParams",
    "KMeansParams",
    "MiniBatchNMFParams",
    "PCAParams",
]

# what several methods share is the same field, so that a form shows it once
_PASSES = about(
    "Max. passes", "How often all faces are seen, at most (max_iter).", min=1, advanced=True
)
_FALL = about(
    "Tolerance",
    "Stop when a pass over all faces lowers the error by less than this share (tol). 0 "
    "never stops early.",
    min=0.0,
    advanced=True,
)
_BATCH = about(
    "Batch size",
    "How many faces are learned from at a time (batch_size).",
    min=1,
    advanced=True,
)


@dataclass(frozen=True)
class PCAParams(Parameters):
    """Parameters of principal component analysis: eigenfaces.

    Parameters
    ----------
    n_components : int, default=20
        How many components: 1 up to the number of faces less one.
    random_state : int or None, default=42
        Seed of the solver ``"randomized"``.
    svd_solver : {"auto", "full", "randomized", "incremental"}, default="auto"
        ``"full"`` and ``"randomized"`` are those of :class:`sklearn.decomposition.PCA`,
        ``"incremental"`` is :class:`sklearn.decomposition.IncrementalPCA`, which reads
        the faces block by block. ``"auto"`` is incremental for stacks of more than 2**27
        pixels (512 MB as float32), else scikit-learn's own choice.

    References
    ----------
    M. Turk, A. Pentland: Eigenfaces for recognition. Journal of Cognitive Neuroscience 3
    (1991), doi:10.1162/jocn.1991.3.1.71.
    """

    method = "pca"
    title = "PCA (eigenfaces)"
    summary = "The directions in which faces differ most from their mean, light and dark."
    coding = "signed"
    is_signed = True

    svd_solver: Literal["auto", "full", "randomized", "incremental"] = parameter(
        "auto",
        "Solver",
        "full: exact. randomized: nearly so, and faster. incremental: block by block, "
        "for stacks that do not fit in memory. auto: by the size of the stack "
        "(svd_solver).",
        choices=("auto", "full", "randomized", "incremental"),
        advanced=True,
    )


@dataclass(frozen=True)
class ICAParams(Parameters):
    """Parameters of independent component analysis (FastICA).

    Parameters
    ----------
    n_components : int, default=20
        How many components: 1 up to the number of faces less one.
    random_state : int or None, default=42
        Seed of the rotation that it starts from.
    independent : {"pictures", "weights"}, default="pictures"
        What is made independent. ``"pictures"``: the components, pixel by pixel, which
        makes them local (Bartlett's architecture I). ``"weights"``: the weights, face by
        face, as :class:`sklearn.decomposition.FastICA` does with faces as samples
        (architecture II).
    fun : {"logcosh", "exp", "cube"}, default="logcosh"
        The contrast function.
    max_iter : int, default=400
        The most iterations.
    tol : float, default=1e-4
        When to stop earlier: the largest change of a direction, as 1 - |cosine|.

    References
    ----------
    M. S. Bartlett, J. R. Movellan, T. J. Sejnowski: Face recognition by independent
    component analysis. IEEE Transactions on Neural Networks 13 (2002),
    doi:10.1109/TNN.2002.804287.
    """

    method = "ica"
    title = "ICA"
    summary = "Turns the eigenfaces until they are as independent as can be: local features."
    coding = "signed"
    is_signed = True

    independent: Literal["pictures", "weights"] = parameter(
        "pictures",
        "Independent",
        "pictures: the components, which makes them local. weights: how faces use "
        "them (independent).",
        choices=("pictures", "weights"),
    )
    fun: Literal["logcosh", "exp", "cube"] = parameter(
        "logcosh",
        "Contrast",
        "The function that measures independence (fun). cube is quick, and misled by outliers.",
        choices=("logcosh", "exp", "cube"),
        advanced=True,
    )
    max_iter: int = parameter(
        400, "Max. iterations", "The most iterations to make (max_iter).", min=1, advanced=True
    )
    tol: float = parameter(
        1e-4,
        "Tolerance",
        "Stop when no component turns by more than this, as 1 - |cosine| (tol).",
        min=0.0,
        advanced=True,
    )


@dataclass(frozen=True)
class DictionaryParams(Parameters):
    """Parameters of sparse dictionary learning, in mini-batches.

    Parameters
    ----------
    n_components : int, default=20
        How many components (atoms): 1 up to the number of faces.
    random_state : int or None, default=42
        Seed of the start and of the order in which faces are seen.
    alpha : float, default=1.0
        Penalty on the sum of the absolute weights of a face, for components of unit
        length and pixels from 0 to 1. More makes faces use fewer components.
    batch_size : int, default=64
        How many faces are learned from at a time; never fewer than there are components.
    max_iter : int, default=20
        How often all faces are seen, at most.
    tol : float, default=1e-3
        Stop when a pass lowers the error by less than this share; 0 never stops early.

    References
    ----------
    J. Mairal, F. Bach, J. Ponce, G. Sapiro: Online dictionary learning for sparse coding.
    ICML (2009), doi:10.1145/1553374.1553463.
    """

    method = "dictionary"
    title = "Sparse dictionary"
    summary = "Components of which each face needs only a few, light and dark."
    coding = "sparse"
    is_signed = True

    alpha: float = parameter(
        1.0,
        "Sparsity",
        "Penalty on the weights: the more, the fewer components a face uses (alpha).",
        min=0.0,
    )
    batch_size: int = field(default=64, metadata=_BATCH)
    max_iter: int = field(default=20, metadata=_PASSES)
    tol: float = field(default=1e-3, metadata=_FALL)


@dataclass(frozen=True)
class MiniBatchNMFParams(Parameters):
    """Parameters of non-negative matrix factorization in mini-batches.

    Parameters
    ----------
    n_components : int, default=20
        How many components: 1 up to the number of faces.
    random_state : int or None, default=42
        Seed of the start and of the order in which faces are seen.
    forget_factor : float, default=0.7
        How much is remembered of earlier batches, from 0 to 1.
    batch_size : int, default=128
        How many faces are learned from at a time; never fewer than there are components.
    max_iter : int, default=20
        How often all faces are seen, at most.
    tol : float, default=1e-3
        Stop when a pass lowers the error by less than this share; 0 never stops early.

    References
    ----------
    A. Lefevre, F. Bach, C. Fevotte: Online algorithms for nonnegative matrix factorization
    with the Itakura-Saito divergence. WASPAA (2011), doi:10.1109/ASPAA.2011.6082314.
    """

    method = "minibatch-nmf"
    title = "Mini-batch NMF"
    summary = "scikit-learn's NMF for many faces: learned from a part of them at a time."
    coding = "non-negative"

    forget_factor: float = parameter(
        0.7,
        "Memory",
        "How much is remembered of earlier batches, from 0 to 1 (forget_factor).",
        min=0.0,
        max=1.0,
        advanced=True,
    )
    batch_size: int = field(default=128, metadata=_BATCH)
    max_iter: int = field(default=20, metadata=_PASSES)
    tol: float = field(default=1e-3, metadata=_FALL)


@dataclass(frozen=True)
class KMeansParams(Parameters):
    """Parameters of k-means, in mini-batches.

    Parameters
    ----------
    n_components : int, default=20
        How many clusters: 1 up to the number of faces.
    random_state : int or None, default=42
        Seed of the start and of the order in which faces are seen.
    batch_size : int, default=256
        How many faces are learned from at a time; never fewer than there are components.
    max_iter : int, default=50
        How often all faces are seen, at most.
    tol : float, default=1e-3
        Stop when a pass lowers the error by less than this share; 0 never stops early.

    References
    ----------
    D. Sculley: Web-scale k-means clustering. WWW (2010), doi:10.1145/1772690.1772862.
    """

    method = "kmeans"
    title = "k-means"
    summary = "Mean faces of groups: every face is shown as that of its group."
    coding = "one-hot"

    batch_size: int = field(default=256, metadata=_BATCH)
    max_iter: int = field(default=50, metadata=_PASSES)
    tol: float = field(default=1e-3, metadata=_FALL)
