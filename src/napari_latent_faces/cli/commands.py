"""What the commands do."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_latent_faces.cli.output import (
    fit_facts,
    method_facts,
    model_facts,
    progress,
    say,
    size_facts,
    tell,
    write_line,
)
from napari_latent_faces.cli.parser import (
    DEBUG,
    PROGRAM,
    Generation,
    chosen,
    command_parser,
    given,
    option,
    spelled,
)
from napari_latent_faces.params import (
    METHODS,
    AlignOptions,
    ChoiceOptions,
    NMFParams,
    ReadOptions,
    parse_ks,
    takers,
)
from napari_latent_faces.steps import consume

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from napari_latent_faces.choosing import KChoice, KStep
    from napari_latent_faces.fitting import FitStep
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.params import Parameters
    from napari_latent_faces.stack import FaceStack

# -- The command line: what it starts, and how it fails --------------------------------

_ANSWER = 5  # seconds that a scheduler has for its first answer
_FAILED, _INTERRUPTED, _BROKEN_PIPE = 1, 130, 141  # argparse ends wrong usage with 2


class CommandError(Exception):
    """A command cannot do its work; the message is for its user."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, of the process by default; return the exit code.

    It ends by SystemExit after ``--help`` and ``--version`` (0) and after wrong usage (2).
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names need not fit its encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    argv = sys.argv[1:] if argv is None else argv
    args = command_parser(argv).parse_args(argv)
    command = _COMMANDS[args.command]
    try:
        with _warnings_as_lines():
            command(args)
    except argparse.ArgumentTypeError as error:
        args.parser.error(str(error))
    except KeyboardInterrupt:
        write_line(f"{PROGRAM}: interrupted, nothing was written")
        return _INTERRUPTED
    except BrokenPipeError:
        with open(os.devnull, "w") as devnull:  # noqa: PTH123 - else Python fails at its end
            os.dup2(devnull.fileno(), sys.stdout.fileno())
        return _BROKEN_PIPE
    except (OSError, ValueError, TypeError, MemoryError, ImportError, CommandError) as error:
        if os.environ.get(DEBUG):
            raise
        write_line(f"{PROGRAM}: error: {_message(error)}")
        return _FAILED
    return 0


def _message(error: object) -> str:
    """Return what an error, warning or note says, with options instead of parameters."""
    from napari_latent_faces.stack import in_one_line

    if isinstance(error, OSError) and error.strerror and error.filename:
        words = f"{error.filename}: {error.strerror}"
    else:
        kinds = (*METHODS.values(), ReadOptions, AlignOptions, ChoiceOptions)
        words = spelled(str(error), *kinds) or "out of memory"
    # names of files and in models may hold what a terminal obeys
    return "\n".join(map(in_one_line, words.split("\n")))


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Show warnings without the line of code that they come from."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        write_line(f"{PROGRAM}: warning: {_message(message)}")

    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("default", UserWarning)
        warnings.showwarning = show
        yield


# -- Faces and models that the command line names --------------------------------------


def _read(args: argparse.Namespace, path: str | None = None, **changes: Any) -> FaceStack:
    """Read a folder of faces as the options say, with progress."""
    from napari_latent_faces.stack import in_one_line

    path = args.folder if path is None else path
    options = asdict(chosen(ReadOptions, args, **changes))
    with progress(f"reading {in_one_line(path)}") as show:
        from napari_latent_faces.reading import read_faces

        faces = read_faces(path, **options, progress=show)
    if (skipped := len(faces.report.skipped)) and args.command != "info":
        import shlex

        where = f"{PROGRAM} info {shlex.quote(in_one_line(path))}"
        write_line(f"{PROGRAM}: warning: {skipped} skipped, listed by {where}")
    return faces


