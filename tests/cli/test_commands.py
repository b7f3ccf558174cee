from __future__ import annotations

import io
import os
import re
import shlex
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces import __version__, cli
from napari_latent_faces.cli import main, progress, write_line
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import NMFParams
from tests.cli.conftest import QUICK, pixels
from tests.helpers import PATIENCE


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
        code, printed, _ = run("info", out)
        assert (code, printed.splitlines()[0]) == (0, f"model: {out / 'model.npz'}")

    def test_passes_reading_options_on_and_a_warning_is_one_line(self, run, folder, out):
        options = ["-k", 3, "--max-iter", 2, "--size", "6,5", "--no-subjects"]
        code, _, errors = run("fit", folder, "-o", out, *options)
        assert code == 0
        _, _, warning = errors.splitlines()
        assert warning.startswith("latent-faces: warning: Not converged after 2 iterations")
        model = LatentFaces.load(out / "model.npz")
        assert model.shape == (30, 6, 5)
        assert model.provenance.subjects is None

    def test_what_a_warning_advises_can_be_typed(self, run, folder, out):
        (folder / "cut.png").write_bytes((folder / "s1/1.png").read_bytes()[:60])
        code, printed, errors = run("fit", folder, "-o", out, *QUICK)
        assert code == 0
        assert printed.startswith("30 faces read, 1 skipped")
        [advice] = re.findall("warning: 1 skipped, listed by latent-faces (.*)", errors)
        _, printed, _ = run(*shlex.split(advice))
        assert "cut.png" in printed
        _, _, errors = run("fit", folder, "-o", out, *QUICK, "--force", "--lazy")
        assert "--no-lazy" in errors
        assert "lazy=" not in errors

    def test_a_mask_leaves_pixels_out(self, run, folder, out, mask):
        code, printed, _ = run("fit", folder, "-o", out, *QUICK, "--mask", mask)
        assert code == 0
        np.testing.assert_array_equal(
            LatentFaces.load(out / "model.npz").mask, pixels(mask) > 0
        )
        for told in (printed, run("info", out)[1]):
            assert "left out: 540 of 3600 pixels (15 %)\n" in told

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            (["-k", "31"], "--n-components must be from 1 to 30 (the number of faces), got 31"),
            (["--subjects", "nobody"], "--subjects='nobody' is found in none of the 30 names"),
            (["--mask", "small.png"], "The mask small.png has 3 x 3 pixels"),
        ],
    )
    def test_what_does_not_fit_the_faces_is_an_error(
        self, run, folder, out, argv, words, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        Image.fromarray(np.full((3, 3), 255, np.uint8)).save("small.png")
        code, printed, errors = run("fit", folder, "-o", out, *argv)
        assert (code, printed) == (1, "")
        assert f"latent-faces: error: {words}" in errors
        assert not out.exists()

    def test_a_missing_folder_is_an_error(self, run, tmp_path, out):
        code, printed, errors = run("fit", tmp_path / "missing", "-o", out)
        assert (code, printed) == (1, "")
        assert errors.splitlines()[-1].startswith("latent-faces: error: There is no folder")

    @pytest.mark.parametrize(
        ("where", "error", "words"),
        [
            (
                "model.LatentFaces.save",
                OSError(28, "No space left on device", "model.npz"),
                "model.npz: No space left on device",
            ),
            ("reading.read_faces", MemoryError(), "out of memory"),
        ],
    )
    def test_a_full_disk_and_no_memory_are_errors(
        self, run, folder, out, monkeypatch, where, error, words
    ):
        def fail(*_args, **_kwargs):
            raise error

        monkeypatch.setattr(f"napari_latent_faces.{where}", fail)
        code, printed, errors = run("fit", folder, "-o", out, *QUICK)
        assert (code, printed) == (1, "")
        assert errors.endswith(f"latent-faces: error: {words}\n")
        assert [path.name for path in out.parent.iterdir()] == [folder.name]

    def test_errors_are_raised_when_asked(self, folder, out, monkeypatch):
        monkeypatch.setenv("LATENT_FACES_DEBUG", "1")
        with pytest.raises(ValueError, match="n_components"):
            main(["fit", str(folder), "-o", str(out), "-k", "31"])
        monkeypatch.setattr(sys, "warnoptions", ["error"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(UserWarning):
                main(["fit", str(folder), "-o", str(out), "-k", "3", "--max-iter", "2"])

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

    def test_real_faces(self, run, data, out):
        code, printed, _ = run("fit", data / "orl", "-k", 20, "--max-iter", 10, "-o", out)
        assert code == 0
        assert printed.startswith("400 faces read")
        model = LatentFaces.load(out / "model.npz")
        assert model.shape == (400, 112, 92)
        assert model.error < 0.25
        assert len(set(model.provenance.subjects)) == 40
        assert (out / "weights.csv").read_text().count("\n") == 401

    def test_an_interrupt_leaves_nothing(self, folder, out):
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
        assert printed.splitlines()[:5] == [
            f"source: {folder}",
            "faces: 30 of 6 subjects",
            "size: 10 x 12 pixels",
            "pixels: uint8",
            "30 faces read, 1 skipped, 1 other file passed over",
        ]
        assert "broken.png" in printed
        assert "notes.txt" in printed
        assert errors == f"reading {folder} ...\n"
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

    def test_tells_what_is_in_a_model(self, run, model, file):
        code, printed, errors = run("info", file)
        assert (code, errors) == (0, "")
        facts = dict(line.split(": ", 1) for line in printed.splitlines())
        assert facts["model"] == str(file)
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
        code, printed, errors = run("info", file, "--channel", "red")
        assert (code, printed) == (2, "")
        assert "--channel is for folders of faces" in errors

    def test_what_cannot_be_printed_is_escaped(self, run, model, folder, file):
        hostile = replace(model.provenance, source="a\x1b[2J\nb\udcff")
        replace(model, provenance=hostile).save(file)
        assert r"source: a\x1b[2J\nb\udcff" in run("info", file)[1]
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


class TestProgress:
    def test_is_a_bar_on_a_terminal(self, monkeypatch):
        terminal = io.StringIO()
        terminal.isatty = lambda: True
        monkeypatch.setattr(sys, "stderr", terminal)
        with progress("fitting") as show:
            show(50, 200, "relative error 0.2500")
            show(50, 200, "too soon to be drawn")
            write_line("a warning")
        text = terminal.getvalue()
        assert f"{'#' * 5:20} 50/200  relative error 0.2500" in text
        assert "too soon" not in text
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


class TestStreams:
    """Standard output and standard error may be closed, full, or not there."""

    def test_without_them_the_work_is_done(self, monkeypatch, folder, out):
        monkeypatch.setattr(sys, "stdout", None)
        monkeypatch.setattr(sys, "stderr", None)
        assert main(["fit", str(folder), "-o", str(out), *QUICK]) == 0
        assert (out / "model.npz").is_file()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
    def test_the_work_is_done_though_nothing_can_be_shown(self, folder, out):
        with Path("/dev/full").open("w") as full:
            command = [sys.executable, "-m", "napari_latent_faces", "fit", folder, *QUICK]
            done = subprocess.run([*command, "-o", out], stderr=full, check=False)
        assert done.returncode == 0
        assert (out / "model.npz").is_file()

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


def test_version_and_help(run):
    assert run("--version") == (0, f"latent-faces {__version__}\n", "")
    start = [sys.executable, "-m", "napari_latent_faces", "--version"]
    ran = subprocess.run(start, capture_output=True, text=True, check=True)
    assert ran.stdout == f"latent-faces {__version__}\n"
    for command, word in (("fit", "OUT"), ("info", "MODEL"), ("demo", "--screenshot")):
        code, printed, _ = run(command, "--help")
        assert code == 0
        assert word in printed
