# %% [markdown]
# # Choosing k
#
# More components always rebuild the fitted faces better. `choose_k` measures what they say
# about faces and pixels that were held out, and how much they depend on the start.

# %%
from napari_latent_faces.choosing import choose_k
from napari_latent_faces.samples import sample_faces

faces = sample_faces(n_subjects=20, n_pictures=5, shape=(56, 46))
choice = choose_k(faces, [2, 5, 10, 20], n_starts=2, n_folds=4)
print(choice.reason)

# %%
for row in choice.rows():
    print(
        f"k = {row['k']:2}: error {row['relative_error']:.3f}, "
        f"held out {row['held_out_error']:.3f}, stability {row['stability']:.2f}"
    )

# %% [markdown]
# Every k has its model; the suggested one is `choice.model`.

# %%
choice.model.save("chosen.npz")
choice.save_csv("choice.csv")
