"""The command line: ``latent-faces`` and what its commands do."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import shutil
import sys
import time
import warnings
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_latent_faces import params
from napari_latent_faces.cli import parser
from napari_latent_faces.steps import consume

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from napari_latent_faces.choosing import KStep
    from napari_latent_faces.fitting import FitStep
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack


def run() -> int:
    """Run a command in a process of its own, as ``latent-faces`` does."""
    # fits keep BLAS at one thread: others would only cost processor time as they start
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return main()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, of the process by default; return or exit with its code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # names need not fit its encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    argv = sys.argv[1:] if argv is None else argv
    args = parser.command_parser(argv).parse_args(argv)

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        write_line(f"{parser.PROGRAM}: warning: {_message(message)}")

    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("default", UserWarning)
            warnings.showwarning = show  # without the line of code that they come from
            _COMMANDS[args.command](args)
    except argparse.ArgumentTypeError as error:
        args.parser.error(str(error))
    except KeyboardInterrupt:
        write_line(f"{parser.PROGRAM}: interrupted, nothing was written")
        return 130
    except BrokenPipeError:
        with open(os.devnull, "w") as devnull:  # noqa: PTH123 - else Python fails at its end
            os.dup2(devnull.fileno(), sys.stdout.fileno())
        return 141
    except (OSError, ValueError, TypeError, MemoryError, ImportError) as error:
        if os.environ.get(parser.DEBUG):
            raise
        write_line(f"{parser.PROGRAM}: error: {_message(error)}")
        return 1
    return 0


def _message(error: object) -> str:
    """Return what an error, warning or note says, with options instead of parameters."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        words = f"{error.filename}: {error.strerror}"
    else:
        words = parser.spelled(str(error)) or "out of memory"
    return "\n".join(map(_printable, words.split("\n")))


def _printable(words: object) -> str:
    """Return words in one line: files and models may hold what a terminal obeys."""
    from napari_latent_faces.stack import in_one_line

    return in_one_line(str(words))


_REDRAWN, _PERIOD = 0.1, 10.0  # seconds between two states of a bar, and between two lines


@contextmanager
def progress(title: str) -> Iterator[Callable[..., None]]:
    """Show on stderr how far the block is, by a function of steps, total (or 0) and note."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    period = _REDRAWN if is_terminal else _PERIOD
    last = time.monotonic() - _REDRAWN * is_terminal

    def show(done: int, total: int, note: str = "") -> None:
        nonlocal last
        if time.monotonic() - last < period:
            return
        last = time.monotonic()
        if is_terminal:
            bar = f"{'#' * (20 * done // total):20} {done}/{total}" if total else ""
            _draw("  ".join(filter(None, (title, bar, note))))
        elif total:
            write_line(f"{title}: {done} of {total}{', ' * bool(note)}{note}")

    if not is_terminal:
        write_line(f"{title} ...")
    _draw(title)
    try:
        yield show
    finally:
        _draw("")


def write_line(text: str) -> None:
    """Write a line to stderr, in place of a bar if there is one, which comes again."""
    if sys.stderr is not None:
        try:
            _draw("")
            print(text, file=sys.stderr, flush=True)
        except OSError:  # full or gone: no reason to drop the work
            sys.stderr = None


def _draw(line: str) -> None:
    """Write over the line of a terminal that the cursor is in, if there is one."""
    if sys.stderr is not None and sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{' ' * width}\r{line[:width]}", end="", file=sys.stderr, flush=True)


def _consume(title: str, steps: Generator[Any, Any, Any], shown: Any = tuple) -> Any:
    """Run steps to their end with progress, and return their value."""
    with progress(title) as show:
        return consume(steps, lambda step: show(*shown(step)))


_say = partial(print, flush=True)  # so that a closed pipe is noticed here


def _tell(**facts: Any) -> None:
    """Print facts by their names, a line each, but those that are None."""
    for name, value in facts.items():
        if value is not None:
            _say(f"{name.replace('_', ' ')}: {_printable(value)}")


def _report(faces: FaceStack, first: int = 0) -> None:
    """Print what a read found, and its notes from some on."""
    _say(faces.report.summary())
    for note in faces.report.notes[first:]:
        _say(_message(note))


def _size_facts(faces: Any, subjects: tuple[str, ...] | None) -> dict[str, str]:
    """Return how many faces there are, of whom, and how large, of a stack or a model."""
    from napari_latent_faces.stack import in_pixels

    people = f" of {len(set(subjects))} subjects" if subjects else ""
    return {"faces": f"{faces.shape[0]}{people}", "size": in_pixels(faces.shape[1:])}


def _fit_facts(model: LatentFaces) -> dict[str, Any]:
    """Return a method other than NMF, components, iterations, error, pixels left out."""
    method, (count, total) = model.params.method, model.left_out
    left_out = f"{count} of {total} pixels ({100 * count / total:.3g} %)"
    how = "converged" if model.provenance.stop_reason == "converged" else "not converged"
    return {
        "method": None if method == params.NMFParams.method else method,
        "components": model.n_components,
        "iterations": f"{model.provenance.n_iter} ({how})",
        "relative error": f"{model.error:.6f}",
        "left out": left_out if count else None,
    }


def _listed(values: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def _read(args: argparse.Namespace, **changes: Any) -> FaceStack:
    """Read a folder of faces as the options say, with progress."""
    options = asdict(parser.chosen(params.ReadOptions, args, **changes))
    with progress(f"reading {_printable(args.folder)}") as show:
        from napari_latent_faces.reading import read_faces

        faces = read_faces(args.folder, **options, progress=show)
    if (skipped := len(faces.report.skipped)) and args.command != "info":
        where = f"{parser.PROGRAM} info {shlex.quote(_printable(args.folder))}"
        write_line(f"{parser.PROGRAM}: warning: {skipped} skipped, listed by {where}")
    return faces


def _read_for(args: argparse.Namespace, model: LatentFaces, *, align: bool = False) -> Any:
    """Read the faces at the model's size, in colour if the model is, and align them to it."""
    frame = model.provenance.frame
    size = frame[2:] if align and frame else model.size
    faces = _read(args, size=size, colour=len(model.picture_shape) == 3)
    if align:
        from napari_latent_faces.aligning import iter_align_to

        n, steps = len(faces), iter_align_to(model, faces)
        faces = _consume(f"aligning {n} faces", steps, lambda done: (done, n))
    # most faces have one size; only those of others are listed as resized
    return replace(faces, report=replace(faces.report, resized=()))


