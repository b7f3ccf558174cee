"""PBM, PGM, PPM and PFM pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PnmHeader", "read_pnm", "read_pnm_header"]

HEADER_BYTES = 2**16  # of which all but some dozen are comments

MAX_COMMENTS = 2**16  # among pixels
CHUNK_BYTES = 2**16

_BLANKS = b" \t\r\n\v\f"
_FIELD = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])+([^\s#]+)")
_COMMENT = re.compile(rb"#[^\r\n]*")


@dataclass(frozen=True)
class PnmHeader:
    """What the header tells.

    Parameters
    ----------
    kind : str
        ``P1`` to ``P6``, ``Pf`` or ``PF``.
    shape : (height, width)
        In pixels.
    most : float
        The largest value; for floats the scale, which is negative if they are little-endian.
    start : int
        The first byte of the pixels.
    """

    kind: str
    shape: tuple[int, int]
    most: float
    start: int

    @property
    def in_colour(self) -> bool:
        """Whether a pixel has three values."""
        return self.kind in {"P3", "P6", "PF"}

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a value."""
        if self.kind in {"Pf", "PF"}:
            return np.dtype(np.float32)
        return np.dtype(np.uint8 if self.most <= 255 else np.uint16)


def read_pnm_header(content: bytes) -> PnmHeader:
    """Read the header of a picture, of whose file the first `HEADER_BYTES` are enough.

    Raises
    ------
    ValueError
        If it is none.
    """
    head = content[:HEADER_BYTES]
    kind = head[:2].decode("latin-1")
    fields, place = [], 2
    for _ in range(2 if kind in {"P1", "P4"} else 3):
        found = _FIELD.match(head, place)
        if found is None or len(found[1]) > 20:
            raise ValueError("damaged: its header has no end")
        fields.append(found[1])
        place = found.end()
    is_float = kind in {"Pf", "PF"}
    width, height = int(fields[0]), int(fields[1])
    most = 1.0 if len(fields) == 2 else float(fields[2]) if is_float else int(fields[2])
    if not is_float and not 0 < most < 65536:
        raise ValueError(f"damaged: its largest value is {most}")
    if is_float and not (most and np.isfinite(most)):
        raise ValueError(f"damaged: its scale is {most}")
    return PnmHeader(kind, (height, width), most, place + 1)


def read_pnm(content: bytes, header: PnmHeader) -> NDArray[Any]:
    """Return the pixels, (h, w) or (h, w, 3), with white at 255 or 65535.

    Raises
    ------
    ValueError
        If there are too few, or they are no numbers.
    """
    height, width = header.shape
    shape = (height, width, 3) if header.in_colour else (height, width)
    n = int(np.prod(shape))
    values: NDArray[Any]
    if header.kind in {"P1", "P2", "P3"}:
        values = _written(content[header.start :], n, header)
        if values.size and not 0 <= values.min() <= values.max() <= header.most:
            raise ValueError("damaged: a pixel is out of range")
    elif header.kind == "P4":
        row = (width + 7) // 8
        packed = np.frombuffer(content, np.uint8, offset=header.start)[: height * row]
        if len(packed) < height * row:
            raise ValueError("truncated: some pixels are missing")
        values = np.unpackbits(packed.reshape(height, row), axis=1)[:, :width].ravel()
    else:
        values = np.frombuffer(_whole(content, header), _stored(header), n, header.start)
    if len(values) < n:
        raise ValueError("truncated: some pixels are missing")
    pixels: NDArray[Any] = values.reshape(shape)
    if header.dtype.kind == "f":  # from the bottom row to the top one
        return pixels[::-1].astype(header.dtype)
    if header.kind in {"P1", "P4"}:
        return np.where(pixels, 0, 255).astype(np.uint8)
    white = 255 if header.most <= 255 else 65535
    if header.most != white:
        pixels = pixels.clip(0, int(header.most)) * float(white) / header.most + 0.5
    return pixels.astype(header.dtype, copy=False)


def _stored(header: PnmHeader) -> np.dtype[Any]:
    if header.dtype.kind == "f":
        return np.dtype("<f4" if header.most < 0 else ">f4")
    return header.dtype.newbyteorder(">")


def _whole(content: bytes, header: PnmHeader) -> bytes:
    n = int(np.prod(header.shape)) * (3 if header.in_colour else 1)
    if len(content) < header.start + n * header.dtype.itemsize:
        raise ValueError("truncated: some pixels are missing")
    return content


def _written(text: bytes, n: int, header: PnmHeader) -> NDArray[Any]:
    """Return the first numbers of a text."""
    if text.count(b"#") > MAX_COMMENTS:
        raise ValueError(f"more than {MAX_COMMENTS} comments: no face has that many")
    text = _COMMENT.sub(b"", text)
    if header.kind == "P1":  # its digits need no blanks between them
        return np.frombuffer(text.translate(None, _BLANKS), np.uint8)[:n] - ord("0")
    return _numbers(text, n)


def _numbers(text: bytes, n: int) -> NDArray[np.int32]:
    """Return the first numbers of a text, some at a time: other threads want to work, too."""
    found, n_found, place = [], 0, 0
    while place < len(text) and n_found < n:
        end = place + CHUNK_BYTES
        while text[end : end + 1].strip():  # not in the middle of a number
            end += 1
        words = text[place:end].split(None, n - n_found)[: n - n_found]
        if words and (max(map(len, words)) > 5 or not b"".join(words).isdigit()):
            raise ValueError("damaged: a pixel is no number")
        found.append(np.array(words, "S5").astype(np.int32))
        n_found += len(words)
        place = end
    return np.concatenate(found or [np.empty(0, np.int32)])
