"""Source frameworks, one a file: each turns a model of that framework into an ONNX model.

Empty so far: `regraft.load` opens ONNX files.
"""
