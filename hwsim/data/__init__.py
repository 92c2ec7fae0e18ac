"""Labelled data: one interface over the sets that hwsim knows by name, image folders and ``.npz`` files."""

from hwsim.data.catalog import DATASETS, open_dataset
from hwsim.data.dataset import Dataset
from hwsim.data.source import DatasetSource

__all__ = ["DATASETS", "Dataset", "DatasetSource", "open_dataset"]
