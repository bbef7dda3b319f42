"""The blocks of a fine-tuning config: pydantic models, because people type them. Nothing here imports torch."""
