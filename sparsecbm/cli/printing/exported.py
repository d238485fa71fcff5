"""What `sparsecbm export` prints."""

from typing import Any

from sparsecbm.cli.printing.terminal import say


def show_exported(manifest: dict[str, Any]) -> None:
    """Show what the exported model was measured to do."""
    measured = manifest.get("measured")
    if measured is None:
        say(f"logits differ from the model's by at most {manifest['largest_difference']:.1e}")
        return
    forms = f"float32 and {manifest['precision']}"
    say(f"on {measured['texts']} texts of the split {measured['split']}, as accuracies of {forms}:")
    for name, before in measured["float32"].items():
        say(f"  {name}: {before:.3f} and {measured['exported'][name]:.3f}")
    say(f"the label is the same for {measured['label_equal']:.1%} of the texts")
    say(f"{measured['states_equal']:.1%} of the concepts' states are the same")
