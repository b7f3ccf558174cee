# %% [markdown]
# # The blog post in five lines
#
# Faces, NMF, and pictures of what was found. The faces here are drawn; `read_faces("archive")`
# reads a folder of your own.

# %%
from napari_latent_faces.fitting import fit
from napari_latent_faces.samples import sample_faces

faces = sample_faces(n_subjects=20)
model = fit(faces, n_components=20)
model.components, model.weights  # (20, h, w) and (n, 20), nothing in them is negative
model.save("model.npz")  # opens in napari as well
print(f"{len(faces)} faces, relative error {model.error:.4f}")

# %% [markdown]
# A picture of each component, a contact sheet and the weights as a table, as
# `latent-faces fit` writes them:

# %%
from napari_latent_faces.export import export_model

export_model(model, "latent")
