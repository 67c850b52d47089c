"""A stand-in for a simulator of a stage: python simulator.py MODEL INPUTS OUTPUTS [ERROR]; an error is added."""

import sys

import numpy as np
import onnxruntime

model, inputs, outputs, *error = sys.argv[1:]
with np.load(inputs) as file:
    fed = dict(file)
session = onnxruntime.InferenceSession(model)
names = [one.name for one in session.get_outputs()]
added = np.float32(error[0]) if error else np.float32(0)
np.savez(outputs, **{name: value + added for name, value in zip(names, session.run(names, fed), strict=True)})