def _load(path: str) -> LatentFaces:
    """Return the model in a file, or in a folder that `fit` wrote."""
    from napari_latent_faces.model import LatentFaces

    place = Path(path)
    return LatentFaces.load(place / "model.npz" if place.is_dir() else place)


def find_face(model: LatentFaces, words: str) -> int:
    """Return the face of a model with this name, or else of this number."""
    from napari_latent_faces.stack import harmless

    names, n = model.provenance.names, len(model.weights)
    if harmless(words) in names:
        return names.index(harmless(words))
    if words.isdecimal() and int(words) < n:
        return int(words)
    some = f", such as {names[0]}" if names else ""
    told = f"give the name of one{some}, or a number from 0 to {n - 1}."
    raise ValueError(f"The model has no face {words!r}: {told}")


def _check_out(args: argparse.Namespace, kind: str) -> None:
    """Refuse, before the work, to write where other things or the faces themselves are."""
    from napari_latent_faces.files import check_folder

    out = Path(args.out)
    if "folder" in args:
        place = Path(args.folder.removeprefix("file://"))
        if out.resolve().is_relative_to(place.resolve()):
            words = "where the components would be read as faces: choose a folder elsewhere."
            raise ValueError(f"{out} lies in {args.folder}, {words}")
    check_folder(out, kind, force=args.force)


def _check_table(args: argparse.Namespace) -> None:
    """Refuse to replace a file that is in the way, or to write where there is no folder."""
    if Path(args.out).exists() and not args.force:
        raise FileExistsError(f"{args.out} exists: choose another name, or give --force.")
    if not Path(args.out).absolute().parent.is_dir():
        raise FileNotFoundError(f"The folder of {args.out} does not exist: make it first.")


def _write(export: Callable[..., Any], *results: Any, args: argparse.Namespace) -> None:
    _consume("writing", export(*results, Path(args.out), force=args.force))


