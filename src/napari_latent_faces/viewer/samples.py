"""Sample data: faces for File > Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_latent_faces.stack import FaceStack

if TYPE_CHECKING:
    from napari_latent_faces.viewer.layers import LayerData

__all__ = ["lfw_faces", "olivetti_faces", "read_lfw_subset", "read_olivetti", "synthetic_faces"]

_REMEDY = (
    "Check the network connection and try again, or open faces of your own with "
    "File > IO Utilities > Open folder of faces..."
)


def synthetic_faces() -> list[LayerData]:
    """Return 400 drawn faces of 40 people as an image layer.

    The window stays alive and shows a progress bar that can be cancelled.
    """
    from napari.utils.notifications import show_info

    from napari_latent_faces.steps import drain
    from napari_latent_faces.synthetic import iter_draw_faces
    from napari_latent_faces.viewer.reader import NO_LAYER, Cancelled, ReadProgress

    try:
        with ReadProgress("drawing faces") as progress:
            stack = drain(iter_draw_faces(), lambda step: progress(*step))
    except Cancelled:
        show_info("Drawing was cancelled; nothing was opened.")
        return [NO_LAYER]
    return _labelled_layer(stack, "drawn faces")


def lfw_faces() -> list[LayerData]:
    """Return the 100 real faces that come with scikit-image as an image layer."""
    return _labelled_layer(read_lfw_subset(), "LFW faces")


def olivetti_faces() -> list[LayerData]:
    """Return the 400 Olivetti faces as an image layer; the first time they are downloaded."""
    from napari.utils import progress
    from napari.utils.notifications import show_info

    try:
        stack = read_olivetti(download=False)
    except FileNotFoundError:
        show_info("Downloading the Olivetti faces (about 4 MB, only this once).")
        with progress(total=0, desc="downloading the Olivetti faces"):
            stack = read_olivetti()
    return _labelled_layer(stack, "Olivetti faces")


def _labelled_layer(stack: FaceStack, name: str) -> list[LayerData]:
    """Return a sample as an image layer, and let its viewer name the faces."""
    from napari_latent_faces.viewer.layers import faces_layer
    from napari_latent_faces.viewer.session import label_current_viewer

    label_current_viewer()
    return [faces_layer(stack, name)]


def read_lfw_subset() -> FaceStack:
    """Read the pictures of Labeled Faces in the Wild that scikit-image ships.

    Returns
    -------
    FaceStack
        100 faces of 25 x 25 pixels, float32 between 0 and 1, of unknown subjects.

    Raises
    ------
    OSError
        If this installation of scikit-image lacks the pictures and cannot download them.
    """
    import numpy as np
    from skimage.data import lfw_subset

    from napari_latent_faces.stack import ReadReport

    try:
        pictures = lfw_subset()  # type: ignore[no-untyped-call]
    except (OSError, ModuleNotFoundError) as error:  # not bundled; offline or without pooch
        raise OSError(
            f"The LFW faces of scikit-image could not be read: {error} {_REMEDY}"
        ) from error
    faces = pictures[:100].astype(np.float32)  # the second hundred shows no faces
    n = len(faces)
    names = tuple(f"{i:03}.png" for i in range(1, n + 1))
    return FaceStack(faces, names, None, ReadReport(n_read=n), "LFW subset of scikit-image")


def read_olivetti(*, download: bool = True) -> FaceStack:
    """Read the Olivetti faces: the ORL faces at 64 x 64 pixels, as scikit-learn keeps them.

    Parameters
    ----------
    download : bool
        Whether to download them into scikit-learn's data folder if they are not there.

    Returns
    -------
    FaceStack
        400 faces of 40 subjects, ten each, float32 between 0 and 1.

    Raises
    ------
    FileNotFoundError
        If they are not there and `download` is False.
    OSError
        If they cannot be downloaded.
    """
    from sklearn.datasets import fetch_olivetti_faces

    from napari_latent_faces.stack import ReadReport

    try:
        bunch = fetch_olivetti_faces(download_if_missing=download, n_retries=1)
    except OSError as error:
        if not download:
            raise FileNotFoundError(
                "The Olivetti faces have not been downloaded yet."
            ) from error
        raise OSError(
            f"The Olivetti faces could not be downloaded: {error}. {_REMEDY}"
        ) from error
    subjects = tuple(f"s{int(subject) + 1:02}" for subject in bunch.target)
    n = len(subjects)
    return FaceStack(
        bunch.images, _picture_names(subjects), subjects, ReadReport(n_read=n), "Olivetti faces"
    )


def _picture_names(subjects: tuple[str, ...]) -> tuple[str, ...]:
    """Return names such as ``s02/10.png``, counting the pictures of each subject."""
    counts: dict[str, int] = {}
    names = []
    for subject in subjects:
        counts[subject] = counts.get(subject, 0) + 1
        names.append(f"{subject}/{counts[subject]:02}.png")
    return tuple(names)
