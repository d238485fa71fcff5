"""The annotator `llm`: a language model behind an OpenAI-compatible endpoint."""
