"""The process in which risky decoders run; `napari_latent_faces.reading.apart` starts it.

It is run as a file and imports nothing but Pillow, so that it starts at once. Requests come
through the standard input and answers go through the standard output: numbers of bytes,
then the bytes. It ends with its input.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import warnings
from typing import IO, Any

# Two words: the length of the JSON object and that of the bytes behind it.
LENGTHS = struct.Struct("<QQ")


def pack(head: dict[str, Any], content: bytes = b"") -> bytes:
    """Return a message."""
    text = json.dumps(head).encode()
    return LENGTHS.pack(len(text), len(content)) + text + content


def unpack(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Return the next message; None where the stream ends before it is whole."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    n_text, n_content = LENGTHS.unpack(lengths)
    text, content = stream.read(n_text), stream.read(n_content)
    return None if len(content) < n_content else (json.loads(text), content)


def _answer(head: dict[str, Any], content: bytes) -> bytes:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = head["most_pixels"]
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            image = Image.open(io.BytesIO(content), formats=[head["format"]])
            image.load()
        except Exception as error:  # noqa: BLE001 - a hostile file can make a decoder raise anything
            return pack(
                {"error": f"{error}" or type(error).__name__, "memory": _is_full(error)}
            )
    told: dict[str, Any] = {"mode": image.mode, "size": image.size}
    told["warnings"] = [str(warning.message) for warning in heard]
    if image.mode in {"P", "PA"} and image.palette is not None:
        layout, colours = image.palette.getdata()
        told["palette"] = [layout, colours.hex()]
    return pack(told, image.tobytes())


def _is_full(error: Exception) -> bool:
    return isinstance(error, MemoryError)


def main() -> None:
    """Answer requests until there are no more."""
    _limit_memory()
    while request := unpack(sys.stdin.buffer):
        sys.stdout.buffer.write(_answer(*request))
        sys.stdout.buffer.flush()


def _limit_memory() -> None:
    """Let a decoder that asks for too much fail, where the system knows such limits."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit = 4 * 2**30
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > limit:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    main()
