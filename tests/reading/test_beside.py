"""What files beside the pictures tell: points, and whose they are."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from napari_latent_faces import FaceStack, ReadReport, read_faces
from napari_latent_faces.reading.beside import read_points
from tests.pictures import face, make, packed

POINTS = {  # x, y as files have them
    "a/one.jpg": [[3, 5], [7.5, 6]],
    "a/two.jpg": [[2, 4], [8, 4]],
    "b/three.png": [[1, 1], [9, 8]],
}


@pytest.fixture
def stack():
    return FaceStack(np.zeros((3, 12, 10), "u1"), tuple(POINTS))


def expected(*missing: int):
    points = np.array(list(POINTS.values()), float)[..., ::-1].copy()
    points[list(missing)] = np.nan
    return points


def write(folder, name, text):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


BESIDE = {
    "pts": "version: 1\nn_points:  2\n{{\n{0} {1}\n{2} {3}\n}}\n",  # FG-NET, iBUG
    "tem": "2\r\n{0}\t{1}\r\n{2}\t{3}\r\n1\r\n0\r\n2\r\n0 1\r\n",  # webmorph, with lines
    # shares of the size
    "asf": "# AAM shape\n2\n0 0 {4} {5} 0 0 0\n0 0 {6} {7} 1 0 0\none.jpg\n",
}


@pytest.mark.parametrize("extension", BESIDE)
def test_a_file_for_each_picture(tmp_path, stack, extension):
    for name, points in POINTS.items():
        numbers = [*np.ravel(points), *np.ravel(points / np.array([10, 12]))]
        text = BESIDE[extension].format(*numbers)
        write(tmp_path, f"{name.rsplit('.', 1)[0]}.{extension}", text)
    np.testing.assert_allclose(read_points(tmp_path, stack), expected())


def test_a_face_without_a_file_has_no_points(tmp_path, stack):
    write(tmp_path, "a/one.tem", "2\n3 5\n7.5 6\n")
    write(tmp_path, "a/two.tem", "2\n2 4\n8 4\n")
    write(tmp_path, "a/other.tem", "2\n2 4\n8 4\n")
    np.testing.assert_array_equal(read_points(tmp_path, stack), expected(2))


ROWS = [(name, [v for point in points for v in point]) for name, points in POINTS.items()]


def table(*heads, mark=",", rows=ROWS):
    """Return lines of a name and its numbers each, below others."""
    return "\n".join([*heads, *(mark.join(map(str, [name, *row])) for name, row in rows)])


IN_COLUMNS = [(name, [0.9, row[0], row[2], row[1], row[3]]) for name, row in ROWS]  # x before y
A_POINT_A_ROW = [(name, [y, x]) for name, points in POINTS.items() for x, y in points]
OF_NAPARI = [
    (f"{2 * i + j}.0", [f"{i}.0", *point[::-1]])
    for i, points in enumerate(POINTS.values())
    for j, point in enumerate(points)
    if i != 1
]
PARTS = "".join(
    f"<image file='pictures/{name}'><box top='1' left='1' width='5' height='5'>"
    f"<part name='01' x='{x1}' y='{y1}'/><part name='00' x='{x0}' y='{y0}'/></box></image>"
    for name, (x0, y0, x1, y1) in ROWS
)
CELEBA = "3\nlefteye_x lefteye_y righteye_x righteye_y "


@pytest.mark.parametrize(
    ("name", "text", "missing"),
    [
        ("list_landmarks_align_celeba.txt", table(CELEBA, mark=" "), []),
        ("training.xml", f"<dataset><images>{PARTS}</images></dataset>", []),  # of dlib
        ("p.csv", table("file,left_x,left_y,right_x,right_y"), []),
        ("p.csv", table("Filename;leftX_x;leftX_y;right_x;right_y", mark=";"), []),
        ("p.csv", table(), []),
        ("p.csv", table("name,sure,x_0,x_1,y_0,y_1", rows=IN_COLUMNS), []),
        ("p.csv", table("image,y,x", rows=A_POINT_A_ROW[:4]), [2]),
        ("Points.csv", table("index,axis-0,axis-1,axis-2", rows=OF_NAPARI), [1]),
    ],
)
def test_one_file_for_all_pictures(tmp_path, stack, name, text, missing):
    points = read_points(write(tmp_path, name, text), stack)
    np.testing.assert_array_equal(points, expected(*missing))


def test_points_follow_pictures_that_were_resized(tmp_path):
    report = ReadReport(n_read=2, resized=(("b.png", (24, 20)),))
    stack = FaceStack(np.zeros((2, 12, 10), "u1"), ("a.png", "b.png"), report=report)
    text = "name,x1,y1,x2,y2\na.png,0,0,9,11\nb.png,0,0,19,23\n"
    points = read_points(write(tmp_path, "p.csv", text), stack)
    np.testing.assert_allclose(points[0], [[0, 0], [11, 9]])
    np.testing.assert_allclose(points[1], [[-0.25, -0.25], [11.25, 9.25]])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "name,x,y\nelsewhere,1,2\n", "for none of the faces, such as a/one.jpg"),
        ("a.csv", "name,x,y\none,1,2\none,3,4\ntwo,1,2\n", "two.jpg has 1 points and others 2"),
        ("a.csv", "who,x,y\none,1,2\n", "column of names"),
        ("a.csv", "name,x,y\none,1,two\n", "a.csv cannot be read: row 2: could not"),
        ("a.csv", "", "it is empty"),
        ("a.xml", "<dataset><images>", "a.xml cannot be read"),
        ("a.doc", "", "no known file of points"),
        ("one.pts", "{1 2 3 4}", "give the folder"),
    ],
)
def test_files_that_cannot_be_understood_are_named(tmp_path, stack, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_points(write(tmp_path, name, text), stack)


def test_damaged_and_missing_files_are_named(tmp_path, stack):
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        read_points(tmp_path / "nothing", stack)
    with pytest.raises(ValueError, match="holds no files of points"):
        read_points(tmp_path, stack)
    write(tmp_path, "a/one.tem", "3\n1 2\n")
    with pytest.raises(ValueError, match=r"one\.tem cannot be read: 3 points are announced"):
        read_points(tmp_path, stack)


NAMES = [f"{i:06}.png" for i in range(1, 13)]
PEOPLE = ["2880", "17", "17", "2880", "5", "5", "17", "5", "2880", "5", "17", "17"]
LABELS = ["4", "1", "1", "4", "7", "7", "1", "7", "4", "7", "1", "1"]
SIGNS = ["-1" if i % 3 else "1" for i in range(12)]


def lines(template, values, *head):
    """Return a line for each picture, of its name, its value and a letter."""
    filled = map(template.format, NAMES, values, "aabb" * 3)
    return "\n".join([*head, *filled, ""])


@pytest.fixture(name="folder")
def pictures_with_running_numbers(tmp_path):
    return make(tmp_path / "faces", {name: face(seed=i) for i, name in enumerate(NAMES)})


TELLING = {
    "identity_CelebA.txt": lines("{} {}", PEOPLE),
    "identity_CelebA.csv": lines("{},{}", PEOPLE, "image_id,identity"),
    "metadata.csv": lines("{2},{0},{1}", PEOPLE, "split,file_name,subject"),
    "metadata.jsonl": lines('{{"file_name": "{}", "age": 3, "person_id": {}}}', PEOPLE),
    "labels.csv": lines('"{1}","{0}"', PEOPLE, "label,filename"),
    "list.txt": lines("train/{} {}", LABELS),
    "faces.csv": lines("/home/philipp/at/s1/{};{}", LABELS),
    "windows.txt": lines("C:\\faces\\{}\t{}", LABELS),
    "bom.csv": "\ufeff" + lines("{},{}", PEOPLE, "image,Person"),
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
    (folder / "img").mkdir()
    for picture in folder.glob("*.png"):
        picture.rename(folder / "img" / picture.name)
    path = packed(folder, tmp_path / f"faces.{kind}")
    assert read_faces(path).subjects == tuple(PEOPLE)


HARDLY = {
    "list_attr_celeba.txt": lines("{}  1 {}", SIGNS, "12", "Bald Young"),
    "list_attr_celeba.csv": lines("{},{}", SIGNS, "image_id,Bald"),
    "list_eval_partition.txt": lines("{} {}", "012" * 4),
    "list_landmarks_align_celeba.txt": lines("{} 69 109 {}", LABELS),
    "gender.csv": lines("{};{}", "0101" * 3),
    "labels.csv": lines("{},{}", ["happy", "sad", "neutral"] * 4, "file,label"),
    "all_ratings.txt": lines("{} {}", ["3.5", "2.5", "3.5", "1.5"] * 3),
    "splits.csv": lines("{},{}", ["train", "train", "val", "test"] * 3, "file,label"),
    "points.txt": "\n".join(f"{i % 12} {i % 4}" for i in range(24)),
    "pairs.txt": "\n".join(f"{a} {b}" for a, b in product(NAMES[:4], NAMES[4:8])),
    "one_each.csv": lines("{},{}", NAMES, "file,subject"),
    "few.csv": "file,subject\n000001.png,a\n000002.png,a\n000003.png,b\n",
    "other.csv": "file,subject\nx.png,a\ny.png,a\nz.png,b\n",
    "broken.jsonl": '{"file_name": 3\n[1]\n',
}


@pytest.mark.parametrize("name", HARDLY)
def test_no_subject_is_invented(folder, name):
    (folder / name).write_text(HARDLY[name])
    stack = read_faces(folder)
    assert stack.subjects is None
    if name == "labels.csv":
        (note,) = stack.report.notes
        assert note.startswith("labels.csv lists these pictures, but hardly tells who they are")


def test_folders_of_people_count_more_than_labels_but_less_than_subjects(tmp_path):
    names = [f"{who}/{i}.png" for i, who in enumerate("aabbcc")]
    make(tmp_path, {name: face(seed=i) for i, name in enumerate(names)})
    labels = [f"{name},{i % 3}" for i, name in enumerate(names)]
    for head, subjects in (("label", "aabbcc"), ("subject", "012012")):
        write(tmp_path, "table.csv", "\n".join([f"file,{head}", *labels]))
        assert read_faces(tmp_path).subjects == tuple(subjects)


def test_tables_of_several_folders_are_taken_together(tmp_path):
    for part, people in (("train", "xyxy"), ("test", "yx")):
        owners = [f"{i}.png,{who}" for i, who in enumerate(people)]
        write(tmp_path, f"{part}/metadata.csv", "\n".join(["file_name,subject", *owners]))
        make(tmp_path / part, {f"{i}.png": face(seed=i) for i in range(len(people))})
    assert read_faces(tmp_path).subjects == ("y", "x", "x", "y", "x", "y")
