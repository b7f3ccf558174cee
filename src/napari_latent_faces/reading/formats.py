"""Which files are pictures, told by their names and by how they start."""

from __future__ import annotations

import re
from enum import Enum, auto

__all__ = [
    "FORMATS",
    "HEAD_BYTES",
    "Judgement",
    "Verdict",
    "is_picture_name",
    "judge_name",
    "starts_like_picture",
]

# The formats that are decoded, as Pillow names them, and their usual extensions. Nothing
# else is ever handed to a decoder, whatever a file claims to be.
FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "PPM": (".pgm", ".ppm", ".pbm", ".pnm", ".pfm"),
}

HEAD_BYTES = 32  # enough to know any of them

_PICTURES = frozenset(extension for group in FORMATS.values() for extension in group)

# Pictures of other formats: not read, but not passed over in silence either.
_OTHER_PICTURES = frozenset(
    {".avif", ".heic", ".heif", ".ico", ".j2k", ".jp2", ".jxl", ".pcx", ".ras", ".tga"}
    | {".cr2", ".dng", ".eps", ".exr", ".hdr", ".nef", ".psd", ".svg", ".xcf"}
)

# Files that lie about beside pictures and are never opened.
_NO_PICTURES = frozenset(
    {".cfg", ".conf", ".htm", ".html", ".info", ".ini", ".log", ".md", ".rst", ".tex", ".txt"}
    | {".csv", ".dat", ".db", ".json", ".pts", ".sql", ".sqlite", ".toml", ".tsv", ".xml"}
    | {".yaml", ".yml", ".h5", ".hdf5", ".mat", ".npy", ".npz", ".pickle", ".pkl"}
    | {".bat", ".bin", ".c", ".cpp", ".css", ".dll", ".exe", ".h", ".ipynb", ".js", ".m"}
    | {".py", ".pyc", ".sh", ".so", ".lnk", ".lock", ".url"}
    | {".doc", ".docx", ".odt", ".pdf", ".rtf", ".xls", ".xlsx"}
    | {".avi", ".mkv", ".mov", ".mp3", ".mp4", ".mpg", ".srt", ".wav"}
    | {".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip"}
)

_MAGIC = re.compile(
    rb"\x89PNG\r\n\x1a\n"
    rb"|\xff\xd8\xff"
    rb"|GIF8[79]a"
    rb"|II[*+]\0|MM\0[*+]"
    rb"|RIFF....WEBP"
    rb"|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"
    rb"|P[1-6f][ \t\r\n]+[#0-9]",
    re.DOTALL,
)


class Judgement(Enum):
    """What a file's name says about it."""

    PICTURE = auto()
    UNKNOWN = auto()  # its content decides
    SKIP = auto()  # looks like a picture, but is not read
    PASS_OVER = auto()  # no picture


Verdict = tuple[Judgement, str]


def extension_of(name: str) -> str:
    """Return the extension of a file's name, in lower case and with its dot."""
    stem, dot, end = name.rpartition(".")
    return f".{end.lower()}" if dot and stem else ""


def is_picture_name(name: str) -> bool:
    """Tell whether a file's name ends like that of a picture."""
    return extension_of(name) in _PICTURES


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder of that name is the system's own."""
    return name.startswith(".") or name in {"__MACOSX", "$RECYCLE.BIN"}


def judge_name(name: str) -> Verdict:
    """Judge a file by its name alone.

    Parameters
    ----------
    name : str
        The name without its folders.

    Returns
    -------
    judgement : Judgement
        What is done with the file.
    reason : str
        Why, where it is left out.
    """
    extension = extension_of(name)
    if is_hidden(name):
        return Judgement.PASS_OVER, "hidden or system file"
    if extension in _PICTURES:
        return Judgement.PICTURE, ""
    if extension == ".bad" and is_picture_name(name[: -len(extension)]):
        return Judgement.SKIP, "marked as bad by the makers of the set (.bad)"
    if extension in _OTHER_PICTURES:
        return Judgement.SKIP, f"{extension} pictures are not read: convert them to PNG"
    if extension in _NO_PICTURES:
        return Judgement.PASS_OVER, f"no picture ({extension})"
    return Judgement.UNKNOWN, ""


def starts_like_picture(head: bytes) -> bool:
    """Tell whether a file that starts with these bytes is a picture of a known format."""
    return _MAGIC.match(head) is not None
