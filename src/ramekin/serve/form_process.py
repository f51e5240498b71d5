"""The process that reads a client's grammar before an engine does: a hostile one can take only this one down.

llguidance has limits on most that a grammar can cost, but not on how long it compares what stands side by
side in a JSON schema: 25 patterns under one `allOf` take it 45 seconds. Run by its path; ends with 0 where
the grammar on its standard input was read within the limits, whether or not it was found to be right.
"""

import sys

from ramekin.machine import limit_resources

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Read the grammar; arguments: bytes of memory, seconds of a core."""
    from llguidance import LLMatcher

    memory, seconds = map(int, arguments)
    limit_resources(memory=memory, seconds=seconds)
    LLMatcher.validate_grammar(sys.stdin.read())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
