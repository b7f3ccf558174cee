from __future__ import annotations

import csv
from functools import partial

import pytest

QUICK = ["--n-starts", "2", "--n-folds", "2"]


@pytest.fixture
def run(run):
    return partial(run, "choose-k")


def test_it_prints_the_measures_and_writes_them(run, faces_folder, tmp_path):
    out = tmp_path / "choice.csv"
    code, printed, errors = run(faces_folder, "--k", "2:6:2", "--out", out, *QUICK)
    assert code == 0
    head, *lines = printed.splitlines()
    assert head.split() == ["k", "error", "held-out", "+-", "stability"]
    assert [int(line.split()[0]) for line in lines[:3]] == [2, 4, 6]
    assert [line.endswith(" *") for line in lines[:3]] == [False, True, False]
    assert lines[3].startswith("k = 4 ")
    assert lines[4] == f"written to: {out}"
    assert errors.splitlines()[1] == "measuring numbers of components ..."
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, line in zip(rows, lines, strict=False):
        assert f"{float(row['held_out_error']):.4f}" == line.split()[2]


def test_ctrl_c_writes_what_is_there(run, faces_folder, tmp_path, monkeypatch):
    from napari_latent_faces import choosing

    def interrupted(*args, **changes):
        for step in iter_choose_k(*args, **changes):
            yield step
            if len(step.choice) == 1:
                raise KeyboardInterrupt

    iter_choose_k = choosing.iter_choose_k
    monkeypatch.setattr(choosing, "iter_choose_k", interrupted)
    out = tmp_path / "choice.csv"
    code, printed, _ = run(faces_folder, "-k", "2,3,4", "-o", out, *QUICK)
    assert code == 0
    assert [line.split(",")[0] for line in out.read_text().splitlines()] == ['"k"', "2"]
    assert "k = 2" in printed


def test_ctrl_c_before_anything_is_measured_writes_nothing(
    run, faces_folder, tmp_path, monkeypatch
):
    def interrupted(*_, **__):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("napari_latent_faces.choosing.iter_choose_k", interrupted)
    out = tmp_path / "choice.csv"
    code, printed, errors = run(faces_folder, "-o", out)
    assert (code, printed) == (130, "")
    assert "interrupted" in errors
    assert not out.exists()


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["-k", "5:"], 2, "k must be 'auto'"),
        (["--n-folds", "1"], 2, "--n-folds must be from 2 to 100"),
        (["--tol", "-1"], 2, "--tol must be"),
        (["-k", "99"], 1, "k must be from 1 to 24"),
        (["-o", "none/c.csv"], 1, "make it first"),
    ],
)
def test_what_is_wrong_is_told(run, faces_folder, argv, code, words):
    found, printed, errors = run(faces_folder, *argv)
    assert (found, printed) == (code, "")
    assert words in errors


def test_a_file_is_not_replaced_unless_asked(run, faces_folder, tmp_path):
    out = tmp_path / "choice.csv"
    out.write_text("mine")
    code, _, errors = run(faces_folder, "-o", out)
    assert code == 1
    assert "--force" in errors
    assert out.read_text() == "mine"
    assert run(faces_folder, "-k", "2", "-o", out, "--force", *QUICK)[0] == 0
    assert out.read_text() != "mine"
