"""Release artifacts: the ONNX export, the release folder, and serving."""
