"""`predict.py ours|theirs VARIANT IMAGES BATCH`: predicts the images whenever told."""

from __future__ import annotations

import sys

import networks
import numpy as np
from protocol import turns

whose, variant, count, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
model = getattr(networks, whose)(variant)
images = np.random.default_rng(0).uniform(-1, 1, (count, *model.input_shape[1:])).astype(np.float32)
turns(lambda: model.predict(images, batch_size=batch, verbose=0))
