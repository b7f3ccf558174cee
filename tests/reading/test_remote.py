from __future__ import annotations

import io
import pickle
import subprocess
import sys
import threading
import traceback
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest

from napari_latent_faces.cli import main
from napari_latent_faces.fitting import fit
from napari_latent_faces.reading import ArchiveError, NoFacesError, looks_like_faces, read_faces
from napari_latent_faces.reading.sources import is_url, masked
from napari_latent_faces.viewer.layers import faces_layer
from tests.pictures import encoded, face, make, packed, people, tarred, zipped

KINDS = ["files", "zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"]


class Ranged(SimpleHTTPRequestHandler):
    """A server of one folder that sends parts of files, or all of them if told so."""

    knows_ranges = True

    def log_message(self, *args):
        pass

    def do_GET(self):
        wanted = self.headers.get("Range")
        if self.path.startswith("/refused"):
            self.send_error(403)
        elif wanted is None or not self.knows_ranges or self.path.endswith("/"):
            super().do_GET()
        else:
            content = Path(self.translate_path(self.path)).read_bytes()
            first, last = wanted.removeprefix("bytes=").split("-")
            part = content[int(first) : int(last) + 1]
            self.server.sent.append(len(part))
            self.send_response(206)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)


@pytest.fixture
def web(tmp_path):
    """Serve a folder on this machine; its address, and the bytes of each range sent."""
    pytest.importorskip("aiohttp")
    pytest.importorskip("requests")

    def handler(*args):
        return Ranged(*args, directory=str(tmp_path))

    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.sent = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", sent=server.sent)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def memory():
    """Return an empty file system in memory."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    yield fs
    fs.store.clear()


def same(stack, expected):
    assert stack.names == expected.names
    assert stack.subjects == expected.subjects
    assert stack.report == expected.report
    np.testing.assert_array_equal(np.asarray(stack), np.asarray(expected))


def put(folder, kind):
    """Pack a folder into an archive beside it, unless the kind is `files`."""
    return folder if kind == "files" else packed(folder, folder.with_name(f"faces.{kind}"))


def test_urls_are_told_from_paths():
    urls = "s3://b/f HTTPS://h/f.zip memory://f zip://::https://h/f.zip simplecache::s3://b/f"
    assert all(map(is_url, urls.split()))
    assert not any(map(is_url, ["C:\\faces", "C://faces", "faces", "/faces/a::b", "a b://c"]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lazy", [False, True])
def test_every_place_reads_as_the_folder_does(tmp_path, memory, kind, lazy):
    root = people(tmp_path / "files", 3, 11)  # and what a listing has to judge
    extra = {"README.txt": b"x", "0.pgm": b"", "s1/3.pgm.bad": b"P5", "s1/broken.png": b"\x89P"}
    make(root, extra | {".hidden/a/1.pgm": face(), "unknown.glasses": b"GIF"})
    expected = read_faces(root, lazy=lazy)
    path = put(root, kind)
    slash = "/" * path.is_dir()
    memory.put(f"{path}{slash}", f"/some/{path.name}", recursive=True)
    for place in (str(path), path.as_uri(), f"memory://some/{path.name}"):
        stack = read_faces(place, lazy=lazy)
        same(stack, expected)
        assert stack.source == place
    same(pickle.loads(pickle.dumps(stack)), expected)
    assert set(tmp_path.iterdir()) == {root, path}


def test_chains_come_for_free(tmp_path, memory):
    path = zipped(people(tmp_path / "files"), tmp_path / "faces.zip")
    memory.pipe_file("/faces.zip", path.read_bytes())
    same(read_faces("zip://::memory://faces.zip"), read_faces(path))


@pytest.mark.parametrize("knows_ranges", [True, False])
@pytest.mark.parametrize("kind", ["files", "zip", "tar", "tar.gz"])
def test_a_web_server(tmp_path, web, monkeypatch, kind, knows_ranges):
    monkeypatch.setattr(Ranged, "knows_ranges", knows_ranges)
    path = put(people(tmp_path / "files", 3, 2), kind)
    for lazy in (False, True):
        same(read_faces(f"{web.url}/{path.name}", lazy=lazy), read_faces(path, lazy=lazy))


def test_names_on_a_web_server_are_spelled_out(tmp_path, web):
    path = make(tmp_path / "some faces", {"ä b.pgm": face(), "1%20.pgm": face()})
    same(read_faces(f"{web.url}/some%20faces/"), read_faces(path))


def test_only_a_part_of_a_zip_is_sent(tmp_path, web):
    make(people(tmp_path / "files", 2, 2), {"movie.avi": bytes(4_000_000)})
    zipped(tmp_path / "files", tmp_path / "faces.zip", zipfile.ZIP_STORED)
    assert len(read_faces(f"{web.url}/faces.zip")) == 4
    assert sum(web.sent) < 2_000_000


@pytest.mark.parametrize("kind", ["files", "zip"])
def test_another_process_reads_a_lazy_stack(tmp_path, web, kind):
    path = put(people(tmp_path / "files", 3, 2), kind)
    stack = read_faces(f"{web.url}/{path.name}", lazy=True)
    code = (
        "import pickle, sys; images = pickle.load(sys.stdin.buffer);"
        "sys.stdout.buffer.write(images.compute(scheduler='sync').tobytes())"
    )
    command = [sys.executable, "-c", code]
    sent = pickle.dumps(stack.images)
    done = subprocess.run(command, input=sent, stdout=subprocess.PIPE, check=True)
    assert done.stdout == np.asarray(read_faces(path)).tobytes()


class TestErrors:
    @pytest.mark.parametrize(
        ("url", "kind", "message"),
        [
            ("memory://nothing", FileNotFoundError, "archive {url}: check the address"),
            ("file:///no/such/folder", FileNotFoundError, "archive {url}: check the address"),
            ("{web}/faces.zip", FileNotFoundError, "{url}: check"),
            ("{web}/refused.zip", PermissionError, r"refused.zip may not be read \(403"),
            ("http://127.0.0.1:1/a.zip", ConnectionError, "127.0.0.1:1/a.zip cannot be read"),
            ("nosuch://faces", ValueError, "{url} cannot be read: no such protocol"),
            ("memory://bad.zip", ArchiveError, "{url} is damaged"),
            ("memory://text", NoFacesError, "{url} is neither"),
            ("memory://folder", NoFacesError, "no picture that can be read in {url}"),
        ],
    )
    def test_what_cannot_be_read(self, web, memory, monkeypatch, url, kind, message):
        monkeypatch.setattr(Ranged, "do_HEAD", Ranged.do_GET)
        memory.pipe_file("/bad.zip", b"PK\3\4 and then nothing")
        memory.pipe_file("/text", b"x")
        memory.pipe_file("/folder/a.txt", b"x")
        url = url.format(web=web.url)
        with pytest.raises(kind, match=message.format(url=url)):
            read_faces(url)

    def test_a_missing_package(self, monkeypatch):
        def missing(url):
            raise ImportError("Install s3fs to access S3")

        monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
        with pytest.raises(ModuleNotFoundError, match=r"s3://b/f .*Install s3fs.*\[remote\]"):
            read_faces("s3://b/f")

    def test_a_connection_that_breaks_is_no_damage(self, tmp_path, memory, monkeypatch):
        path = tarred(people(tmp_path / "files"), tmp_path / "faces.tar")
        memory.pipe_file("/faces.tar", path.read_bytes())

        class Breaking(io.BytesIO):
            def read(self, size=-1):
                if self.tell() > 512:
                    raise OSError("reset by peer")
                return super().read(size)

        content = path.read_bytes()
        monkeypatch.setattr(type(memory), "_open", lambda *_, **__: Breaking(content))
        with pytest.raises(ConnectionError, match=r"memory://faces.tar .* \(reset by peer\)"):
            read_faces("memory://faces.tar")


SECRET = "pa55"


def test_secrets_are_masked():
    for text, expected in {
        "https://me:pa55@host/a.zip": "https://***@host/a.zip",
        "https://host/a.zip?X-Sig=pa55&x=1": "https://host/a.zip?***",
        "https://host/a.zip?pa55#pa55": "https://host/a.zip?***#***",
        "s3://bucket/faces": "s3://bucket/faces",
        "zip::https://pa55@h/a": "zip::https://***@h/a",
        "403 for url='https://h/a?k=pa55' (no)": "403 for url='https://h/a?***' (no)",
        "a@b and what?": "a@b and what?",
        "C:\\a?b": "C:\\a?b",
    }.items():
        assert masked(text) == expected


class TestSecrets:
    """None is in a message, a report, a layer, a model or a table."""

    @pytest.mark.parametrize("name", ["gone.zip", "refused.zip", "text.zip", "a.png"])
    def test_in_errors(self, web, tmp_path, name):
        make(tmp_path, {"text.zip": b"no zip at all" * 99, "a.png": face()})
        url = f"{web.url.replace('http://', f'http://me:{SECRET}@')}/{name}?sig={SECRET}"
        with pytest.raises((OSError, ValueError)) as error:
            read_faces(url)
        shown = "".join(traceback.format_exception(error.value))
        assert SECRET not in str(error.value)
        assert SECRET not in shown.splitlines()[-1]

    def test_in_results(self, web, tmp_path):
        zipped(people(tmp_path / "files", 2, 2), tmp_path / "a.zip")
        stack = read_faces(f"{web.url}/a.zip?sig={SECRET}")
        assert len(stack) == 4
        assert stack.source == f"{web.url}/a.zip?***"
        assert SECRET not in repr(stack) + stack.report.details()
        _, attributes, _ = faces_layer(stack, "faces")
        assert SECRET not in repr(attributes["metadata"])
        model = fit(stack, n_components=2, max_iter=2, tol=0)
        model.save(tmp_path / "m.npz")
        assert SECRET.encode() not in (tmp_path / "m.npz").read_bytes()


def test_napari_is_told_no_at_once():
    assert not looks_like_faces("https://host.invalid/faces.zip")


def test_the_command_line_takes_urls(memory, capsys):
    for s, i in ((1, 1), (1, 2), (2, 1)):
        memory.pipe_file(f"/faces/s{s}/{i}.pgm", encoded(face(), "pgm"))
    assert main(["info", "memory://faces"]) == 0
    assert "source: memory://faces\nfaces: 3 of 2 subjects" in capsys.readouterr().out
