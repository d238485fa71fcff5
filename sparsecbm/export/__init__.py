"""Models as one graph for ONNX Runtime or OpenVINO: they predict without torch."""
