"""Reading a store for training and inference."""

from c2s_model.data.dataset import SubgridDataset
from c2s_model.data.inference import MapSubgrids

__all__ = ["MapSubgrids", "SubgridDataset"]
