"""Models of transformers, exported and held against torch."""

from __future__ import annotations

import json
import socket
import sys
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft
from regraft.errors import RegraftError
from regraft.frontends.huggingface import from_model
from regraft.frontends.huggingface.examples import input_axes, make_example
from regraft.frontends.huggingface.tasks import task_of
from regraft.ir.model import Model
from regraft.pipelines.frontend import FrontendError, ImportOptions
from regraft.runtime import Session

MODELS = ("bert", "bert_qa", "distilbert", "roberta", "gpt2", "t5_encoder", "vit")
FAST = ImportOptions(exporter="torchscript")
TEXT = ["batch", "sequence"]

Make = Callable[[str], Any]


def cases() -> list[Any]:
    """Every model by every way; dynamo takes seconds: some pairs of model and attention always, the others as slow."""
    always = {("bert", "eager"), ("t5_encoder", "sdpa")}
    return [
        pytest.param(name, exporter, attention, marks=() if fast else pytest.mark.slow)
        for name, exporter, attention in product(MODELS, ("dynamo", "torchscript"), ("eager", "sdpa"))
        for fast in [exporter == "torchscript" or (name, attention) in always]
    ]


def drift(model: Model, module: Any, torch: Any, style: str = "faithful") -> float:
    """The largest difference, on inputs of sizes that the frontend did not see."""
    feeds = make_example(module, input_axes(module, style), {"batch": 4, "sequence": 5}, seed=7)
    with torch.no_grad():
        expected = module(**feeds).to_tuple()
    session = Session(model)
    results = session.run({name: tensor.numpy() for name, tensor in feeds.items()})
    assert len(results) == len(expected)
    pairs = zip(results.values(), expected, strict=True)
    return max(float(np.abs(result - tensor.numpy()).max()) for result, tensor in pairs)


@pytest.mark.parametrize(("name", "exporter", "attention"), cases())
def test_export_equals_torch(small: Make, torch: Any, name: str, exporter: str, attention: str) -> None:
    module = small(name)
    model = from_model(module, exporter=exporter, attention=attention)
    assert drift(model, module, torch) < 1e-5
    assert all(tensor.shape[0] == "batch" for tensor in (*model.inputs, *model.outputs))
    if name == "bert":
        expected = {"dynamo": {"eager": 97, "sdpa": 121}, "torchscript": {"eager": 223, "sdpa": 272}}
        assert len(model.graph.nodes) == expected[exporter][attention]
    if name == "bert_qa":
        assert {tensor.name: tensor.shape for tensor in model.outputs} == {"start_logits": TEXT, "end_logits": TEXT}


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("bert", 78),
        pytest.param("gpt2", 97, marks=pytest.mark.slow),
        pytest.param("roberta", 78, marks=pytest.mark.slow),
        pytest.param("distilbert", 76, marks=pytest.mark.slow),
        pytest.param("bert_qa", 79, marks=pytest.mark.slow),
        pytest.param("t5_encoder", 113, marks=pytest.mark.slow),
        pytest.param("vit", 74, marks=pytest.mark.slow),
    ],
)
def test_accelerator_style_is_lean_and_equals_torch(small: Make, torch: Any, name: str, nodes: int) -> None:
    module = small(name)
    model = from_model(module, style="accelerator")
    assert drift(model, module, torch, "accelerator") < 1e-5
    assert len(model.graph.nodes) == nodes
    if name == "bert":
        assert not {node.op for node in model.graph.nodes} & {"Where", "Range", "GatherND", "Expand", "And"}
        assert model.inputs[-1].name == "position_ids"
        check_names_and_origins(model, module)


def check_names_and_origins(model: Model, module: Any) -> None:
    """Weights are called as in the module, and nodes say which part of it they are."""
    weights = {tensor.name for tensor in model.graph.tensors().values()} & set(module.state_dict())
    assert "bert.embeddings.word_embeddings.weight" in weights
    assert len(weights) > 15
    scopes = [node.metadata["pkg.torch.onnx.name_scopes"] for node in model.graph.nodes if node.op == "Softmax"]
    assert ["bert.encoder.layer.1.attention.self" in scope for scope in scopes] == [False, True]
    assert "BertForSequenceClassification" in model.metadata["regraft.source"]


def test_accelerator_style_hides_what_comes_later(small: Make, torch: Any) -> None:
    module = small("gpt2")
    session = Session(from_model(module, style="accelerator", exporter="torchscript"))
    ids = np.arange(10, dtype=np.int64)[None].repeat(2, 0)
    ids[1, 6:] += 50
    feeds = {"attention_mask": np.ones_like(ids), "position_ids": np.arange(10, dtype=np.int64)[None].repeat(2, 0)}
    logits = session.run({"input_ids": ids, **feeds})["logits"]
    np.testing.assert_array_equal(logits[0, :6], logits[1, :6])
    assert np.abs(logits[0, 6:] - logits[1, 6:]).max() > 0.1


def test_accelerator_style_refuses_windows(torch: Any) -> None:
    import transformers as hf

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = hf.MistralConfig(**sizes, num_key_value_heads=2, vocab_size=100, sliding_window=64)
    with pytest.raises(FrontendError, match=r"MistralModel has .*sliding_window; style 'faithful' may do"):
        from_model(hf.MistralModel(config), style="accelerator")


