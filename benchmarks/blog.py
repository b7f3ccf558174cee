"""What a blog post does with a folder of faces: pictures of what scikit-learn's NMF finds.

python benchmarks/blog.py FOLDER OUT
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.decomposition import NMF

K = 20

folder, out = map(Path, sys.argv[1:])
paths = sorted(path for path in folder.rglob("*") if path.suffix in {".jpg", ".pgm", ".png"})
faces = np.array([np.asarray(Image.open(path).convert("L")) for path in paths])
nmf = NMF(K, random_state=42).fit(faces.reshape(len(faces), -1) / 255)
out.mkdir()
for number, component in enumerate(nmf.components_):
    picture = (255 * component / component.max()).reshape(faces.shape[1:])
    Image.fromarray(picture.astype(np.uint8)).save(out / f"{number:02}.png")
