from __future__ import annotations

import io
import os
import re
import shlex
import signal
import subprocess
import sys
import warnings
from dataclasses import MISSING, fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces import __version__, cli
from napari_latent_faces.cli import main, progress, write_line
from napari_latent_faces.cli.parser import chosen, command_parser, option, spelled
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import NMFParams, ReadOptions
from tests.helpers import PATIENCE

FIELDS = [(each, declared) for each in (NMFParams, ReadOptions) for declared in fields(each)]
QUICK = ["-k", "3", "--max-iter", "5", "--tol", "0"]


def spawn(*argv, code="", **options):
    """Start a command line in a process of its own, after some code."""
    start = f"import sys; {code}\nfrom napari_latent_faces.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", start, *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def parsed(*argv):
    return command_parser().parse_args(["fit", "F", "-o", "O", *argv])


class TestOptions:
    @pytest.mark.parametrize(("parameters", "declared"), FIELDS)
    def test_every_field_has_one_with_its_default(self, parameters, declared, run):
        assert declared.default is not MISSING
        assert getattr(chosen(parameters, parsed()), declared.name) == declared.default
        _, text, _ = run("fit", "--help")
        words = " ".join(text.split())
        shown = "none" if declared.default is None else declared.default
        assert f"{option(declared.name)} " in words
        told = declared.metadata["help"].removeprefix(f"{declared.name}: ")
        _, _, after = words.partition(told.replace("None", "none"))
        assert after.startswith(f" (default: {shown})")

    @pytest.mark.parametrize(
        ("argv", "name", "value"),
        [
            (["-k", "7"], "n_components", 7),
            (["--n-components=7"], "n_components", 7),
            (["--random-state", "none"], "random_state", None),
            (["--random-state", "0"], "random_state", 0),
            (["--max-iter", "9"], "max_iter", 9),
            (["--tol", "1e-6"], "tol", 1e-6),
            (["--init", "random"], "init", "random"),
            (["--init", "none"], "init", None),
            (["--solver", "mu"], "solver", "mu"),
            (["--solver", "mu", "--beta-loss", "kullback-leibler"], "beta_loss",
             "kullback-leibler"),
            (["--alpha-W", "0.5"], "alpha_W", 0.5),
            (["--alpha-H", "same"], "alpha_H", "same"),
            (["--alpha-H", "2"], "alpha_H", 2.0),
            (["--l1-ratio", "1"], "l1_ratio", 1.0),
            (["--sparseness", "0.6"], "sparseness", 0.6),
            (["--channel", "red"], "channel", "red"),
            (["--size", "64"], "size", 64),
            (["--size", "64,48"], "size", (64, 48)),
            (["--size", "none"], "size", None),
            (["--resize", "pad"], "resize", "pad"),
            (["--subjects", r"_(\d+)\."], "subjects", r"_(\d+)\."),
            (["--subjects", "none"], "subjects", "none"),
            (["--no-subjects"], "subjects", False),
            (["--lazy"], "lazy", True),
            (["--no-lazy"], "lazy", False),
            (["--memory-budget", "1000"], "memory_budget", 1000),
            (["--variable", "fea"], "variable", "fea"),
            (["--shape", "112,92"], "shape", (112, 92)),
            (["--faces", "columns"], "faces", "columns"),
            (["--order", "F"], "order", "F"),
            (["--no-colour"], "colour", False),
        ],
    )  # fmt: skip
    def test_take_what_the_field_takes(self, argv, name, value):
        [parameters] = [each for each, declared in FIELDS if declared.name == name]
        found = getattr(chosen(parameters, parsed(*argv)), name)
        assert (type(found), found) == (type(value), value)

    def test_every_field_is_tried_above(self):
        [mark] = self.test_take_what_the_field_takes.pytestmark
        assert {name for _, name, _ in mark.args[1]} == {each.name for _, each in FIELDS}

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            (["-k", "0"], "--n-components must be"),
            (["-k", "two"], "--n-components must be a whole number (1 or more), got 'two'"),
            (["--random-state", "-1"], "--random-state must be"),
            (["--tol", "nan"], "--tol must be"),
            (["--alpha-H", "some"], "--alpha-H must be"),
            (["--solver", "fast"], "--solver must be"),
            (["--beta-loss", "kullback-leibler"], "choose --solver='mu' for --beta-loss="),
            (["--size", "0"], "--size must be"),
            (["--size", "64x48"], "--size must be"),
            (["--size", "6,4,8"], "--size must be"),
            (["--resize", "tear"], "--resize must be"),
            (["--subjects", "("], "--subjects must be"),
            (["--memory-budget", "1G"], "--memory-budget must be"),
        ],
    )
    def test_refuse_what_the_field_refuses(self, run, folder, out, argv, words):
        code, printed, errors = run("fit", folder, "-o", out, *argv)
        assert (code, printed) == (2, "")
        assert words in errors
        assert errors.startswith("usage: latent-faces fit")
        assert not out.exists()

    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            ("n_components must be 1", "--n-components must be 1"),
            ("Choose resize='crop' or 'pad'.", "Choose --resize='crop' or 'pad'."),
            ("read them with lazy=True, or", "read them with --lazy, or"),
            (
                "and its height and width with shape=(h, w).",
                "and its height and width with --shape=h,w.",
            ),
            ("subjects='(' is found in no name", "--subjects='(' is found in no name"),
            ("The size of resized faces", "The size of resized faces"),
            ("Raise max_iter, or tol if", "Raise --max-iter, or --tol if"),
            ("In max_iter.png is --tol", "In max_iter.png is --tol"),
        ],
    )
    def test_messages_of_the_library_name_them(self, message, expected):
        assert spelled(message, NMFParams, ReadOptions) == expected

    @pytest.mark.parametrize(
        "argv", [[], ["fit"], ["fit", "F"], ["tell"], ["fit", "F", "-o", "O", "--ma", "3"]]
    )
    def test_wrong_usage_is_code_2(self, run, argv):
        code, printed, errors = run(*argv)
        assert (code, printed) == (2, "")
        assert errors.startswith("usage: latent-faces")


