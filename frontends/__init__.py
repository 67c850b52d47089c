"""Source frameworks, one a file or a package: each turns a model of that framework into an ONNX model."""
