"""From files to pixels: what is found, what is a picture, and how it is decoded."""
