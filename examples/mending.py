# %% [markdown]
# # Mending faces whose eyes are hidden
#
# A bar is laid over the eyes of people whom the model has not seen. `mend` finds the weights
# from what is visible, and fills in what the components say belongs there.

# %%
import numpy as np

from napari_latent_faces.fitting import fit
from napari_latent_faces.samples import sample_faces

faces = sample_faces(n_subjects=30, n_pictures=5)
known, strangers = faces[:140], faces[140:]  # the last two people
model = fit(known, n_components=30)

# %%
bar = np.zeros(faces.shape[1:], bool)
bar[40:60, 14:78] = True
hidden = strangers.images.copy()
hidden[:, bar] = 0
mended = model.mend(hidden, bar)


# %% [markdown]
# How far from the truth, under the bar, beside filling in the mean face?


# %%
def missed(filled):
    """Return the root mean square difference under the bar, in grey values."""
    difference = filled[..., bar].astype(float) - strangers.images[:, bar]
    return float(np.sqrt((difference**2).mean()))


print(f"mended {missed(mended):.1f}, the mean face {missed(known.images.mean(axis=0)):.1f}")
