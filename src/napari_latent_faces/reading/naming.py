"""What the names of files tell: which are pictures, in which order, and of whom."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from napari_latent_faces.files import CONTENTS, PACKED, read_contents, unpacked_name
from napari_latent_faces.reading.arrays import is_array_name
from napari_latent_faces.stack import ReadReport, harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_PICTURES = re.compile(
    r".+\.(a?png|jpe?g|jpe|jfif|gif|tiff?|bmp|webp|p[gpbn]m|pfm)", re.IGNORECASE | re.DOTALL
)

HEAD_BYTES = 32  # enough to know any of them
_MAGIC = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|II[*+]\0|MM\0[*+]|RIFF....WEBP"
    rb"|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0|P[1-6f][ \t\r\n]+[#0-9]",
    re.DOTALL,
)

# Files that lie about beside pictures and are never opened.
_NO_PICTURES = re.compile(
    r"\.(cfg|conf|html?|info|ini|log|md|rst|tex|txt|csv|dat|db|jsonl?|ndjson|pts|sql|sqlite|toml"
    r"|tsv|xml|ya?ml|h5|hdf5|mat|npy|npz|pickle|pkl|bat|bin|c|cpp|css|dll|exe|h|ipynb|js|m|pyc?"
    r"|sh|so|lnk|lock|url|docx?|odt|pdf|rtf|xlsx?|avi|mkv|mov|mp3|mp4|mpg|srt|wav|bz2|gz|xz)"
)

# Files that may well hold faces, but are not looked into.
_UNREAD = {
    "7z rar": "an archive of a kind that is not read: unpack it first",
    "tar tgz zip": "an archive: open it by itself",
    "z": "compressed by compress (.Z), which is not read: unpack it first",
    "rda": "a file of R, which is not read: save its faces as pictures, .npy or .csv first",
    "avif heic heif ico j2k jp2 jxl pcx ras tga cr2 dng eps exr hdr nef psd svg xcf": (
        "{} pictures are not read: convert them to PNG"
    ),
}

_HIDDEN_FOLDER = re.compile(r"(?:[^/]*/)*?(?:\.[^/]*|__MACOSX|\$RECYCLE\.BIN)/")

# Files that may list pictures and say whose they are.
TABLES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
MAX_TABLE_BYTES = 2**25


def judge_name(name: str) -> tuple[str, bool]:
    """Tell by a file's name why it is left out, if it is, and whether it may well hold faces.

    Of what is neither, the content decides.
    """
    stem, extension = posixpath.splitext(name.lower())
    if is_hidden(name):
        return "hidden or system file", False
    if extension in PACKED and stem.endswith(".tar"):
        extension = ".tar"
    if extension == ".bad" and is_picture_name(stem):
        return "marked as bad by the makers of the set (.bad)", True
    for kinds, why in _UNREAD.items():
        if extension[1:] in kinds.split():
            return why.format(extension), True
    is_known = _NO_PICTURES.fullmatch(extension) and not is_picture_name(name)
    return f"no picture ({extension})" if is_known else "", is_picture_name(name)


def is_picture_name(name: str) -> bool:
    """Tell whether a file's name ends like that of a picture, maybe of a compressed one."""
    return _PICTURES.fullmatch(unpacked_name(name)) is not None


def is_hidden(name: str) -> bool:
    """Tell whether a file is the system's own, or a path leads through such a folder."""
    return _HIDDEN_FOLDER.match(f"{name}/") is not None


def starts_like_picture(head: bytes) -> bool:
    """Tell whether a file that starts with these bytes is a picture of a known format."""
    return _MAGIC.match(head) is not None


def natural_key(name: str) -> tuple[str, str]:
    """Return a key by which paths in any case sort with ``s2`` before ``s10``."""

    def sortable(number: re.Match[str]) -> str:
        digits = number.group().lstrip("0")
        return f"\x01{chr(len(digits))}{digits}"  # by its value: its length comes first

    folded = unicodedata.normalize("NFC", name).casefold()
    # a folder's end sorts before all else, a number before all other characters
    return re.sub(r"[0-9]+", sortable, folded.replace("/", "\0")), name  # never a tie


MAX_PICTURE_BYTES = 256 * 2**20  # larger files are no faces


@dataclass(frozen=True)
class Entry:
    """A file that may be a picture, under its relative path with ``/`` between the parts."""

    name: str
    size: int  # as far as the folder or archive says
    # takes a number of bytes, and returns at most so many from the file's start; on any
    # thread, at any time later, and it can be pickled
    read: Callable[[int], bytes]
    certain: bool = True  # by its name; else its content decides whether it is a picture