def _check_out(args: argparse.Namespace, kind: str) -> None:
    """Refuse, before the work, to write where other things or the faces themselves are."""
    from napari_latent_faces.files import check_folder

    place = args.folder.removeprefix("file://")
    if Path(args.out).resolve().is_relative_to(Path(place).resolve()):
        raise CommandError(
            f"{args.out} lies in {args.folder}, where the components would be read as faces: "
            "choose a folder elsewhere."
        )
    check_folder(Path(args.out), kind, force=args.force)


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
    raise ValueError(
        f"The model has no face {words!r}: give the name of one{some}, or a number from 0 to "
        f"{n - 1}."
    )


# -- fit -------------------------------------------------------------------------------


def _fit(args: argparse.Namespace) -> None:
    from napari_latent_faces.export import FIT, export_model, read_mask

    params = _params(args)
    _check_out(args, FIT)
    with _cluster(args) as client:
        faces = _read(args)
        mask = None if args.mask is None else read_mask(args.mask, faces.size)
        with progress(f"fitting {params.n_components} components") as show:
            from napari_latent_faces.fitting import iter_fit

            def show_step(step: FitStep) -> None:
                show(step.iteration, step.max_iter, f"relative error {step.error:.4f}")

            lost = ""
            try:
                steps = iter_fit(faces, params, mask=mask, client=client)
                model = consume(steps, show_step)
            except ConnectionError as error:
                if (reached := getattr(error, "model", None)) is None:
                    raise
                model, lost = reached, str(error)
    export_model(model, args.out, force=args.force)
    if lost:
        raise CommandError(f"{lost} What was reached is written to {args.out}.")
    say(faces.report.summary())
    tell({**method_facts(model), **fit_facts(model), "written to": args.out})


def _params(args: argparse.Namespace) -> Parameters:
    """Return the parameters of the method; an option of another method is an error."""
    kind = METHODS[args.method]
    for other in METHODS.values():
        for name in given(other, args):
            if name not in kind.names():
                raise argparse.ArgumentTypeError(
                    f"{option(name)} does not apply to --method {args.method}. Choose "
                    f"{' or '.join(takers(name))} for it."
                )
    params: Parameters = chosen(kind, args)
    return params


