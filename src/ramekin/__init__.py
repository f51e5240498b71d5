"""ramekin: instruction-tune, merge, evaluate and serve text-to-text language models."""

__version__ = "0.1.0"
