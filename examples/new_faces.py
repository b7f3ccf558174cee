# %% [markdown]
# # Faces that nobody has
#
# Weights drawn at random, each with its own distribution and all with the correlations of the
# fitted ones, make new faces; weights between those of two faces make a morph.

# %%
from napari_latent_faces.explaining import NearestFaces
from napari_latent_faces.fitting import fit
from napari_latent_faces.mixing import morph, sample_weights, write_generated
from napari_latent_faces.samples import sample_faces

model = fit(sample_faces(n_subjects=20), n_components=20)
weights = sample_weights(model, 12, random_state=1)
pictures = model.blend(weights)  # (12, h, w), in grey values

# %% [markdown]
# Is a new face a copy of a real one? How far the nearest one is, in grey values:

# %%
_, distances = NearestFaces(model).find(weights, 1)
print("distances from the nearest real faces:", distances.ravel().round(1))

# %%
write_generated(model, weights, "new", made="random, seed 1")  # pictures and recipes.csv
frames = model.blend(morph(model, 0, 57, steps=20))  # from one person to another