@dataclass
class Listing:
    """What a folder or archive holds; `skipped` and `passed_over` are as in `ReadReport`."""

    entries: list[Entry] = field(default_factory=list)  # may be pictures
    arrays: list[Entry] = field(default_factory=list)  # numbers; in `passed_over` as well
    tables: list[Entry] = field(default_factory=list)  # may say whose the pictures are
    skipped: list[tuple[str, str]] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)  # folders
    is_one_file: bool = False  # no folder or archive, but a picture of several pages

    def gather(self, found: Iterable[Entry], *, common_folder: bool) -> None:
        """Put everything where it belongs, without the folder common to all in its name."""
        files: dict[str, Entry] = {}
        for entry in found:
            if not entry.name:
                self.leave_out("(no name)", "it has no name")
                continue
            if entry.name in files:
                why = "replaced by a later file of that name"
                self.leave_out(entry.name, why, is_missed=False)
            files[entry.name] = entry
        for name in [name for name in files if name.rpartition("/")[2] == CONTENTS]:
            # pictures of components are no faces, though they look alike
            kind, written = read_contents(files[name].read(MAX_TABLE_BYTES))
            for each in written if kind == "a fit" else ():
                ours = name.removesuffix(CONTENTS) + each
                if files.pop(ours, None):
                    why = "a result of a fit, written by Latent faces: open its model.npz"
                    self.leave_out(ours, why, is_missed=False)
        for entry in files.values():
            self.add(entry)
        self.passed_over += [(name, "hidden or system folder") for name in self.hidden]
        self._sort(common_folder=common_folder)

    def _sort(self, *, common_folder: bool) -> None:
        """Sort everything naturally, and make all names printable."""
        prefix = "/"  # of no name
        if common_folder and (pictures := self.entries or self.arrays):
            # with the slash that commonpath takes away for one folder and for none
            folders = {f"/{entry.name}".rpartition("/")[0] + "/" for entry in pictures}
            prefix = posixpath.commonpath(folders).strip("/") + "/"

        def renamed(name: str) -> str:
            return harmless(name.removeprefix(prefix) or name)

        for entries in (self.entries, self.arrays, self.tables):
            entries[:] = [replace(entry, name=renamed(entry.name)) for entry in entries]
            entries.sort(key=lambda entry: natural_key(entry.name))
        for pairs in (self.skipped, self.passed_over):
            pairs[:] = [(renamed(name), why) for name, why in pairs]
            pairs.sort(key=lambda pair: natural_key(pair[0]))

    def report(self, **facts: Any) -> ReadReport:
        """Return a report of what is left out, in natural order, and of other facts."""
        skipped, passed_over = (
            tuple(sorted(pairs, key=lambda pair: natural_key(pair[0])))
            for pairs in (self.skipped, self.passed_over)
        )
        return ReadReport(skipped=skipped, passed_over=passed_over, **facts)

    def add(self, entry: Entry) -> None:
        """Put a regular file where it belongs, judged by its name and size."""
        base = entry.name.rpartition("/")[2]
        reason, is_wanted = judge_name(entry.name)
        if entry.size and not is_hidden(entry.name):
            if base.lower().endswith(TABLES):
                self.tables.append(entry)
            if is_array_name(base):
                self.arrays.append(entry)
                reason, is_wanted = reason or "a file of numbers among pictures", False
        if entry.size == 0 and (is_wanted or not reason):
            reason, is_wanted = "empty file", False
        elif not reason and entry.size > MAX_PICTURE_BYTES:
            reason = f"larger than {MAX_PICTURE_BYTES >> 20} MiB"
        if reason:
            self.leave_out(entry.name, reason, is_missed=is_wanted)
        else:
            self.entries.append(replace(entry, certain=is_wanted))

    def leave_out(self, name: str, reason: str, *, is_missed: bool | None = None) -> None:
        """Tell of what is not read; whether it is missed, its name tells by default."""
        if inside := _HIDDEN_FOLDER.match(name):
            self.hidden.add(inside[0])
            return
        if is_missed is None:
            is_missed = is_picture_name(name)
        (self.skipped if is_missed else self.passed_over).append((name, reason))


_PAIR = re.compile(r"([0-9]+)[\s._-]+([0-9]+)")

