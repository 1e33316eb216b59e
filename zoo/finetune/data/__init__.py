"""Labelled images from where people have them: folders, tables, arrays, and the data sets of other libraries."""

from zoo.finetune.data.dataset import Dataset, Skipped, Split
from zoo.finetune.data.read import threaded
from zoo.finetune.data.sources import index
from zoo.finetune.data.splits import folds, split

__all__ = ["Dataset", "Skipped", "Split", "folds", "index", "split", "threaded"]