class TestFit:
    def test_writes_the_results_and_says_so(self, run, folder, out):
        code, printed, errors = run("fit", folder, "-o", out, *QUICK)
        model = LatentFaces.load(out / "model.npz")
        assert code == 0
        assert printed.splitlines() == [
            "30 faces read",
            "components: 3",
            "iterations: 5 (not converged)",
            f"relative error: {model.error:.6f}",
            f"written to: {out}",
        ]
        assert errors.splitlines() == [f"reading {folder} ...", "fitting 3 components ..."]
        assert model.params == NMFParams(n_components=3, max_iter=5, tol=0)
        assert model.provenance.source == str(folder)
        assert (out / "components/02.png").is_file()

    def test_passes_reading_options_on(self, run, folder, out):
        options = ["--size", "6,5", "--no-subjects"]
        assert run("fit", folder, "-o", out, *QUICK, *options)[0] == 0
        model = LatentFaces.load(out / "model.npz")
        assert model.shape == (30, 6, 5)
        assert model.provenance.subjects is None

    def test_a_warning_is_one_line(self, run, folder, out):
        code, _, errors = run("fit", folder, "-o", out, "-k", 3, "--max-iter", 2)
        assert code == 0
        _, _, warning = errors.splitlines()
        assert warning.startswith("latent-faces: warning: Not converged after 2 iterations")

    def test_skipped_pictures_are_counted_and_where_to_find_them(self, run, folder, out):
        (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
        code, printed, errors = run("fit", folder, "-o", out, *QUICK)
        assert code == 0
        assert printed.startswith("30 faces read, 1 skipped")
        [advice] = re.findall("warning: 1 skipped, listed by latent-faces (.*)", errors)
        _, printed, _ = run(*shlex.split(advice))
        assert "broken.png" in printed

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            (["-k", "31"], "--n-components must be from 1 to 30 (the number of faces), got 31"),
            (["--subjects", "nobody"], "--subjects='nobody' is found in none of the 30 names"),
        ],
    )
    def test_what_does_not_fit_the_faces_is_an_error(self, run, folder, out, argv, words):
        code, printed, errors = run("fit", folder, "-o", out, *argv)
        assert (code, printed) == (1, "")
        assert f"latent-faces: error: {words}" in errors
        assert not out.exists()

    def test_a_missing_folder_is_an_error(self, run, tmp_path, out):
        code, printed, errors = run("fit", tmp_path / "missing", "-o", out)
        assert (code, printed) == (1, "")
        assert errors.splitlines()[-1].startswith("latent-faces: error: There is no folder")

    def test_a_full_disk_is_an_error(self, run, folder, out, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device", "model.npz")

        monkeypatch.setattr(LatentFaces, "save", full)
        code, printed, errors = run("fit", folder, "-o", out, *QUICK)
        assert (code, printed) == (1, "")
        assert errors.endswith("latent-faces: error: model.npz: No space left on device\n")
        assert [path.name for path in out.parent.iterdir()] == [folder.name]

    def test_an_error_shows_where_it_happened_when_asked(self, folder, out, monkeypatch):
        monkeypatch.setenv("LATENT_FACES_DEBUG", "1")
        with pytest.raises(ValueError, match="n_components"):
            main(["fit", str(folder), "-o", str(out), "-k", "31"])

    def test_what_was_reached_when_all_workers_are_lost_is_written(
        self, run, folder, model, out, monkeypatch
    ):
        def lost(*_args, **_kwargs):
            error = ConnectionError("There were no workers for 60 s.")
            error.model = model
            raise error
            yield

        monkeypatch.setattr("napari_latent_faces.fitting.iter_fit", lost)
        code, _, told = run("fit", folder, "-o", out, *QUICK)
        assert code == 1
        assert f"no workers for 60 s. What was reached is written to {out}." in told
        assert LatentFaces.load(out / "model.npz").shape == model.shape

    def test_no_memory_is_an_error_with_words(self, run, folder, out, monkeypatch):
        def too_much(*_args, **_kwargs):
            raise MemoryError

        monkeypatch.setattr("napari_latent_faces.reading.read_faces", too_much)
        code, _, errors = run("fit", folder, "-o", out)
        assert code == 1
        assert errors.endswith("latent-faces: error: out of memory\n")

    def test_warnings_that_the_user_made_errors_stay_errors(self, folder, out, monkeypatch):
        monkeypatch.setattr(sys, "warnoptions", ["error"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(UserWarning):
                main(["fit", str(folder), "-o", str(out), "-k", "3", "--max-iter", "2"])

    def test_real_faces(self, run, data, out):
        code, printed, _ = run("fit", data / "orl", "-k", 20, "--max-iter", 10, "-o", out)
        assert code == 0
        assert printed.startswith("400 faces read")
        model = LatentFaces.load(out / "model.npz")
        assert model.shape == (400, 112, 92)
        assert model.error < 0.25
        assert len(set(model.provenance.subjects)) == 40
        assert (out / "components/19.png").is_file()
        assert (out / "weights.csv").read_text().count("\n") == 401


class TestInterrupt:
    def test_during_a_fit_leaves_nothing(self, folder, out):
        # what runs in the background, as these tests may, is started with a deaf ear for it
        every_step = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "import napari_latent_faces.cli as p; p._PERIOD = 0"
        )
        endless = ["--max-iter", 10**7, "--tol", 0]
        with spawn("fit", folder, "-o", out, "-k", 3, *endless, code=every_step) as process:
            for line in process.stderr:
                if line.startswith("fitting 3 components: "):
                    break
            process.send_signal(signal.SIGINT)
            printed, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert printed == ""
        assert errors.splitlines()[-1] == "latent-faces: interrupted, nothing was written"
        assert "Traceback" not in errors
        assert [path.name for path in out.parent.iterdir()] == [folder.name]


class TestInfo:
    def test_tells_what_is_in_a_folder(self, run, folder):
        (folder / "notes.txt").write_text("no picture")
        (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
        code, printed, errors = run("info", folder)
        assert code == 0
        lines = printed.splitlines()
        assert lines[:5] == [
            f"source: {folder}",
            "faces: 30 of 6 subjects",
            "size: 10 x 12 pixels",
            "pixels: uint8",
            "30 faces read, 1 skipped, 1 other file passed over",
        ]
        assert "broken.png" in printed
        assert "notes.txt" in printed
        assert errors == f"reading {folder} ...\n"

    def test_takes_reading_options(self, run, folder):
        _, printed, _ = run("info", folder, "--size", "6,5", "--no-subjects", "--lazy")
        assert "faces: 30\nsize: 5 x 6 pixels\n" in printed
        assert "(lazy)" in printed

    def test_tells_with_which_options_a_matrix_is_read_otherwise(self, run, pictures, tmp_path):
        np.save(tmp_path / "faces.npy", pictures.reshape(30, -1))
        _, printed, _ = run("info", tmp_path / "faces.npy", "--shape", "12,10")
        [advice] = [line for line in printed.splitlines() if "look wrong" in line]
        for spelling in ("--variable='name'", "--shape=height,width", "--faces='rows'"):
            assert spelling in advice
        assert "--order='C' or 'F'" in advice

    def test_tells_what_is_in_a_model(self, run, model, tmp_path):
        path = tmp_path / "m.npz"
        model.save(path)
        code, printed, errors = run("info", path)
        assert (code, errors) == (0, "")
        facts = dict(line.split(": ", 1) for line in printed.splitlines())
        assert facts["model"] == str(path)
        assert facts["faces"] == "30 of 6 subjects"
        assert facts["size"] == "10 x 12 pixels"
        assert facts["components"] == "3"
        assert facts["iterations"] == "60 (not converged)"
        assert facts["source"] == "made/faces"
        assert facts["relative error"] == f"{model.error:.6f}"
        assert "max_iter=60" in facts["parameters"]
        assert f"napari-latent-faces={__version__}" in facts["versions"]
        shares = [float(share) for share in facts["shares"].split()]
        np.testing.assert_allclose(shares, model.shares, atol=1e-4)

    def test_knows_the_folder_that_fit_wrote(self, run, folder, out):
        run("fit", folder, "-o", out, *QUICK)
        code, printed, _ = run("info", out)
        assert code == 0
        assert printed.startswith(f"model: {out / 'model.npz'}\n")

    def test_reading_options_are_refused_for_a_model(self, run, model, tmp_path):
        model.save(tmp_path / "m.npz")
        code, printed, errors = run("info", tmp_path / "m.npz", "--channel", "red")
        assert (code, printed) == (2, "")
        assert "--channel is for folders of faces" in errors

    def test_what_cannot_be_printed_is_escaped(self, run, model, tmp_path):
        hostile = replace(model.provenance, source="a\x1b[2J\nb\udcff")
        replace(model, provenance=hostile).save(tmp_path / "m.npz")
        code, printed, _ = run("info", tmp_path / "m.npz")
        assert code == 0
        assert r"source: a\x1b[2J\nb\udcff" in printed

    def test_names_beyond_the_terminals_encoding_are_escaped(self, folder):
        place = folder.rename(folder.with_name("面"))
        env = {**os.environ, "PYTHONIOENCODING": "ascii"}
        with spawn("info", place, env=env) as process:
            printed, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        assert r"\u9762" in printed

    @pytest.mark.parametrize("name", ["missing", "notes.txt"])
    def test_other_things_are_errors(self, run, tmp_path, name):
        (tmp_path / "notes.txt").write_text("no picture")
        code, printed, errors = run("info", tmp_path / name)
        assert (code, printed) == (1, "")
        assert errors.splitlines()[-1].startswith("latent-faces: error: ")
        assert name in errors

    def test_a_closed_pipe_is_quiet(self, folder):
        reading, writing = os.pipe()
        os.close(reading)
        start = [sys.executable, "-m", "napari_latent_faces", "info", str(folder)]
        with open(writing, "w") as closed:  # noqa: PTH123
            ran = subprocess.run(
                start, stdout=closed, stderr=subprocess.PIPE, text=True, check=False
            )
        assert ran.returncode == 141
        assert ran.stderr == f"reading {folder} ...\n"


class TestProgress:
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def test_is_a_bar_on_a_terminal(self, monkeypatch):
        terminal = self.Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        with progress("fitting") as show:
            show(50, 200, "relative error 0.2500")
            show(50, 200, "too soon to be drawn")
            write_line("a warning")
        text = terminal.getvalue()
        assert "fitting" in text
        assert f"{'#' * 5:20} 50/200" in text
        assert "too soon" not in text
        assert "relative error 0.2500" in text
        assert "\ra warning\n" in text
        assert text.endswith("\r")  # the bar is gone

    def test_is_a_line_now_and_then_elsewhere(self, monkeypatch, capsys):
        now = 0.0
        monkeypatch.setattr(cli, "time", SimpleNamespace(monotonic=lambda: now))
        with progress("fitting") as show:
            for done in range(1, 251):
                now += 0.125
                show(done, 250, f"error {done}")
        assert capsys.readouterr().err.splitlines() == [
            "fitting ...",
            "fitting: 80 of 250, error 80",
            "fitting: 160 of 250, error 160",
            "fitting: 240 of 250, error 240",
        ]

    def test_without_stderr_is_silent(self, monkeypatch):
        monkeypatch.setattr(sys, "stderr", None)
        with progress("fitting") as show:
            show(1, 2)


class TestStart:
    def test_version(self, run):
        assert run("--version") == (0, f"latent-faces {__version__}\n", "")

    def test_as_a_module(self):
        start = [sys.executable, "-m", "napari_latent_faces", "--version"]
        ran = subprocess.run(start, capture_output=True, text=True, check=True)
        assert ran.stdout == f"latent-faces {__version__}\n"

    def test_help_of_each_command_names_its_arguments(self, run):
        for command, word in (("fit", "OUT"), ("info", "MODEL"), ("demo", "--screenshot")):
            code, printed, _ = run(command, "--help")
            assert code == 0
            assert word in printed

    def test_without_standard_output_works(self, monkeypatch, folder, out):
        monkeypatch.setattr(sys, "stdout", None)
        assert main(["fit", str(folder), "-o", str(out), *QUICK]) == 0
        assert (out / "model.npz").is_file()


def test_a_mask_leaves_pixels_out_of_the_fit(run, folder, out, tmp_path):
    h, w = np.asarray(Image.open(next(folder.rglob("*.p*")))).shape
    mask = np.zeros((h, w), np.uint8)
    mask[:2] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    code, printed, _ = run("fit", folder, "-o", out, *QUICK, "--mask", tmp_path / "mask.png")
    assert code == 0
    model = LatentFaces.load(out / "model.npz")
    np.testing.assert_array_equal(model.mask, mask > 0)
    count, total = model.left_out
    told = f"left out: {count} of {total} pixels ({100 * count / total:.3g} %)\n"
    assert total * 2 == count * h
    assert told in printed
    assert told in run("info", out)[1]


def test_a_mask_of_another_size_is_told(run, folder, out, tmp_path):
    Image.fromarray(np.full((3, 3), 255, np.uint8)).save(tmp_path / "mask.png")
    code, _, errors = run("fit", folder, "-o", out, *QUICK, "--mask", tmp_path / "mask.png")
    assert code == 1
    assert "mask.png" in errors
    assert not out.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_work_is_done_though_nothing_can_be_shown(faces_folder, tmp_path):
    command = [sys.executable, "-m", "napari_latent_faces", "fit", str(faces_folder)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "-k", "2", "-o", str(tmp_path / "out")], stderr=full, check=False
        )
    assert done.returncode == 0
    assert (tmp_path / "out" / "model.npz").is_file()
