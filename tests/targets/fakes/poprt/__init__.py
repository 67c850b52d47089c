"""A stand-in for PopRT 1.5: takes what its documentation says, and computes in ONNX Runtime."""

import onnx


class Converter:
    """The arguments of `poprt.Converter` that the scripts may give; others are an error, as there."""

    def __init__(self, *, input_shape=None, convert_version=11, precision="fp32", used_passes=(), pack_args=None):
        assert precision in ("fp32", "fp16", "fp8"), precision
        self.input_shape, self.version = input_shape, convert_version
        self.precision, self.used_passes, self.pack_args = precision, used_passes, pack_args

    def convert(self, model):
        assert isinstance(model, onnx.ModelProto)
        onnx.checker.check_model(model)
        assert model.opset_import[0].version <= self.version, "the converter goes up to that opset"
        for value in model.graph.input:
            dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            assert self.input_shape[value.name] == dims, "known dimensions cannot be changed"
        model.metadata_props.add(key="precision", value=self.precision)
        return model