def test_accelerator_style_is_checked_against_the_model_itself(torch: Any) -> None:
    import transformers as hf

    sizes = {"d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 100}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
    torch.manual_seed(0)
    with pytest.raises(FrontendError, match=r"something else than torch: .* at the worst.*style 'faithful' may do"):
        from_model(hf.BartModel(hf.BartConfig(**sizes, **layers)), style="accelerator", exporter="torchscript")


def test_scopes_of_torchscript_are_names_of_nodes(small: Make) -> None:
    model = from_model(small("bert"), exporter="torchscript")
    assert any(node.name.startswith("/bert/encoder/layer.1/attention/self/") for node in model.graph.nodes)


def test_instance_is_left_as_it_was(small: Make) -> None:
    module = small("gpt2")
    module.train()
    module.transformer.h[0].eval()
    module.config.use_cache = True
    from_model(module, exporter="torchscript", attention="eager")
    assert (module.training, module.transformer.h[0].training) == (True, False)
    assert module.config.use_cache
    assert module.config._attn_implementation == "sdpa"
    assert "forward" not in vars(module)


@pytest.fixture
def folder(small: Make, tmp_path: Path) -> Path:
    """A masked language model in a folder."""
    small("bert_mlm").save_pretrained(tmp_path / "mlm")
    return tmp_path / "mlm"


def test_folder_is_read_without_a_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    model = regraft.open_source(folder, options=FAST)
    assert [tensor.name for tensor in model.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [tensor.shape for tensor in model.outputs] == [[*TEXT, 100]]
    assert model.metadata["regraft.source"].endswith("BertForMaskedLM (torchscript), mlm")


def test_features_leave_out_a_pooler_that_was_not_trained(folder: Path) -> None:
    model = regraft.open_source(folder, options=ImportOptions(exporter="torchscript", task="features"))
    assert [tensor.name for tensor in model.outputs] == ["last_hidden_state"]


def test_encoder_of_a_sequence_to_sequence_model(torch: Any, tmp_path: Path) -> None:
    import transformers as hf

    config = hf.T5Config(d_model=32, num_heads=4, d_kv=8, d_ff=64, num_layers=1, vocab_size=100)
    hf.T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(FrontendError, match="T5ForConditionalGeneration; say what it is for by --task"):
        regraft.open_source(tmp_path, options=FAST)
    model = regraft.open_source(tmp_path, options=ImportOptions(exporter="torchscript", task="features"))
    assert [tensor.name for tensor in model.outputs] == ["last_hidden_state"]


def test_weights_in_half_precision_are_computed_in_single(small: Make, tmp_path: Path) -> None:
    small("distilbert").half().save_pretrained(tmp_path)
    model = regraft.open_source(tmp_path, options=FAST)
    assert model.outputs[0].dtype == np.float32


def test_shape_of_one_input_fixes_all(folder: Path) -> None:
    options = ImportOptions({"input_ids": (1, 8)}, opset=17, exporter="torchscript")
    model = regraft.open_source(folder, options=options)
    assert [tensor.shape for tensor in model.inputs] == [[1, 8]] * 3
    assert (model.outputs[0].shape, model.opset) == ([1, 8, 100], 17)
    assert "Range" not in Counter(node.op for node in model.graph.nodes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"task": "sequence-classification"},
            "no weights for BertForSequenceClassification: .*classifier.bias.*--task",
        ),
        ({"task": "image-classification"}, "Unrecognized configuration class"),
        ({"task": "translation"}, "no task named 'translation'"),
        ({"style": "pretty"}, "no style named 'pretty'"),
        ({"attention": "flash"}, "no attention named 'flash'"),
        ({"exporter": "caffe"}, "no exporter named 'caffe'"),
        ({"style": "accelerator", "attention": "sdpa"}, "has eager attention"),
        ({"shapes": {"ids": (1, 8)}}, "no input named 'ids' to shape"),
        ({"shapes": {"input_ids": (1, 65)}}, "does not take the example inputs: "),
        ({"shapes": {"input_ids": (8,)}}, "has the dimensions batch x sequence"),
        ({"shapes": {"input_ids": (2, 8), "attention_mask": (1, 8)}}, "two sizes of 'batch': 2 and 1"),
    ],
)
def test_option_that_does_not_fit(folder: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RegraftError, match=said):
        regraft.open_source(folder, options=ImportOptions(**{"exporter": "torchscript", **options}))


def test_pickled_weights_need_trust(folder: Path, torch: Any) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FrontendError, match=r"pytorch_model.bin is a pickle, .* or give --trust"):
        regraft.open_source(folder, options=FAST)
    model = regraft.open_source(folder, options=ImportOptions(exporter="torchscript", trust=True))
    assert len(model.outputs) == 1


def test_truncated_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(FrontendError, match="incomplete metadata"):
        regraft.open_source(folder, options=FAST)


def test_config_that_names_code_or_no_model(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"attn_implementation": "kernels-community/flash"}))
    assert regraft.open_source(folder, options=FAST).outputs
    (folder / "config.json").write_text(json.dumps({"auto_map": {"AutoConfig": "evil.Config"}}))
    (folder / "evil.py").write_text("raise AssertionError('code of the folder was run')")
    with pytest.raises(FrontendError, match="contains custom code"):
        regraft.open_source(folder, options=FAST)


def test_missing_torch_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertForMaskedLM"]}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(FrontendError, match=r"needs torch, which is not installed: pip install 'regraft\[torch\]'"):
        regraft.open_source(tmp_path)


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("BertModel", "features"),
        ("T5EncoderModel", "features"),
        ("GPT2LMHeadModel", "causal-lm"),
        ("LlamaForCausalLM", "causal-lm"),
        ("ViTForImageClassification", "image-classification"),
        ("T5ForConditionalGeneration", None),
    ],
)
def test_task_is_found_from_the_architecture(architecture: str, task: str | None) -> None:
    assert task_of(architecture) == task
