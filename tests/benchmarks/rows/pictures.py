"""A folder of JPEGs to batches of 32 images at 224 x 224, beside Keras's and PyTorch's ways; a pass over all of them.

- the first pass begins with the folder. zoo: `zoo.finetune.data.index`, which reads, hashes and decodes every file to
  find the broken ones, then `Pictures`, which decodes each once and keeps it, as `zoo finetune` does.
- a later pass: `Pictures` again, which has them; the others decode anew.
- `zoo.finetune.stream.batches`, which keeps nothing, on an indexed folder: what goes over data that are looked at once.
"""

from __future__ import annotations

from harness import Bench, Line, Target, compare

KERAS, TORCH = "image_dataset_from_directory", "DataLoader + torchvision"
IMAGES, WIDTH, HEIGHT = 600, 500, 375


def pictures(bench: Bench) -> list[Line]:
    count = 64 if bench.quick else IMAGES
    with bench.folder() as folder:
        bench.files("photographs", folder, count, WIDTH, HEIGHT)

        def command(way: str, tool: str | None = None) -> list[str]:
            return bench.command("pictures" if tool is None else "pictures_torch", way, folder, tool=tool)

        taken = bench.lockstep(
            {
                "zoo": lambda: command("first"),
                f"{KERAS}, first": lambda: command("keras-first"),
                f"{TORCH}, first": lambda: command("first", "tools"),
                "zoo, later": lambda: command("later"),
                "zoo, streamed": lambda: command("streamed"),
                KERAS: lambda: command("keras"),
                TORCH: lambda: command("later", "tools"),
            }
        )
    what = f"{count} JPEGs of {WIDTH} x {HEIGHT} to batches"
    passes = {
        "the first pass, from the folder": ("zoo", ", first"),
        "a later pass (Pictures)": ("zoo, later", ""),
        "a pass that keeps nothing (stream.batches)": ("zoo, streamed", ""),
    }
    equal = Target(1.0, most=False)
    return [
        compare(taken, f"{what}: {called}", f"{other}{which}", ours=ours, kind="speed", target=equal, images=count)
        for called, (ours, which) in passes.items()
        for other in (KERAS, TORCH)
    ]


ROWS = {"data": pictures}
