"""Models as people have them: folders of every age, bare ONNX files, dictionaries -> `Model`."""

from ocrhpi.model.folder import CONFIG_NAME, ONNX_NAME, load_model
from ocrhpi.model.loaded import Model, ModelFiles
from ocrhpi.model.source import ModelSource, file_name

__all__ = ["CONFIG_NAME", "ONNX_NAME", "Model", "ModelFiles", "ModelSource", "file_name", "load_model"]
