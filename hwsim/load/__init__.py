"""Models from files: TFLite and ONNX."""

from hwsim.load.catalog import LoadedModel, load_model

__all__ = ["LoadedModel", "load_model"]
