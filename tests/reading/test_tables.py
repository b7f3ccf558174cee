from __future__ import annotations

import tarfile
import zipfile
from itertools import product

import pytest
from PIL import Image

from napari_latent_faces import read_faces

NAMES = [f"{i:06}.png" for i in range(1, 13)]
PEOPLE = ["2880", "17", "17", "2880", "5", "5", "17", "5", "2880", "5", "17", "17"]
LABELS = ["4", "1", "1", "4", "7", "7", "1", "7", "4", "7", "1", "1"]
SIGNS = ["-1" if i % 3 else "1" for i in range(12)]


def rows(values, delimiter, *heads, path="{}"):
    lines = [delimiter.join(heads)] if heads else []
    return "\n".join(
        lines
        + [path.format(n) + delimiter + v for n, v in zip(NAMES, values, strict=True)]
        + [""]
    )


@pytest.fixture(name="folder")
def pictures_with_running_numbers(tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    for i, name in enumerate(NAMES):
        Image.effect_noise((9, 8), 20 + i).save(folder / name)
    return folder


TELLING = {
    "identity_CelebA.txt": rows(PEOPLE, " "),
    "identity_CelebA.csv": rows(PEOPLE, ",", "image_id", "identity"),
    "metadata.csv": "".join(
        f"{split},{line}\n"
        for split, line in zip(
            ["split", *"aabb" * 3],
            rows(PEOPLE, ",", "file_name", "subject").split(),
            strict=True,
        )
    ),
    "metadata.jsonl": "".join(
        f'{{"file_name": "{name}", "age": 3, "person_id": {who}}}\n'
        for name, who in zip(NAMES, PEOPLE, strict=True)
    ),
    "labels.csv": "label,filename\n"
    + "".join(f'"{who}","{name}"\n' for name, who in zip(NAMES, PEOPLE, strict=True)),
    "list.txt": rows(LABELS, " ", path="train/{}"),
    "faces.csv": rows(LABELS, ";", path="/home/philipp/at/s1/{}"),
    "windows.txt": rows(LABELS, "\t", path="C:\\faces\\{}"),
    "bom.csv": "\ufeff" + rows(PEOPLE, ",", "image", "Person"),
}


@pytest.mark.parametrize("name", TELLING)
def test_a_table_tells_subjects(folder, name):
    (folder / name).write_text(TELLING[name], encoding="utf-8")
    stack = read_faces(folder)
    wanted = LABELS if name in {"list.txt", "faces.csv", "windows.txt"} else PEOPLE
    assert stack.subjects == tuple(wanted)
    assert any(name in note for note in stack.report.notes)
    assert read_faces(folder, lazy=True).subjects == stack.subjects
    assert read_faces(folder, subjects=False).subjects is None


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("name", ["identity_CelebA.txt", "metadata.jsonl"])
def test_it_does_in_archives(folder, tmp_path, kind, name):
    (folder / name).write_text(TELLING[name])
    path = tmp_path / f"faces.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in folder.iterdir():
                where = "" if file.name == name else "img/"
                archive.write(file, f"set/{where}{file.name}")
    else:
        with tarfile.open(path, "w:gz" if kind[-1] == "z" else "w") as archive:
            archive.add(folder, "set")
    assert read_faces(path).subjects == tuple(PEOPLE)


HARDLY = {
    "list_attr_celeba.txt": "12\nBald Young\n" + rows(SIGNS, "  1 "),
    "list_attr_celeba.csv": rows(SIGNS, ",", "image_id", "Bald"),
    "list_eval_partition.txt": rows(["0", "1", "2"] * 4, " "),
    "list_landmarks_align_celeba.txt": rows(LABELS, " 69 109 "),
    "gender.csv": rows(["0", "1", "0", "1"] * 3, ";"),
    "plain.csv": rows(["0", "1", "0", "1"] * 3, ";"),
    "labels.csv": rows(["happy", "sad", "neutral"] * 4, ",", "file", "label"),
    "all_ratings.txt": rows(["3.5", "2.5", "3.5", "1.5"] * 3, " "),
    "splits.csv": rows(["train", "train", "val", "test"] * 3, ",", "file", "label"),
    "points.txt": "\n".join(f"{i % 12} {i % 4}" for i in range(24)),
    "pairs.txt": "\n".join(f"{a} {b}" for a, b in product(NAMES[:4], NAMES[4:8])),
    "one_each.csv": rows(NAMES, ",", "file", "subject"),
    "few.csv": "file,subject\n000001.png,a\n000002.png,a\n000003.png,b\n",
    "other.csv": "file,subject\nx.png,a\ny.png,a\nz.png,b\n",
    "broken.jsonl": '{"file_name": 3\n[1]\n',
}


@pytest.mark.parametrize("name", HARDLY)
def test_no_subject_is_invented(folder, name):
    (folder / name).write_text(HARDLY[name])
    assert read_faces(folder).subjects is None


def test_the_report_says_that_a_table_hardly_tells_people(folder):
    (folder / "labels.csv").write_text(HARDLY["labels.csv"])
    (note,) = read_faces(folder).report.notes
    assert note.startswith("labels.csv lists these pictures, but hardly tells who they are")


def test_folders_of_people_count_more_than_labels_but_less_than_subjects(tmp_path):
    for i, who in enumerate("aabbcc"):
        (tmp_path / who).mkdir(exist_ok=True)
        Image.effect_noise((9, 8), 20 + i).save(tmp_path / who / f"{i}.png")
    lines = [f"{who}/{i}.png,{i % 3}" for i, who in enumerate("aabbcc")]
    table = tmp_path / "table.csv"
    for head, subjects in (("label", "aabbcc"), ("subject", "012012")):
        table.write_text("\n".join([f"file,{head}", *lines]))
        assert read_faces(tmp_path).subjects == tuple(subjects)


def test_tables_of_several_folders_are_taken_together(tmp_path):
    for part, who in (("train", "xyxy"), ("test", "yx")):
        (tmp_path / part).mkdir()
        lines = ["file_name,subject"]
        for i, subject in enumerate(who):
            Image.effect_noise((9, 8), 20 + i).save(tmp_path / part / f"{i}.png")
            lines.append(f"{i}.png,{subject}")
        (tmp_path / part / "metadata.csv").write_text("\n".join(lines))
    assert read_faces(tmp_path).subjects == ("y", "x", "x", "y", "x", "y")
