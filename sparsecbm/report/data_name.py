"""What the pages call the data."""

from collections.abc import Mapping


def data_name(manifest: Mapping) -> str:
    """The file of a table, such as `reviews.csv`; of other sources, the name of the source.

    Args:
        manifest: of a folder of splits
    """
    return manifest["files"][0]["name"] if manifest["source"] == "table" else manifest["source"]
