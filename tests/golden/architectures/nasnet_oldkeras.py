"""Makes titu1994's cases of nasnet.json; see README.md.

CHECKOUTS holds titu1994+Keras-NASNet @3528c3ec845875a42eddf8ea449e4e80573795be (tag v1.2). Sizes have the published
ones' remainder modulo 32.
"""

from __future__ import annotations

import generated
import old_keras

NETWORKS = {"nasnetalarge": ("NASNetLarge", 107), "nasnetamobile": ("NASNetMobile", 64)}


def make(name: str) -> dict[str, object]:
    function, size = NETWORKS[name]
    found = old_keras.imported(old_keras.checkout("titu1994+Keras-NASNet") / "nasnet.py", size, version=2)
    # What Keras 2 called a tensor's shape then.
    tensor = type(old_keras.tf_keras.Input((1,)))
    tensor._keras_shape = property(lambda self: tuple(self.shape))
    model = getattr(found, function)((size, size, 3), weights=None, classes=generated.CLASSES)
    return old_keras.case(model, size, quick=name == "nasnetamobile")


if __name__ == "__main__":
    generated.store("nasnet", {f"titu1994/{name}": lambda name=name: make(name) for name in NETWORKS})
