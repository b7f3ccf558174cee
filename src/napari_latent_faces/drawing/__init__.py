"""How a face is drawn: the traits of a person, and the parts of a picture."""
