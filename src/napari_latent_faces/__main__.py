"""The command line as ``python -m napari_latent_faces``."""

import sys

from napari_latent_faces.cli import main

if __name__ == "__main__":
    sys.exit(main())
