"""Labels of concepts: who gives them, how good they are, and how they become the training rows."""