def _fit(args: argparse.Namespace) -> None:
    from napari_latent_faces.export import FIT, export_model, read_mask
    from napari_latent_faces.fitting import iter_fit

    def shown(step: FitStep) -> tuple[Any, ...]:
        return step.iteration, step.max_iter, f"relative error {step.error:.4f}"

    wanted = parser.chosen(params.METHODS[args.method], args)
    _check_out(args, FIT)
    with _cluster(args) as client:
        faces = _read(args)
        mask = None if args.mask is None else read_mask(args.mask, faces.size)
        steps = iter_fit(faces, wanted, mask=mask, client=client)
        try:
            model = _consume(f"fitting {wanted.n_components} components", steps, shown)
        except ConnectionError as error:
            if (reached := getattr(error, "model", None)) is None:
                raise
            export_model(reached, args.out, force=args.force)
            words = f"{error} What was reached is written to {args.out}."
            raise ValueError(words) from error
    export_model(model, args.out, force=args.force)
    _say(faces.report.summary())
    _tell(**_fit_facts(model), written_to=args.out)


def _cluster(args: argparse.Namespace) -> Any:
    """Connect to the scheduler that is asked for, if any; its workers read the faces."""
    if args.scheduler is None:
        return nullcontext()
    if not vars(args).setdefault("lazy", True):
        raise argparse.ArgumentTypeError("--scheduler reads where it fits: not with --no-lazy.")
    try:
        from distributed import Client
    except ImportError as error:
        words = "--scheduler needs dask.distributed: pip install 'napari-latent-faces[cluster]'"
        raise ValueError(words) from error
    return Client(args.scheduler, timeout=5, set_as_default=False)  # type: ignore[no-untyped-call]


def _align(args: argparse.Namespace) -> None:
    from napari_latent_faces.aligning import iter_align
    from napari_latent_faces.export import ALIGNMENT, iter_export_aligned
    from napari_latent_faces.reading.beside import read_points

    options = parser.chosen(params.AlignOptions, args, size=args.crop)
    _check_out(args, ALIGNMENT)
    faces = _read(args)
    points = None if args.points is None else read_points(args.points, faces)
    title, steps = f"aligning {len(faces)} faces", iter_align(faces, points, options)
    found = _consume(title, steps, lambda step: (round(100 * step.done), 100))
    aligned = found.apply(faces)
    _write(iter_export_aligned, aligned, found.misfits, args=args)
    _report(aligned, first=len(faces.report.notes))
    top, left, h, w = found.box
    _tell(size=f"{w} x {h} pixels, from row {top} and column {left}", written_to=args.out)


def _choose_k(args: argparse.Namespace) -> None:
    from napari_latent_faces.choosing import iter_choose_k

    changes: dict[str, Any] = {}
    for kind in (params.ChoiceOptions, params.NMFParams):
        parser.chosen(kind, args)
        changes |= parser.given(kind, args)
    try:
        ks = params.parse_ks(args.ks)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"-{error}") from error
    if args.out:
        _check_table(args)
    choice: Any = None

    def shown(step: KStep) -> tuple[Any, ...]:
        nonlocal choice
        choice = step.choice
        return step.done, step.total, step.doing

    try:
        steps = iter_choose_k(_read(args), ks, **changes)
        choice = _consume("measuring numbers of components", steps, shown)
    except KeyboardInterrupt:  # what is there is told
        if not choice:  # the first steps come before the first measure
            raise
    names = ("relative_error", "held_out_error", "standard_error_to_lowest", "stability")
    _say("".join(f"{head:>11}" for head in ("k", "error", "held-out", "+-", "stability")))
    for row in choice.rows():
        numbers = "".join(f"{row[name]:>11.4f}" for name in names)
        _say(f"{row['k']:>11}{numbers}{' *' * row['suggested']}")
    _say(choice.reason)
    if args.out:
        choice.save_csv(args.out)
        _tell(written_to=args.out)


def _encode(args: argparse.Namespace) -> None:
    from napari_latent_faces.encoding import iter_encode
    from napari_latent_faces.export import ENCODING, iter_export_encoded, read_mask

    _check_out(args, ENCODING)
    model = _load(args.model)
    mask = None if args.mask is None else read_mask(args.mask, model.size)
    align = model.provenance.frame is not None if args.align is None else args.align
    faces = _read_for(args, model, align=align)
    n, steps = len(faces), iter_encode(model, faces, mask)
    encoding = _consume(f"encoding {n} faces", steps, lambda done: (done, n))
    _write(iter_export_encoded, model, faces, encoding, args=args)
    worst = int(encoding.errors.argmax())
    _report(faces)
    _tell(
        components=model.n_components,
        relative_error=f"{encoding.error:.6f}",
        mean_error_of_a_face=f"{encoding.errors.mean():.6f}",
        worst=f"{faces.names[worst]} ({encoding.errors[worst]:.6f})",
        written_to=args.out,
    )


