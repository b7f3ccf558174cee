"""What the names of files tell: formats, order, whose picture it is."""

from __future__ import annotations

import re
import unicodedata
from enum import Enum, auto
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

# -- Which files are pictures, told by their names and by how they start ---------------

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
_OTHER_PICTURES = (
    *(".avif", ".heic", ".heif", ".ico", ".j2k", ".jp2", ".jxl", ".pcx", ".ras", ".tga"),
    *(".cr2", ".dng", ".eps", ".exr", ".hdr", ".nef", ".psd", ".svg", ".xcf"),
)

# Files that lie about beside pictures and are never opened.
_NO_PICTURES = frozenset(
    {".cfg", ".conf", ".htm", ".html", ".info", ".ini", ".log", ".md", ".rst", ".tex", ".txt"}
    | {".csv", ".dat", ".db", ".json", ".jsonl", ".ndjson", ".pts", ".sql", ".sqlite", ".toml"}
    | {".tsv", ".xml", ".yaml", ".yml", ".h5", ".hdf5", ".mat", ".npy", ".npz", ".pickle"}
    | {".pkl", ".bat", ".bin", ".c", ".cpp", ".css", ".dll", ".exe", ".h", ".ipynb", ".js"}
    | {".m", ".py", ".pyc", ".sh", ".so", ".lnk", ".lock", ".url", ".doc", ".docx", ".odt"}
    | {".pdf", ".rtf", ".xls", ".xlsx", ".avi", ".mkv", ".mov", ".mp3", ".mp4", ".mpg", ".srt"}
    | {".wav", ".bz2", ".gz", ".xz"}
)

_PACKED = (".gz", ".bz2", ".xz")  # of one file, such as 1.pgm.gz

# Files that may well hold faces, but are not looked into.
_UNREAD = {
    **{end: f"{end} pictures are not read: convert them to PNG" for end in _OTHER_PICTURES},
    **dict.fromkeys((".7z", ".rar"), "an archive of a kind that is not read: unpack it first"),
    **dict.fromkeys((".tar", ".tgz", ".zip"), "an archive: open it by itself"),
    ".z": "compressed by compress (.Z), which is not read: unpack it first",
    ".rda": "a file of R, which is not read: save its faces as pictures, .npy or .csv first",
}

_MAGIC = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|II[*+]\0|MM\0[*+]|RIFF....WEBP"
    rb"|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0|P[1-6f][ \t\r\n]+[#0-9]",
    re.DOTALL,
)

# Files that may list pictures and say whose they are.
_TABLES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
MAX_TABLE_BYTES = 2**25


class Judgement(Enum):
    """What a file's name says about it."""

    PICTURE = auto()
    UNKNOWN = auto()  # its content decides
    SKIP = auto()  # looks like a picture, but is not read
    PASS_OVER = auto()  # no picture


def _extension(name: str) -> str:
    """Return the extension of a file's name, in lower case and with its dot."""
    stem, dot, end = name.rpartition(".")
    return f".{end.lower()}" if dot and stem else ""


def _unpacked_name(name: str) -> str:
    """Return a file's name without the ending that says how it is compressed."""
    extension = _extension(name)
    return name[: -len(extension)] if extension in _PACKED else name


def is_picture_name(name: str) -> bool:
    """Tell whether a file's name ends like that of a picture, maybe of a compressed one."""
    return _extension(_unpacked_name(name)) in _PICTURES


def is_table_name(name: str) -> bool:
    """Tell whether a file's name is one that a list of pictures may have."""
    return name.lower().endswith(_TABLES)


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder of that name is the system's own."""
    return name.startswith(".") or name in {"__MACOSX", "$RECYCLE.BIN"}


def judge_name(name: str) -> tuple[Judgement, str]:
    """Judge a file by its name without its folders; the reason says why it is left out."""
    extension = _extension(name)
    if is_hidden(name):
        return Judgement.PASS_OVER, "hidden or system file"
    if is_picture_name(name):
        return Judgement.PICTURE, ""
    if extension in _PACKED and _extension(_unpacked_name(name)) == ".tar":
        extension = ".tar"
    if extension == ".bad" and is_picture_name(name[: -len(extension)]):
        return Judgement.SKIP, "marked as bad by the makers of the set (.bad)"
    if extension in _UNREAD:
        return Judgement.SKIP, _UNREAD[extension]
    if extension in _NO_PICTURES:
        return Judgement.PASS_OVER, f"no picture ({extension})"
    return Judgement.UNKNOWN, ""


def starts_like_picture(head: bytes) -> bool:
    """Tell whether a file that starts with these bytes is a picture of a known format."""
    return _MAGIC.match(head) is not None


# -- What the names of face pictures tell: their order and whose faces they are --------

_PAIR = re.compile(r"([0-9]+)[\s._-]+([0-9]+)")

# Folders that are parts of a set, or hold pictures of anybody.
_NO_PERSON = re.compile(
    r"(?:.*[\W_])?(?:train|test|val|valid|validation|training|testing|dev|eval|query|probe)"
    r"(?:ing)?(?:[\W_].*|\d*|_?(?:data|db|database|set|images|faces?|pics?|pictures))?"
    r"|(?:faces?|images?|imgs?|pictures?|photos?|data|dataset|all|crop(?:ped)?|aligned)",
    re.IGNORECASE,
)

