"""Where results go, by the name that the user gives: a model file has a suffix, a folder has none."""

from __future__ import annotations

from pathlib import Path

from regraft.errors import ModelError

MODELS = (".onnx", ".pb")
OTHERS = (
    *(".csv", ".data", ".html", ".json", ".md", ".npy", ".npz", ".params", ".pipeline", ".py", ".svg", ".toml"),
    *(".txt", ".zip"),
)


def goes_to_folder(output: Path) -> bool:
    """Whether a result at `output` is a folder, a bundle, and not a model file.

    Raises:
        ModelError: the name is of neither kind, or a folder is named like a file.
    """
    if output.is_dir() or not output.suffix:
        check_folder_name(output)
        return True
    if output.suffix not in MODELS and not output.is_file():
        folder = output.with_name(output.name.replace(".", "-"))
        raise ModelError(
            f"cannot write {output}: its name is neither that of a model file nor of a folder; "
            f"name it {output}.onnx, or, for a bundle, {folder}"
        )
    return False


def check_folder_name(folder: Path) -> None:
    """Raise ModelError where `folder`, to be written, is named like a file."""
    if folder.suffix in (*MODELS, *OTHERS):
        why = "a folder goes there, and it is named like a file"
        raise ModelError(f"cannot write {folder}: {why}; name it {folder.with_suffix('')}")


def check_file_name(output: Path) -> None:
    """Raise ModelError where `output`, a model file to be written, is named like a folder."""
    if not output.suffix:
        why = "a file goes there, and it is named like a folder"
        raise ModelError(f"cannot write {output}: {why}; name it {output}.onnx")
