"""Reading a store for training and inference."""

from c2s_model.data.dataset import SubgridDataset
from c2s_model.data.inference import MapSubgrids
from c2s_model.data.windows import WindowDataset

__all__ = ["MapSubgrids", "SubgridDataset", "WindowDataset"]