@contextmanager
def _cluster(args: argparse.Namespace) -> Iterator[Any]:
    """Connect to the scheduler that is asked for, if any; its workers read the faces."""
    if args.scheduler is None:
        yield None
        return
    if not vars(args).setdefault("lazy", True):
        raise argparse.ArgumentTypeError("--scheduler reads where it fits: not with --no-lazy.")
    try:
        from distributed import Client
    except ImportError as error:
        raise CommandError(
            "--scheduler needs dask.distributed: pip install 'napari-latent-faces[cluster]'"
        ) from error
    try:
        connect: Any = Client
        client = connect(args.scheduler, timeout=_ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CommandError(
            f"The scheduler {args.scheduler} does not answer: check its address, and that it "
            "runs (dask scheduler)."
        ) from error
    with client:
        yield client


# -- encode and mend -------------------------------------------------------------------


def _encode(args: argparse.Namespace) -> None:
    """Write weights, errors and reconstructions of a folder of faces."""
    from napari_latent_faces.encoding import iter_encode
    from napari_latent_faces.export import ENCODING, export_encoded, read_mask

    _check_out(args, ENCODING)
    model = _load(args.model)
    mask = None if args.mask is None else read_mask(args.mask, model.size)
    align = model.provenance.frame is not None if args.align is None else args.align
    faces = _faces(args, model, align=align)
    encoding = _consume_faces("encoding", iter_encode(model, faces, mask), len(faces))
    with progress("writing") as show:
        export_encoded(model, faces, encoding, args.out, force=args.force, progress=show)
    worst = int(encoding.errors.argmax())
    _report(faces)
    tell(
        {
            "components": model.n_components,
            "relative error": f"{encoding.error:.6f}",
            "mean error of a face": f"{encoding.errors.mean():.6f}",
            "worst": f"{faces.names[worst]} ({encoding.errors[worst]:.6f})",
            "written to": args.out,
        }
    )


def _mend(args: argparse.Namespace) -> None:
    """Write the faces of a folder with what a mask marks filled in."""
    from napari_latent_faces.encoding import iter_mend, relative_errors
    from napari_latent_faces.export import MENDING, export_mended, read_mask

    _check_out(args, MENDING)
    model = _load(args.model)
    mask = read_mask(args.mask, model.size)
    faces = _faces(args, model)
    mended = _consume_faces("mending", iter_mend(model, faces, mask), len(faces))
    errors = relative_errors(model, faces, mended.expected.weights, mask)
    with progress("writing") as show:
        export_mended(mended, faces, errors, args.out, force=args.force, progress=show)
    _report(faces)
    tell({"pixels replaced": f"{mask.sum()} of {mask.size}", "written to": args.out})


def _faces(args: argparse.Namespace, model: LatentFaces, *, align: bool = False) -> FaceStack:
    """Read the faces at the model's size, in colour if the model is, and align them to it."""
    frame = model.provenance.frame
    size = frame[2:] if align and frame else model.size
    faces = _read(args, size=size, colour=len(model.picture_shape) == 3)
    if len(faces) == 0:
        raise CommandError(f"There are no faces in {args.folder}.")
    if align:
        from napari_latent_faces.aligning import iter_align_to

        faces = _consume_faces("aligning", iter_align_to(model, faces), len(faces))
    return faces


def _report(faces: FaceStack) -> None:
    # most faces have one size; only those of others are listed as resized
    say(replace(faces.report, resized=()).summary())
    for note in faces.report.notes:
        say(_message(note))


def _consume_faces(title: str, steps: Generator[int, None, Any], total: int) -> Any:
    """Run the steps with progress; the result is the generator's return value."""
    with progress(f"{title} {total} faces") as show:
        return consume(steps, lambda done: show(done, total))


# -- generate, align, choose-k, info and demo ------------------------------------------


def _generate(args: argparse.Namespace) -> None:
    from napari_latent_faces.mixing import check_generated, sample_weights, write_generated

    if "strength" in args and args.near is None:
        raise argparse.ArgumentTypeError("--strength is for --near: say which face.")
    wanted = chosen(Generation, args)
    check_generated(args.out, force=args.force)
    model = _load(args.model)
    face = None if args.near is None else find_face(model, args.near)
    close = "" if face is None else f", {wanted.strength:g} close to {args.near}"
    made = f"random, seed {wanted.random_state}{close}"
    weights = sample_weights(model, wanted.count, wanted.random_state, face, wanted.strength)
    with progress("writing faces") as show:
        write_generated(model, weights, args.out, made=made, force=args.force, progress=show)
    tell({"faces": wanted.count, "made": made, "written to": args.out})


def _align(args: argparse.Namespace) -> None:
    from napari_latent_faces.aligning import iter_align
    from napari_latent_faces.export import ALIGNMENT, export_aligned
    from napari_latent_faces.reading.beside import read_points

    options = chosen(AlignOptions, args, size=args.crop)
    _check_out(args, ALIGNMENT)
    faces = _read(args)
    points = None if args.points is None else read_points(args.points, faces)
    with progress(f"aligning {len(faces)} faces") as show:
        steps = iter_align(faces, points, options)
        found = consume(steps, lambda step: show(round(100 * step.done), 100))
    aligned = found.apply(faces)
    with progress("writing") as show:
        export_aligned(aligned, found.misfits, args.out, force=args.force, progress=show)
    say(faces.report.summary())
    for note in aligned.report.notes[len(faces.report.notes) :]:
        say(_message(note))
    top, left, h, w = found.box
    tell(
        {"size": f"{w} x {h} pixels, from row {top} and column {left}", "written to": args.out}
    )


def _choose_k(args: argparse.Namespace) -> None:
    changes: dict[str, Any] = {}
    for kind in (ChoiceOptions, NMFParams):
        chosen(kind, args)
        changes |= given(kind, args)
    try:
        ks = parse_ks(args.ks)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"-{error}") from error
    if args.out:
        _check_table(args)
    choice = _measured(_read(args), ks, changes)
    names = ("relative_error", "held_out_error", "standard_error_to_lowest", "stability")
    say("".join(f"{head:>11}" for head in ("k", "error", "held-out", "+-", "stability")))
    for row in choice.rows():
        numbers = "".join(f"{row[name]:>11.4f}" for name in names)
        say(f"{row['k']:>11}{numbers}{' *' * row['suggested']}")
    say(choice.reason)
    if args.out:
        choice.save_csv(args.out)
        tell({"written to": args.out})


