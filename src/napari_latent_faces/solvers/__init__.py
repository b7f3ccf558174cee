"""A matrix of pixels becomes factors; knows no face, no model, no napari."""
