# %% [markdown]
# # napari from a script
#
# A window with faces, the widget beside them, and its fit started. All that can be clicked
# can be called: the form's fields are in `widget.parameters`.

# %%
import napari

from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.layers import faces_layer

viewer = napari.Viewer()
faces = faces_layer(sample_faces(n_subjects=12), "drawn")
viewer.add_layer(napari.layers.Layer.create(*faces))

# %%
_, widget = viewer.window.add_plugin_dock_widget("napari-latent-faces", "Latent faces")
widget.parameters["n_components"].value = 12
session = widget.fit()  # in a thread; `session.ended` tells when it is done

# %%
napari.run()
