"""Loads a .keras file without zoo and prints how far its numbers are from those in an .npz; see check_export.py."""

import importlib.util
import sys

import numpy as np

for module in ("zoo", "tensorflow"):
    if importlib.util.find_spec(module) is not None:
        sys.exit(f"{module} can be imported here; this check is about a place without it")

import keras  # noqa: E402  # not before its neighbours were looked for

model = keras.saving.load_model(sys.argv[1], safe_mode=True)
with np.load(sys.argv[2]) as arrays:
    images, expected = arrays["images"], arrays["expected"]
found = model.predict(images, verbose=0)
if found.shape != expected.shape:
    sys.exit(f"shape {found.shape}, expected {expected.shape}")
if not (np.argsort(-found)[:, :5] == np.argsort(-expected)[:, :5]).all():
    sys.exit("other order of the first five answers")
print(keras.backend.backend(), float(np.abs(found - expected).max() / np.abs(expected).max()))
