"""Drawn faces: reproducible, of any size, and alike where faces are."""

from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces.drawing.traits import random_person
from napari_latent_faces.synthetic import _generator, draw_faces

SMALL = (56, 46)


@pytest.fixture(scope="module")
def faces():
    """Twelve people, four pictures of each."""
    return draw_faces(12, 4, shape=SMALL)


def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


class TestStack:
    def test_default_is_shaped_like_orl(self):
        stack = draw_faces()
        assert stack.shape == (400, 112, 92)
        assert stack.dtype == np.uint8
        assert len(set(stack.subjects)) == 40
        assert stack.source == "synthetic faces"
        assert stack.report.n_read == 400

    def test_names_and_subjects_go_together(self, faces):
        assert faces.names[:5] == (
            "s01/01.png",
            "s01/02.png",
            "s01/03.png",
            "s01/04.png",
            "s02/01.png",
        )
        assert [name.split("/")[0] for name in faces.names] == list(faces.subjects)
        assert sorted(faces.names) == list(faces.names)

    def test_names_sort_beyond_ninety_nine(self):
        stack = draw_faces(101, 1, shape=(8, 8))
        assert sorted(stack.names) == list(stack.names)
        assert stack.subjects[0] == "s001"

    def test_every_picture_uses_the_greys_of_a_photograph(self, faces):
        flat = faces.matrix.astype(float)
        assert (flat.std(axis=1) > 15).all()
        assert ((flat.mean(axis=1) > 40) & (flat.mean(axis=1) < 180)).all()
        assert (flat == 255).mean() < 0.01

    @pytest.mark.parametrize(
        "shape", [(8, 8), (19, 19), (25, 31), (30, 90), (90, 30), (224, 184)]
    )
    def test_any_shape_shows_the_same_person(self, shape):
        drawn = draw_faces(1, 1, shape=shape).images
        assert drawn.shape == (1, *shape)
        assert drawn.std() > 10

    def test_small_picture_is_the_large_one_seen_from_afar(self):
        large = draw_faces(3, 1, shape=(112, 92)).images.astype(float)
        small = draw_faces(3, 1, shape=(28, 23)).images
        seen = large.reshape(3, 28, 4, 23, 4).mean(axis=(2, 4))
        assert all(correlation(a, b) > 0.97 for a, b in zip(seen, small, strict=True))


class TestSeed:
    def test_same_seed_same_faces(self):
        first, again = (draw_faces(2, 2, shape=SMALL, random_state=7) for _ in range(2))
        np.testing.assert_array_equal(first.images, again.images)

    def test_other_seed_other_faces(self, faces):
        other = draw_faces(1, 4, shape=SMALL, random_state=43)
        assert (other.images != faces.images[:4]).mean() > 0.5

    def test_person_does_not_depend_on_how_many_are_drawn(self, faces):
        np.testing.assert_array_equal(draw_faces(2, 4, shape=SMALL).images, faces.images[:8])

    def test_picture_does_not_depend_on_how_many_are_taken(self, faces):
        fewer = draw_faces(12, 1, shape=SMALL)
        np.testing.assert_array_equal(fewer.images, faces.images[::4])


