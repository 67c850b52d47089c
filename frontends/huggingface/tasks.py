"""Tasks: what a model is for, and the class of transformers that loads it for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from regraft.errors import UnknownNameError
from regraft.frontends.torch.quiet import quiet, reason
from regraft.pipelines.frontend import FrontendError


class Task(NamedTuple):
    """The class that loads a model for the task, and the endings of the names of its architectures."""

    loader: str
    endings: tuple[str, ...]


TASKS = {
    "features": Task("AutoModel", ("Model",)),
    "sequence-classification": Task("AutoModelForSequenceClassification", ("ForSequenceClassification",)),
    "token-classification": Task("AutoModelForTokenClassification", ("ForTokenClassification",)),
    "question-answering": Task("AutoModelForQuestionAnswering", ("ForQuestionAnswering",)),
    "masked-lm": Task("AutoModelForMaskedLM", ("ForMaskedLM",)),
    "causal-lm": Task("AutoModelForCausalLM", ("ForCausalLM", "LMHeadModel")),
    "image-classification": Task("AutoModelForImageClassification", ("ForImageClassification",)),
}


def load_model(folder: Path, task: str | None, trust: bool) -> Any:
    """The model in `folder`, in float32. It asks no hub, and runs no code from the folder.

    Raises:
        FrontendError: transformers cannot load it, there are no weights for the task, or the only weights are a pickle
            that is not trusted.
    """
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises whatever its parsers do
        raise FrontendError(f"{folder}: {reason(error)}") from error
    config._attn_implementation = None  # the class's default: one that a file names might come from a hub
    loader = loader_of(config, task, folder)
    arguments = {**_weights(folder, trust), "config": config}
    model, lacking = _from_pretrained(loader, folder, arguments)
    if lacking and all(name.startswith("pooler.") for name in lacking):  # the trained head did not use it
        model, lacking = _from_pretrained(loader, folder, arguments | {"add_pooling_layer": False})
    if lacking:
        shown = ", ".join(sorted(lacking)[:4]) + (f" and {len(lacking) - 4} more" if len(lacking) > 4 else "")
        raise FrontendError(
            f"{folder} has no weights for {type(model).__name__}: {shown} are missing; try another --task"
        )
    return model


def loader_of(config: Any, task: str | None, folder: Path) -> Any:
    """The class of transformers whose `from_pretrained` gives the model for `task`."""
    import transformers

    names = getattr(config, "architectures", None) or []
    if task is None:
        task = next((task for name in names if (task := task_of(name))), None)
    if task is None:
        found = ", ".join(names) or "no architecture"
        raise FrontendError(f"{folder}: its config says {found}; say what it is for by --task {'|'.join(TASKS)}")
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    named = next((name for name in names if task_of(name) == task and hasattr(transformers, name)), None)
    if named:
        return getattr(transformers, named)
    if task == "features" and config.is_encoder_decoder:
        return transformers.AutoModelForTextEncoding
    return getattr(transformers, TASKS[task].loader)


def task_of(architecture: str) -> str | None:
    """The task of a class such as `BertForMaskedLM`, by its name."""
    endings = [(ending, task) for task, (_, all_endings) in TASKS.items() for ending in all_endings]
    return next(
        (task for ending, task in sorted(endings, key=lambda e: -len(e[0])) if architecture.endswith(ending)), None
    )


def _weights(folder: Path, trust: bool) -> dict[str, Any]:
    """How to read the weights in the folder."""
    if any(folder.glob("*.safetensors")):
        return {"use_safetensors": True}
    pickles = sorted(path.name for path in folder.glob("pytorch_model*.bin"))
    if not pickles:
        raise FrontendError(f"{folder} has a config.json but no weights: neither .safetensors nor pytorch_model.bin")
    if not trust:
        raise FrontendError(
            f"{folder / pickles[0]} is a pickle, and reading one can run any code; save the model as safetensors, or "
            "give --trust if you know who made it"
        )
    return {"use_safetensors": False, "weights_only": False}


def _from_pretrained(loader: Any, folder: Path, arguments: dict[str, Any]) -> tuple[Any, set[str]]:
    """The model, and the names of the parameters that the files have no values for."""
    import torch

    try:
        with quiet():
            model, report = loader.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
                **arguments,
            )
    except ModuleNotFoundError:
        raise
    except Exception as error:  # transformers raises whatever its parsers do
        raise FrontendError(f"{folder}: {reason(error)}") from error
    return model, set(report["missing_keys"]) | {key for key, *_ in report["mismatched_keys"]}
