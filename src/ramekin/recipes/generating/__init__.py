"""The parts of `ramekin generate`: prompts from wherever they are, their answers, and how these are shown."""