def _measured(faces: FaceStack, ks: list[int] | None, changes: dict[str, Any]) -> KChoice:
    """Measure with progress; Ctrl-C ends it with what is there, if there is anything."""
    with progress("measuring numbers of components") as show:
        from napari_latent_faces.choosing import iter_choose_k

        choices: list[KChoice] = []

        def show_step(step: KStep) -> None:
            choices[:] = [step.choice]
            show(step.done, step.total, step.doing)

        try:
            return consume(iter_choose_k(faces, ks, **changes), show_step)
        except KeyboardInterrupt:
            if not any(choices):  # the first steps come before the first measure
                raise
            return choices[0]


def _check_table(args: argparse.Namespace) -> None:
    """Refuse to replace a file that is in the way, or to write where there is no folder."""
    if Path(args.out).exists() and not args.force:
        raise FileExistsError(f"{args.out} exists: choose another name, or give --force.")
    if not Path(args.out).absolute().parent.is_dir():
        raise FileNotFoundError(f"The folder of {args.out} does not exist: make it first.")


def _map(args: argparse.Namespace) -> None:
    """Write where the faces of a model lie on a plane."""
    from napari_latent_faces.mapping import iter_map_faces

    seed = chosen(Generation, args).random_state
    _check_table(args)
    model = _load(args.model)
    with progress(f"placing {len(model.weights)} faces") as show:
        steps = iter_map_faces(model, args.method, random_state=seed)
        found = consume(steps, lambda step: show(*step[:2]))
    found.save_csv(args.out)
    kept = {"variance kept": f"{found.kept:.1%}"} if found.kept >= 0 else {}
    tell({"faces": len(found.positions), **kept, "written to": args.out})


def _info(args: argparse.Namespace) -> None:
    from napari_latent_faces.model import LatentFaces, is_model_file

    for path in (Path(args.path), Path(args.path, "model.npz")):
        if is_model_file(path):
            for name in given(ReadOptions, args):
                raise argparse.ArgumentTypeError(f"{option(name)} is for folders of faces.")
            tell({"model": path, **model_facts(LatentFaces.load(path))})
            return
    faces = _read(args, args.path)
    sizes = size_facts(faces, faces.subjects)
    tell({"source": faces.source, **sizes, "pixels": faces.dtype})
    notes = tuple(map(_message, faces.report.notes))
    say(replace(faces.report, notes=notes).details())


def _demo(args: argparse.Namespace) -> None:
    from napari_latent_faces.viewer.demo import DemoError, run_demo

    chosen(NMFParams, args)
    faces = _read(args) if args.folder else None
    try:
        with redirect_stdout(sys.stderr):  # napari tells there what is going on
            saved = run_demo(faces, args.screenshot, **given(NMFParams, args))
    except DemoError as error:
        raise CommandError(str(error)) from error
    if saved is not None:
        tell({"written to": saved})


_COMMANDS = {
    "align": _align,
    "fit": _fit,
    "choose-k": _choose_k,
    "encode": _encode,
    "mend": _mend,
    "generate": _generate,
    "map": _map,
    "info": _info,
    "demo": _demo,
}
