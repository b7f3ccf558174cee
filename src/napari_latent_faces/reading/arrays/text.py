"""Tables in text files become named variables."""

from __future__ import annotations

import io
import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.arrays.variables import (
    ArraysError,
    Container,
    Variable,
    opened,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

_ROWS_AT_ONCE = 512


_INDEX_COLUMNS = {"", "unnamed: 0", "index", "idx"}


def read_text(source: str | bytes, name: str) -> Container:
    """Read a table of text: a variable for the pixels, and one for each other column."""
    with opened(source) as file, io.TextIOWrapper(file, "utf-8-sig", errors="replace") as text:
        return _of_rows(_rows_of(text), name)


def _rows_of(text: Iterable[str]) -> Iterator[str]:
    for line in text:
        row = line.strip("\r\n")
        if row.strip() and not row.lstrip().startswith(("#", "%")):
            yield row


def _of_rows(rows: Iterator[str], name: str) -> Container:
    first = next(rows, None)
    if first is None:
        raise ArraysError("it is empty.")
    second = next(rows, None)
    if second is None:
        if all(_number(cell) is None for cell in _splitter(first)(first)):
            raise ArraysError("it has a line of titles, but no rows")
        rest: Iterable[str] = ()
    elif _is_count(first, second):
        return _cbcl(int(second), rows, name)
    else:
        rest = itertools.chain([second], rows)
    split = _splitter(first)
    titles: list[str] | None = split(first)
    if _are_titles(split(first), split(second) if second else []):
        lines: Iterable[str] = rest
    else:
        titles, lines = None, itertools.chain([first], rest)
    return _table(titles, lines, split, name)


def _is_count(first: str, second: str) -> bool:
    return first.strip().isdecimal() and second.strip().isdecimal() and len(second) < 10


def _splitter(line: str) -> Callable[[str], list[str]]:
    counts = {mark: line.count(mark) for mark in ",;\t"}
    mark = max(counts, key=lambda m: counts[m])
    if not counts[mark]:
        return str.split

    def split(row: str) -> list[str]:
        if '"' not in row:
            return row.split(mark)
        parts = re.findall(
            rf'(?:^|{re.escape(mark)})("(?:[^"]|"")*"|[^{re.escape(mark)}]*)', row
        )
        return [part.strip().strip('"') for part in parts]

    return split


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _are_titles(first: Sequence[str], second: Sequence[str]) -> bool:
    numbers = [_number(t) for t in first]
    if all(number is not None for number in numbers):
        # pandas writes the numbers of the columns: 0, 1, 2 ...
        return len(numbers) > 2 and numbers == list(range(len(numbers)))
    there = [_number(t) is not None for t in second]
    return sum(there) > sum(number is not None for number in numbers) or any(
        len(t.split()) > 8 for t in second
    )


def _cbcl(n_pixels: int, rows: Iterator[str], name: str) -> Container:
    """Read what follows two lines of counts: pixels, and whether it is a face."""
    table = _numbers(rows)
    if table.shape[1] == n_pixels + 1:
        return Container(name, (_held("", table[:, :-1]), _held("label", table[:, -1])))
    if table.shape[1] != n_pixels:
        raise ArraysError(
            f"its second line promises {n_pixels} pixels, but its rows hold {table.shape[1]}"
        )
    return Container(name, (_held("", table),))


def _held(name: str, array: NDArray[Any]) -> Variable:
    return Variable(name, array.shape, array.dtype, lambda: array)


def _table(
    titles: list[str] | None,
    lines: Iterable[str],
    split: Callable[[str], list[str]],
    name: str,
) -> Container:
    lines = iter(lines)
    first = next(lines, None)
    if first is None:
        raise ArraysError("it has a line of titles, but no rows")
    sample = split(first)
    lines = itertools.chain([first], lines)
    lists = [i for i, cell in enumerate(sample) if len(cell.strip("[] ").split()) > 8]
    if titles is not None and len(titles) == len(sample) + 1 and not titles[-1].strip():
        titles = titles[:-1]
    if titles is not None and len(titles) != len(sample):
        raise ArraysError(f"{len(titles)} titles, but {len(sample)} values in the first row")
    if lists and split is not str.split:
        return _table_of_lists(titles, lines, split, lists[0], name)
    texts = [i for i, cell in enumerate(sample) if _number(cell) is None]
    if len(texts) == len(sample):
        raise ArraysError("its rows are no numbers")
    return _table_of_numbers(titles, lines, split, texts, name)


def _table_of_lists(
    titles: list[str] | None,
    lines: Iterable[str],
    split: Callable[[str], list[str]],
    pixels: int,
    name: str,
) -> Container:
    """Read a table whose one column lists all pixels of a picture, as fer2013 does."""
    others: list[list[str]] = []

    def only_pixels() -> Iterator[str]:
        for number, line in enumerate(lines, 1):
            cells = split(line)
            if len(cells) <= pixels:
                raise ArraysError(f"row {number} has no pixels")
            others.append([*cells[:pixels], *cells[pixels + 1 :]])
            yield cells[pixels].strip("[] ").replace(",", " ")

    table = _numbers(only_pixels())
    names = titles or [f"column {i + 1}" for i in range(len(others[0]) + 1)]
    variables = [_held(names[pixels].strip(), table)]
    for i, title in enumerate([*names[:pixels], *names[pixels + 1 :]]):
        if all(len(row) > i for row in others):
            variables.append(_held(title.strip(), np.array([row[i].strip() for row in others])))
    return Container(name, tuple(variables))


def _table_of_numbers(
    titles: list[str] | None,
    lines: Iterable[str],
    split: Callable[[str], list[str]],
    texts: list[int],
    name: str,
) -> Container:
    kept: list[list[str]] = []

    def numbers_of(line: str) -> list[str]:
        cells = split(line)
        if texts:
            kept.append([cells[i].strip() for i in texts if i < len(cells)])
            cells = [cell for i, cell in enumerate(cells) if i not in texts]
        return cells

    texts_set = set(texts)
    table = _numbers(" ".join(numbers_of(line)) for line in lines)
    variables = []
    numbered = [i for i in range(table.shape[1] + len(texts)) if i not in texts_set]
    if titles is not None:
        from_title = [titles[i].strip() for i in numbered]
        apart = [j for j, title in enumerate(from_title) if _stands_apart(title, table[:, j])]
        variables = [
            _held(from_title[j], table[:, j])
            for j in apart
            if from_title[j].lower() not in _INDEX_COLUMNS
        ]
        if 2 * len(apart) > table.shape[1]:
            apart, variables = [], []
        table = np.delete(table, apart, axis=1) if apart else table
        table = _smallest(table)
    variables.insert(0, _held("", table))
    for j, i in enumerate(texts):
        if all(len(row) > j for row in kept):
            title = titles[i].strip() if titles else f"column {i + 1}"
            variables.append(_held(title, np.array([row[j] for row in kept])))
    return Container(name, tuple(variables))


def _stands_apart(title: str, column: NDArray[Any]) -> bool:
    """Tell whether a column of a table is something else than a pixel, by its title."""
    lower = title.lower()
    if lower in _INDEX_COLUMNS:
        return bool(np.array_equal(column, np.arange(len(column))))
    is_pixel = re.fullmatch(r"[a-z]{0,8}[ _.\-]?\d+([ _.\-x]\d+)?", lower)
    return is_pixel is None


def _numbers(lines: Iterable[str]) -> NDArray[Any]:
    """Return rows of text as a matrix of the smallest type that holds its numbers."""
    blocks: list[NDArray[Any]] = []
    lines = iter(lines)
    while part := list(itertools.islice(lines, _ROWS_AT_ONCE)):
        block = np.loadtxt(part, np.float64, ndmin=2, comments=None)
        if blocks and block.shape[1] != blocks[0].shape[1]:
            raise ArraysError(
                f"rows of {blocks[0].shape[1]} and of {block.shape[1]} numbers are mixed"
            )
        blocks.append(_smallest(block))
    if not blocks:
        raise ArraysError("it has no rows of numbers")
    return np.concatenate(blocks).astype(np.result_type(*blocks), copy=False)


def _smallest(block: NDArray[Any]) -> NDArray[Any]:
    if not block.size or block.dtype == np.uint8:
        return block
    low, high = block.min(), block.max()
    whole = bool(np.isfinite(block).all()) and bool((block == np.floor(block)).all())
    if whole and low >= 0 and high <= 65535:
        return block.astype(np.uint8 if high <= 255 else np.uint16)
    return block.astype(np.float64, copy=False)