class TestLikeness:
    def test_pictures_of_one_person_are_more_alike_than_of_two(self, faces):
        likeness = np.corrcoef(faces.matrix.astype(float))
        subjects = np.array(faces.subjects)
        same = subjects[:, None] == subjects[None, :]
        other_picture = ~np.eye(len(faces), dtype=bool)
        assert likeness[same & other_picture].mean() > likeness[~same].mean() + 0.1

    def test_no_two_pictures_are_equal(self, faces):
        assert len(np.unique(faces.matrix, axis=0)) == len(faces)

    def test_the_mean_face_is_nearly_symmetric(self, faces):
        mean = faces.images.mean(axis=0)
        assert correlation(mean, mean[:, ::-1]) > 0.95
        assert correlation(mean, mean[::-1]) < 0.8

    def test_eyes_and_mouth_are_darker_than_the_cheeks_between(self, faces):
        mean = faces.images.mean(axis=0)
        eyes, cheeks, mouth = (
            mean[rows, 11:35].mean(axis=1) for rows in np.s_[20:27, 30:34, 37:45]
        )
        assert eyes.min() < cheeks.mean()
        assert mouth.min() < cheeks.mean()

    def test_glasses_change_a_face_around_the_eyes(self, monkeypatch):
        with_glasses, without = (_drawn_with(monkeypatch, glasses=g) for g in (1.0, 0.0))
        change = np.abs(with_glasses - without).mean(axis=0)
        assert change[36:62, 15:77].mean() > 10 * change[80:].mean()

    def test_beard_darkens_the_chin_and_leaves_the_forehead(self, monkeypatch):
        bearded, shaved = (_drawn_with(monkeypatch, beard=b, moustache=0.0) for b in (0.9, 0.0))
        change = (bearded - shaved).mean(axis=0)
        assert change[88:98, 36:56].mean() < -15
        assert abs(change[:36, 36:56].mean()) < 1


def _drawn_with(monkeypatch, **traits):
    """Draw eight pictures of a fair-skinned, dark-haired person with the traits given."""
    from dataclasses import replace

    from napari_latent_faces import synthetic

    def person(rng):
        return replace(random_person(rng), skin=0.7, hair_tone=0.1, rim_tone=0.05, **traits)

    monkeypatch.setattr(synthetic, "random_person", person)
    return draw_faces(1, 8).images.astype(float)


class TestParts:
    def test_people_differ_in_what_they_wear(self):
        people = [random_person(_generator(42, i)) for i in range(40)]
        assert {p.glasses for p in people} == {0.0, 0.5, 1.0}
        assert any(p.beard > 0.5 for p in people)
        assert any(p.moustache for p in people)
        assert any(p.hair.long for p in people)
        assert any(p.hair.bare for p in people)

    def test_nmf_finds_more_local_parts_than_pca(self):
        from sklearn.decomposition import NMF, PCA

        pixels = draw_faces(40, 3, shape=SMALL).matrix.astype(np.float32) / 255
        nmf = NMF(20, random_state=42, tol=0, max_iter=150).fit(pixels)
        pca = PCA(20, random_state=42).fit(pixels)
        assert np.median(_spread(nmf.components_)) < 0.9 * np.median(_spread(pca.components_))


def _spread(components):
    """Return the share of pixels over which the energy of each component is spread."""
    energy = components.astype(float) ** 2
    energy /= energy.sum(axis=1, keepdims=True)
    return 1 / (energy**2).sum(axis=1) / energy.shape[1]


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"n_subjects": 0}, "n_subjects must be a whole number, 1 or more, got 0"),
            ({"n_pictures": 2.5}, "n_pictures must be a whole number, 1 or more, got 2.5"),
            ({"n_pictures": True}, "n_pictures must be a whole number, 1 or more, got True"),
            ({"random_state": -1}, "random_state must be a whole number, 0 or more, got -1"),
            (
                {"random_state": None},
                "random_state must be a whole number, 0 or more, got None",
            ),
            ({"shape": (112,)}, r"shape must be \(height, width\) in pixels, got \(112,\)"),
            ({"shape": 64}, r"shape must be \(height, width\) in pixels, got 64"),
            ({"shape": (7, 64)}, r"shape\[0\], the height, must be a whole number, 8 or more"),
            ({"shape": (64, 7)}, r"shape\[1\], the width, must be a whole number, 8 or more"),
        ],
    )
    def test_message_names_the_argument_and_its_range(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            draw_faces(**arguments)

    def test_numpy_integers_are_whole_numbers(self):
        assert len(draw_faces(np.int64(1), np.int32(2), shape=(8, 8))) == 2
