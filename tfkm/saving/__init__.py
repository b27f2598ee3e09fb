"""Fitted models in files: tfkm's own, SavedModel, ONNX, TFLite."""
