"""Risky decoders in a process of their own: a crash there is a broken picture here."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import warnings
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from napari_latent_faces.reading import child

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

__all__ = ["DecoderCrashError", "decoders", "is_risky", "load_apart"]

# A face takes milliseconds; a decoder that takes this long will not end.
PATIENCE = 60.0  # seconds

_SCRIPT = child.__file__

MOST_IDLE = 4  # processes kept for the next picture of a read


class DecoderCrashError(Exception):
    """A decoder ended its process, or had to be ended."""


def is_risky(image: ImageFile) -> bool:
    """Tell whether a picture's decoder is a large library that reads many dialects.

    Those are libtiff (all compressed TIFFs; Pillow reads the others by itself) and libwebp.
    """
    if image.format == "TIFF":
        return any(tile[0] == "libtiff" for tile in image.tile)
    return image.format == "WEBP"


def load_apart(image: ImageFile, content: bytes) -> Image:
    """Decode a picture in another process.

    Parameters
    ----------
    image : PIL.Image.Image
        The picture, opened but not loaded.
    content : bytes
        Its file.

    Returns
    -------
    PIL.Image.Image
        The same, loaded. What the decoder complained about is warned of here.

    Raises
    ------
    DecoderCrashError
        If the decoder crashed, or did not end.
    OSError, MemoryError
        If it found the picture broken or too large.
    """
    from PIL.Image import MAX_IMAGE_PIXELS, frombytes

    request = {"format": image.format, "most_pixels": MAX_IMAGE_PIXELS}
    with decoders.one() as decoder:
        told, pixels = decoder.ask(request, content)
    for message in told.get("warnings", ()):
        warnings.warn(message, UserWarning, stacklevel=2)
    if "error" in told:
        raise (MemoryError if told["memory"] else OSError)(told["error"])
    loaded = frombytes(told["mode"], tuple(told["size"]), pixels)
    if "palette" in told:
        layout, colours = told["palette"]
        loaded.putpalette(bytes.fromhex(colours), layout)
    return loaded


class _Decoder:
    """One process, for one picture at a time."""

    def __init__(self) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process: Any = subprocess.Popen(  # noqa: S603 - this file's neighbour
            [sys.executable, "-P", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows opens one else
        )

    def ask(self, request: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
        late = threading.Timer(PATIENCE, self._process.kill)
        late.daemon = True
        late.start()
        try:
            self._process.stdin.write(child.pack(request, content))
            self._process.stdin.flush()
            answer = child.unpack(self._process.stdout)
        except OSError:  # a pipe that leads nowhere any more
            answer = None
        finally:
            late.cancel()
        said = self._said()
        if answer is None:
            raise DecoderCrashError(self._ending(said))
        answer[0].setdefault("warnings", []).extend(said)
        return answer

    def _said(self) -> list[str]:
        """Return what libraries have written to the standard error since last time."""
        self._complaints.seek(0)
        lines = self._complaints.read().decode("utf-8", "replace").splitlines()
        self._complaints.seek(0)
        self._complaints.truncate()
        return [line.strip() for line in lines if line.strip()]

    def _ending(self, said: list[str]) -> str:
        code = self._process.wait()
        last = f": {said[-1]}" if said else ""
        return f"its decoder crashed (exit code {code}) in a process of its own{last}"

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._complaints):
            with suppress(OSError):  # what was not sent will not be
                stream.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Decoders:
    """The processes of all reads: kept while any read goes on, ended with the last."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # also taken where garbage is collected
        self._idle: list[_Decoder] = []
        self._n_readers = 0
        self._owners: weakref.WeakSet[Any] = weakref.WeakSet()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep processes from one picture to the next, until the block ends."""
        with self._lock:
            self._n_readers += 1
        try:
            yield
        finally:
            self._leave()

    def keep_for(self, owner: object) -> None:
        """Keep processes from one picture to the next, for as long as `owner` lives."""
        with self._lock:
            if owner in self._owners:
                return
            self._owners.add(owner)
            self._n_readers += 1
        weakref.finalize(owner, self._leave)

    def _leave(self) -> None:
        with self._lock:
            self._n_readers -= 1
            ended, self._idle = ([], self._idle) if self._n_readers else (self._idle, [])
        for decoder in ended:
            decoder.close()

    @contextmanager
    def one(self) -> Iterator[_Decoder]:
        """Lend a process to this thread; one that has crashed is not taken back."""
        with self._lock:
            decoder = self._idle.pop() if self._idle else None
        decoder = decoder or _Decoder()
        try:
            yield decoder
        finally:
            with self._lock:
                keep = self._n_readers and len(self._idle) < MOST_IDLE and decoder.is_alive()
                if keep:
                    self._idle.append(decoder)
            if not keep:
                decoder.close()


decoders = _Decoders()
