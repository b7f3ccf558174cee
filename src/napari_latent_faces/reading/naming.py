"""What the names of face pictures tell: their order and whose faces they are."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Literal

from napari_latent_faces.reading.formats import is_picture_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["find_subjects", "natural_key", "printable"]

_NUMBER = re.compile(r"[0-9]+")
_PAIR = re.compile(r"([0-9]+)[\s._-]+([0-9]+)")

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
    """Return a sorting key by which ``s2`` comes before ``s10``.

    Case does not count, except that it keeps the order of names that differ in nothing
    else the same everywhere.

    Parameters
    ----------
    name : str
        A relative path with ``/`` between its parts.
    """
    folded = unicodedata.normalize("NFC", name).casefold()
    # a folder's end sorts before all else, a number before all other characters
    return _NUMBER.sub(_sortable, folded.replace("/", "\0")), name


def _sortable(number: re.Match[str]) -> str:
    """Write a number so that its text sorts by its value: its length comes first."""
    digits = number.group().lstrip("0")
    return f"\x01{chr(len(digits))}{digits}"


def printable(name: str) -> str:
    r"""Return a name that any terminal or file can hold.

    File systems hold bytes; those that are no text appear as ``\udc80`` and the like in
    Python and cannot be written anywhere.
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def find_subjects(
    names: Sequence[str], rule: str | Literal[False] | None = None
) -> tuple[str, ...] | None:
    r"""Find out whose face each picture shows.

    Parameters
    ----------
    names : sequence of str
        Paths relative to the folder, with ``/`` between their parts.
    rule : str or False, optional
        A regular expression searched for in each name (see `ReadOptions`), or False for
        no subjects. None looks at the names:

        - Where pictures are in several folders, the folder is the subject
          (``s1/1.pgm``, ``Aaron_Eckhart/Aaron_Eckhart_0001.jpg``).
        - ``1_1.jpg``, two numbers: where one is different in every name the other is
          the subject, else the first.
        - ``subject01.glasses``, ``yaleB01_P00A+000E+00.pgm``: letters with a number.
        - ``KA.AN1.39.tiff``: what comes before the first dot.
        - ``Aaron_Eckhart_0001.jpg``, ``anna2.jpg``: what comes before the last number.
        - ``an2i_left_angry.pgm``: what comes before the first ``_``, space or ``-``.

    Returns
    -------
    tuple of str, or None
        None where the names do not tell: all subjects would be the same or all
        different. ``""`` stands for a picture whose own name does not tell.

    Raises
    ------
    ValueError
        If `rule` is found in no name.
    """
    if rule is False:
        return None
    if isinstance(rule, str):
        return _by_expression(names, rule)
    folders = [name.rpartition("/")[0].rpartition("/")[2] for name in names]
    if len(set(folders)) > 1:
        return _if_telling(folders)
    return _by_stem([_stem(name) for name in names])


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
    return base.rpartition(".")[0] if is_picture_name(base) else base


def _by_stem(stems: Sequence[str]) -> tuple[str, ...] | None:
    pairs = [_PAIR.fullmatch(stem) for stem in stems]
    if all(pairs):
        return _if_telling(_subject_of_pairs([match.groups() for match in pairs if match]))
    for pattern in _PATTERNS:
        matches = [pattern.fullmatch(stem) for stem in stems]
        subjects = [match.group(1) for match in matches if match]
        if len(set(subjects)) < len(stems) == len(subjects):
            return _if_telling(subjects)
    return None


def _subject_of_pairs(pairs: Sequence[Sequence[str]]) -> list[str]:
    """Choose the number that is not the running number of the pictures."""
    first, second = ([pair[i] for pair in pairs] for i in (0, 1))
    runs = len(set(first)) == len(first) and len(set(second)) < len(second)
    return second if runs else first


def _if_telling(subjects: Iterable[str]) -> tuple[str, ...] | None:
    subjects = tuple(subjects)
    return subjects if 1 < len(set(subjects)) < len(subjects) else None
