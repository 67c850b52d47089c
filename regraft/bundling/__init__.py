"""Writing a bundle: the models, the vectors that prove them right, the report and the manifest."""

from regraft.bundling.write import check_destination, write_bundle

__all__ = ["check_destination", "write_bundle"]
