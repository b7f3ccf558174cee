"""What zip and tar archives have in common: names, members, and what damage is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_latent_faces.reading.formats import is_hidden
from napari_latent_faces.reading.remote import shown
from napari_latent_faces.reading.sources import Listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ArchiveError", "Members", "damage_named", "inner_name"]


class ArchiveError(ValueError):
    """An archive cannot be read: damaged, encrypted, or a bomb."""


@contextmanager
def damage_named(path: str) -> Iterator[None]:
    """Turn whatever an archive's decoder raises into an `ArchiveError` that names it."""
    try:
        yield
    except (ArchiveError, ConnectionError):  # the way to it broke, not the archive
        raise
    except MemoryError as error:
        raise ArchiveError(
            f"The archive {shown(path)} asks for more memory than is free: unpack it and open "
            "the folder."
        ) from error
    except Exception as error:  # a hostile file can make a decoder raise anything
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise ArchiveError(
            f"The archive {shown(path)} is damaged ({words}): get it again, or unpack what is "
            "left of it and open the folder."
        ) from error


def inner_name(name: str) -> str:
    """Return a member's name as a plain relative path, whatever it claims."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in {"", ".", ".."})


class Members:
    """The files of an archive or bucket under their names; of several, the last counts."""

    def __init__(self) -> None:
        self._found = Listing()
        self._files: dict[str, tuple[int, Callable[[int], bytes]]] = {}
        self._hidden: set[str] = set()

    def is_wanted(self, name: str) -> bool:
        """Tell whether a member is to be read; record it if it lies in a hidden folder."""
        *folders, base = name.split("/")
        hidden = next((i for i, folder in enumerate(folders) if is_hidden(folder)), None)
        if hidden is not None:
            self._hidden.add("/".join(folders[: hidden + 1]) + "/")
            return False
        if not base:
            self.leave_out(name or "(no name)", "its name is none of a file")
        return bool(base)

    def add(self, name: str, size: int, read: Callable[[int], bytes]) -> None:
        """Put a file under its name, in place of an earlier one."""
        if name in self._files:
            self._found.passed_over.append((name, "replaced by a later file of that name"))
        self._files[name] = size, read

    def leave_out(self, name: str, reason: str) -> None:
        """Record a file that is not read."""
        self._found.leave_out(name, reason)

    def listing(self) -> Listing:
        """Return what was found."""
        for name, (size, read) in self._files.items():
            self._found.add(name, size, read)
        for folder in self._hidden:
            self._found.passed_over.append((folder, "hidden or system folder"))
        return self._found
