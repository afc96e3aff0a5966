"""Export to ONNX, loading of ONNX files, and the comparison with PyTorch."""