# Names of sets that are like no others, without folder and extension.
_SETS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"[AB]([FM][0-9]{2})(?:AF|AN|DI|HA|NE|SA|SU)(?:S|FL|FR|HL|HR)",  # KDEF
        r"(CFD-[A-Z]+-[0-9]+)-[0-9]+-.*",  # Chicago Face Database
        r"([0-9]{3})_[0-9]{2}_[0-9]{2}_[0-9]{3}_[0-9]{2}(?:_.*)?",  # Multi-PIE
        r"([0-9]{5})[a-z]{2}[0-9]{3}[a-z]?(?:_.*)?",  # FERET
        r"(i[0-9]{3})[q-v][a-e]-.*",  # MUCT
        r"Rafd[0-9]+_([0-9]+)_.*",  # Radboud
    )
)

# Names with dates come from cameras and crawlers, and tell when, not who.
_DATE = re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}[-_]?(?:0[1-9]|1[0-2])[-_]?[0-3][0-9]")

# Tried in this order on names without folder and extension; the first decides that fits
# every name and finds the same in some of them.
_PATTERNS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"([^\W\d_]+[0-9]+)(?:[\s._+-].*)?",  # yaleB01_P00A+000E+00, subject01.glasses
        r"([^.]+)\..*",  # KA.AN1.39
        r"(.*[^\s._-])[\s._-]+\(?[0-9]+\)?",  # Aaron_Eckhart_0001, anna (2)
        r"(.*[^\s._0-9-])[0-9]+",  # anna2
        r"([^_]+)_.*",  # an2i_left_angry_open
        r"([^\s-]+)[\s-].*",  # anna happy
    )
)


def natural_key(name: str) -> tuple[str, str]:
    """Return a key by which relative paths sort with ``s2`` before ``s10``.

    Case does not count, except that it keeps the order of names that differ in nothing
    else the same everywhere.
    """

    def sortable(number: re.Match[str]) -> str:
        digits = number.group().lstrip("0")
        return f"\x01{chr(len(digits))}{digits}"  # by its value: its length comes first

    folded = unicodedata.normalize("NFC", name).casefold()
    # a folder's end sorts before all else, a number before all other characters
    return re.sub(r"[0-9]+", sortable, folded.replace("/", "\0")), name


def find_subjects(
    names: Sequence[str], rule: str | Literal[False] | None = None
) -> tuple[str, ...] | None:
    r"""Find out whose face each picture shows, by its path relative to the folder.

    None where that does not tell: all subjects would be the same or all different; ``""`` for
    a picture whose own name does not tell. `rule` is a regular expression whose group
    ``subject``, else its first group, else its whole match is the subject, False for no
    subjects. By default folders of people count (``s1/1.pgm``), else the stems of the names.
    """
    if rule is False:
        return None
    if isinstance(rule, str):
        return _by_expression(names, rule)
    folders = _folders_of_people(names)
    if len(set(folders)) > 1:
        return _if_people(folders, names)
    return _by_stem([_stem(name) for name in names])


def are_in_folders_of_people(names: Sequence[str]) -> bool:
    """Tell whether the folders of the pictures are their subjects."""
    return _if_people(_folders_of_people(names), names) is not None


def _folders_of_people(names: Sequence[str]) -> list[str]:
    """Return the folder of each picture that may be a person, ``""`` where there is none."""
    paths = [
        [part for part in name.split("/")[:-1] if not _NO_PERSON.fullmatch(part)]
        for name in names
    ]
    while paths and all(len(path) > 1 for path in paths):
        parents: dict[str, set[str]] = {}
        for *above, folder in paths:
            parents.setdefault(folder, set()).add("/".join(above))
        if all(len(each) == 1 for each in parents.values()):
            break
        paths = [path[:-1] for path in paths]  # S005/001, S010/001: sessions of a person
    return [path[-1] if path else "" for path in paths]


def _if_people(folders: Sequence[str], names: Sequence[str]) -> tuple[str, ...] | None:
    """Return the folders, unless numbered pictures only go on from one to the next."""
    stems = [_stem(name) for name in names]
    if all(map(str.isdecimal, (*folders, *stems))) and len(set(stems)) == len(stems):
        return None
    return _if_telling(folders)


def _by_expression(names: Sequence[str], rule: str) -> tuple[str, ...]:
    expression = re.compile(rule)
    group: str | int = min(expression.groups, 1)
    if "subject" in expression.groupindex:
        group = "subject"
    found = [expression.search(name) for name in names]
    if names and not any(found):
        raise ValueError(
            f"subjects={rule!r} is found in none of the {len(names)} names, such as "
            f"{names[0]!r}. Change the expression, or leave it out."
        )
    return tuple((match.group(group) or "") if match else "" for match in found)


def _stem(name: str) -> str:
    base = name.rpartition("/")[2]
    return _unpacked_name(base).rpartition(".")[0] if is_picture_name(base) else base


def _by_stem(stems: Sequence[str]) -> tuple[str, ...] | None:
    pairs = [match.groups() for match in map(_PAIR.fullmatch, stems) if match]
    if len(pairs) == len(stems):
        first, second = ([pair[i] for pair in pairs] for i in (0, 1))
        runs = len(set(first)) == len(first) and len(set(second)) < len(second)
        return _if_telling(second if runs else first)  # not the number of the picture
    if stems and all(map(_DATE.search, stems)):
        return None
    for pattern in _SETS + _PATTERNS:
        matches = [pattern.fullmatch(stem) for stem in stems]
        subjects = [match.group(1) for match in matches if match]
        if len(set(subjects)) < len(stems) == len(subjects):
            return _if_telling(subjects)
    return None


def _if_telling(subjects: Sequence[str]) -> tuple[str, ...] | None:
    return tuple(subjects) if 1 < len(set(subjects)) < len(subjects) else None
