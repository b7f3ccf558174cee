"""Names in files of other people: shown as they are, and obeyed nowhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_latent_faces.cli import main
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.stack import FaceStack, harmless
from napari_latent_faces.viewer.layers import faces_layer
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.panels.fit import FitWidget
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import text_overlay

EVIL = (
    '<img src="/nowhere/canary.png">',
    "a <b>bold</b> name",
    "< img src=x>",
    "<?xml version='1.0'?><img src=x>",
    "<!doctype html><img src=x>",
    "&lt;img src=x&gt;<img src=x>",
)


def is_rich(text):
    """Tell whether a label would take a text for HTML."""
    rich = (
        getattr(Qt, "mightBeRichText", None)
        or pytest.importorskip("PySide6.QtGui").Qt.mightBeRichText
    )
    return rich(text)


@pytest.mark.parametrize("name", EVIL)
def test_no_name_is_html(qapp, name):
    assert is_rich(name)
    assert not is_rich(harmless(name))
    assert harmless(name).replace("\N{COMBINING GRAPHEME JOINER}", "") == name
    assert harmless(harmless(name)) == harmless(name)


def test_control_characters_are_escaped_and_other_names_stay_as_they_are():
    assert harmless("\x1b]0;PWNED\x07\n.png") == r"\x1b]0;PWNED\x07\n.png"
    for name in ("s1/1.pgm", "Zoë & Co.png", "姓名.png", "a>b"):
        assert harmless(name) == name


def evil_model(model):
    names = [EVIL[0]] * len(model.weights)
    return replace(model, provenance=replace(model.provenance, names=names, subjects=names))


def test_overlay_and_status_bar(empty_viewer, model, tmp_path):
    path = tmp_path / "<img src=x>.npz"
    evil_model(model).save(path)
    session_of(empty_viewer)
    for data in model_layers(LatentFaces.load(path), path.stem):
        layer = empty_viewer.add_layer(Layer.create(*data))
    status = empty_viewer.status
    shown = [layer.name, text_overlay(empty_viewer).text, status["coordinates"]]
    assert all("<" in text for text in shown)
    assert not any(map(is_rich, [*shown, status["layer_base"]]))


def test_notifications_and_panel(empty_viewer, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    stack = FaceStack(np.full((4, 8, 8), -1.0), EVIL[:4], EVIL[:4])
    empty_viewer.add_layer(Layer.create(*faces_layer(stack, EVIL[0])))
    panel = FitWidget(empty_viewer)
    qtbot.addWidget(panel)
    panel.parameters["n_components"].value = 2
    panel.start()
    qtbot.waitUntil(lambda: not panel.is_working, timeout=60_000)
    assert "img" in panel.status.value
    assert [text for text in told if "img" in text]
    assert not any(map(is_rich, [*told, panel.status.value]))
    labels = panel.findChildren(QLabel)
    assert {label.textFormat() for label in labels} == {Qt.TextFormat.PlainText}


def test_terminal(model, tmp_path, capsys):
    path = tmp_path / "\x1b[31mred.npz"
    path.write_bytes(b"no model")
    assert main(["info", str(path)]) != 0
    names = ["\x1b[31mred"] * len(model.weights)
    replace(model, provenance=replace(model.provenance, names=names)).save(tmp_path / "m.npz")
    assert main(["generate", str(tmp_path / "m.npz"), "--near", "x", "-o", str(tmp_path)]) != 0
    heard = capsys.readouterr()
    assert r"\x1b[31mred" in heard.err
    assert "\x1b" not in heard.out + heard.err
