"""What ``latent-faces choose-k`` does between reading and telling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_latent_faces.cli.progress import progress
from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    from napari_latent_faces.choosing import KChoice, KStep
    from napari_latent_faces.stack import FaceStack

__all__ = ["check_table", "measured", "table_lines"]

_COLUMNS = {
    "k": "k",
    "relative_error": "error",
    "held_out_error": "held-out",
    "standard_error_to_lowest": "+-",
    "stability": "stability",
}


def check_table(path: str, *, force: bool) -> None:
    """Refuse to replace a file that is in the way, or to write where there is no folder.

    Raises
    ------
    FileExistsError, FileNotFoundError
        The message says what to do.
    """
    if Path(path).exists() and not force:
        raise FileExistsError(f"{path} exists: choose another name, or give --force.")
    if not Path(path).absolute().parent.is_dir():
        raise FileNotFoundError(f"The folder of {path} does not exist: make it first.")


def measured(faces: FaceStack, ks: list[int] | None, changes: dict[str, Any]) -> KChoice:
    """Measure with progress; Ctrl-C ends it with what is there.

    Parameters
    ----------
    faces : FaceStack
        The faces.
    ks : list of int, or None
        The numbers to measure; None for a search.
    changes : dict
        Fields of `ChoiceOptions` and `NMFParams` that are not the default.

    Raises
    ------
    KeyboardInterrupt
        If nothing was measured yet.
    """
    with progress("measuring numbers of components") as show:
        from napari_latent_faces.choosing import iter_choose_k

        choices: list[KChoice] = []

        def show_step(step: KStep) -> None:
            choices[:] = [step.choice]
            show(step.done, step.total, step.doing)

        try:
            return drain(iter_choose_k(faces, ks, **changes), show_step)
        except KeyboardInterrupt:
            if not any(choices):  # the first steps come before the first measure
                raise
            return choices[0]


def table_lines(choice: KChoice) -> list[str]:
    """Return the measures as lines of a table, the suggested k with a star."""
    lines = ["".join(f"{head:>11}" for head in _COLUMNS.values())]
    for row in choice.rows():
        numbers = (row[name] for name in list(_COLUMNS)[1:])
        star = " *" if row["suggested"] else ""
        lines.append(f"{row['k']:>11}" + "".join(f"{each:>11.4f}" for each in numbers) + star)
    return lines
