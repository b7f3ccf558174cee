"""What a folder behind a URL holds, listed as one on disk would be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from napari_latent_faces.reading.members import Members
from napari_latent_faces.reading.parallel import PERIOD
from napari_latent_faces.reading.remote import remote_files
from napari_latent_faces.reading.sources import MAX_PICTURE_BYTES, Listing

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["list_url_folder", "while_waiting"]

Result = TypeVar("Result")


def list_url_folder(url: str, pulse: Callable[[], None]) -> Listing:
    """List what a folder behind a URL and the folders in it hold.

    Parameters
    ----------
    url : str
        The folder.
    pulse : callable
        Called many times a second; what it raises ends the listing.

    Raises
    ------
    FileNotFoundError, PermissionError, ConnectionError, ModuleNotFoundError, ValueError
        As `napari_latent_faces.reading.remote.remote_kind`.
    """
    members = Members()
    for file in while_waiting(lambda: remote_files(url), pulse):
        pulse()
        if members.is_wanted(file.name):
            # where the server does not say, it may be as large as is allowed
            size = MAX_PICTURE_BYTES if file.size is None else file.size
            members.add(file.name, size, file.read)
    return members.listing().complete(pulse)


def while_waiting(work: Callable[[], Result], pulse: Callable[[], None]) -> Result:
    """Return what `work` finds in a thread, with `pulse` called on this one meanwhile.

    When `pulse` raises, the work is left to end by itself.
    """
    pool = ThreadPoolExecutor(1, "faces-url")
    try:
        future = pool.submit(work)
        while not wait([future], PERIOD).done:
            pulse()
        return future.result()
    finally:
        pool.shutdown(wait=False)