# Folders that are parts of a set, or hold pictures of anybody.
_NO_PERSON = re.compile(
    r"(?:.*[\W_])?(?:train|test|val|valid|validation|training|testing|dev|eval|query|probe)"
    r"(?:ing)?(?:[\W_].*|\d*|_?(?:data|db|database|set|images|faces?|pics?|pictures))?"
    r"|(?:faces?|images?|imgs?|pictures?|photos?|data|dataset|all|crop(?:ped)?|aligned)",
    re.IGNORECASE,
)

# Names with dates come from cameras and crawlers, and tell when, not who.
_DATE = re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}[-_]?(?:0[1-9]|1[0-2])[-_]?[0-3][0-9]")

# Tried in this order on names without folder and extension; the first decides that fits
# every name and finds the same in some of them. First those of sets that are like no others.
_PATTERNS = (
    r"[AB]([FM][0-9]{2})(?:AF|AN|DI|HA|NE|SA|SU)(?:S|FL|FR|HL|HR)",  # KDEF
    r"(CFD-[A-Z]+-[0-9]+)-[0-9]+-.*",  # Chicago Face Database
    r"([0-9]{3})_[0-9]{2}_[0-9]{2}_[0-9]{3}_[0-9]{2}(?:_.*)?",  # Multi-PIE
    r"([0-9]{5})[a-z]{2}[0-9]{3}[a-z]?(?:_.*)?",  # FERET
    r"(i[0-9]{3})[q-v][a-e]-.*",  # MUCT
    r"Rafd[0-9]+_([0-9]+)_.*",  # Radboud
    r"([^\W\d_]+[0-9]+)(?:[\s._+-].*)?",  # yaleB01_P00A+000E+00, subject01.glasses
    r"([^.]+)\..*",  # KA.AN1.39
    r"(.*[^\s._-])[\s._-]+\(?[0-9]+\)?",  # Aaron_Eckhart_0001, anna (2)
    r"(.*[^\s._0-9-])[0-9]+",  # anna2
    r"([^_]+)_.*",  # an2i_left_angry_open
    r"([^\s-]+)[\s-].*",  # anna happy
)


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
        expression = re.compile(rule)
        group = "subject" if "subject" in expression.groupindex else min(expression.groups, 1)
        found = [expression.search(name) for name in names]
        if names and not any(found):
            words = f"is found in none of the {len(names)} names, such as {names[0]!r}"
            raise ValueError(f"subjects={rule!r} {words}: change it, or leave it out.")
        return tuple((match.group(group) or "") if match else "" for match in found)
    folders = _folders_of_people(names)
    return _if_people(folders, names) if len(set(folders)) > 1 else _by_stem(_stems(names))


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
        parents = {(path[-1], "/".join(path[:-1])) for path in paths}
        if len(parents) == len({folder for folder, _ in parents}):
            break
        paths = [path[:-1] for path in paths]  # S005/001, S010/001: sessions of a person
    return [path[-1] if path else "" for path in paths]


def _if_people(folders: Sequence[str], names: Sequence[str]) -> tuple[str, ...] | None:
    """Return the folders, unless numbered pictures only go on from one to the next."""
    stems = _stems(names)
    if all(map(str.isdecimal, (*folders, *stems))) and len(set(stems)) == len(stems):
        return None
    return _if_telling(folders)


def _stems(names: Sequence[str]) -> list[str]:
    bases = [name.rpartition("/")[2] for name in names]
    return [unpacked_name(b).rpartition(".")[0] if is_picture_name(b) else b for b in bases]


def _by_stem(stems: Sequence[str]) -> tuple[str, ...] | None:
    pairs = [match.groups() for match in map(_PAIR.fullmatch, stems) if match]
    if len(pairs) == len(stems):
        first, second = ([pair[i] for pair in pairs] for i in (0, 1))
        runs = len(set(first)) == len(first) and len(set(second)) < len(second)
        return _if_telling(second if runs else first)  # not the number of the picture
    if all(map(_DATE.search, stems)):
        return None
    for pattern in _PATTERNS:
        matches = [re.fullmatch(pattern, stem, re.DOTALL) for stem in stems]
        subjects = [match[1] for match in matches if match]
        if len(set(subjects)) < len(stems) == len(subjects):
            return _if_telling(subjects)
    return None


def _if_telling(subjects: Sequence[str]) -> tuple[str, ...] | None:
    return tuple(subjects) if 1 < len(set(subjects)) < len(subjects) else None