def _mend(args: argparse.Namespace) -> None:
    from napari_latent_faces.encoding import iter_mend
    from napari_latent_faces.export import MENDING, iter_export_mended, read_mask

    _check_out(args, MENDING)
    model = _load(args.model)
    mask = read_mask(args.mask, model.size)
    faces = _read_for(args, model)
    n, steps = len(faces), iter_mend(model, faces, mask)
    mended = _consume(f"mending {n} faces", steps, lambda done: (done, n))
    errors = model.errors(faces, mended.expected.weights, mask)
    _write(iter_export_mended, mended, faces, errors, args=args)
    _report(faces)
    _tell(pixels_replaced=f"{mask.sum()} of {mask.size}", written_to=args.out)


def _generate(args: argparse.Namespace) -> None:
    from napari_latent_faces.export import GENERATED
    from napari_latent_faces.mixing import iter_generated, sample_weights

    if "strength" in args and args.near is None:
        raise argparse.ArgumentTypeError("--strength is for --near: say which face.")
    wanted = parser.chosen(parser.Generation, args)
    _check_out(args, GENERATED)
    model = _load(args.model)
    face = None if args.near is None else find_face(model, args.near)
    close = "" if face is None else f", {wanted.strength:g} close to {args.near}"
    made = f"random, seed {wanted.random_state}{close}"
    weights = sample_weights(model, wanted.count, wanted.random_state, face, wanted.strength)
    _write(partial(iter_generated, made=made), model, weights, args=args)
    _tell(faces=wanted.count, made=made, written_to=args.out)


def _map(args: argparse.Namespace) -> None:
    from napari_latent_faces.explaining import iter_map_faces

    seed = parser.chosen(parser.Generation, args).random_state
    _check_table(args)
    model = _load(args.model)
    steps = iter_map_faces(model, args.method, random_state=seed)
    found = _consume(f"placing {len(model.weights)} faces", steps, lambda step: step[:2])
    found.save_csv(args.out)
    kept = f"{found.kept:.1%}" if found.kept >= 0 else None
    _tell(faces=len(found.positions), variance_kept=kept, written_to=args.out)


def _info(args: argparse.Namespace) -> None:
    from napari_latent_faces.model import LatentFaces, is_model_file

    paths = (Path(args.folder), Path(args.folder, "model.npz"))
    if path := next(filter(is_model_file, paths), None):
        for name in parser.given(params.ReadOptions, args):
            words = f"{parser.option(name)} is for folders of faces."
            raise argparse.ArgumentTypeError(words)
        model = LatentFaces.load(path)
        origin, fitted = model.provenance, model.provenance.encoded_from
        facts = {"model": path, "source": origin.source, **_size_facts(model, origin.subjects)}
        facts |= {"pixels": f"{origin.dtype}, {model.scale:g} is 1 in the fit"}
        facts |= _fit_facts(model) | {
            "encoded with components of": "other faces" if fitted == "" else fitted,
            "parameters": _listed(model.params.to_dict()),
            "versions": _listed(origin.versions),
            "backend": origin.backend or None,
            "shares": " ".join(f"{share:.4f}" for share in model.shares),
        }
        _tell(**facts)
        return
    faces = _read(args)
    _tell(source=faces.source, **_size_facts(faces, faces.subjects), pixels=faces.dtype)
    notes = tuple(map(_message, faces.report.notes))
    _say(replace(faces.report, notes=notes).details())


def _demo(args: argparse.Namespace) -> None:
    from napari_latent_faces.viewer.window import run_demo

    parser.chosen(params.NMFParams, args)
    faces = _read(args) if args.folder else None
    with redirect_stdout(sys.stderr):  # napari tells there what is going on
        saved = run_demo(faces, args.screenshot, **parser.given(params.NMFParams, args))
    if saved is not None:
        _tell(written_to=saved)


_COMMANDS = {
    each.__name__[1:].replace("_", "-"): each
    for each in (_fit, _align, _choose_k, _encode, _mend, _generate, _map, _info, _demo)
}
