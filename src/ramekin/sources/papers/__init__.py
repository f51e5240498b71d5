"""Abstract and introduction of research papers, from PDF, text, Markdown and JSON.

    file -> lines (pdf, plain) -> furniture off -> sections -> Paper
         -> JSON value (documents) ---------------------------^

Nothing is fetched, and nothing in a file is run. PDF is read by pypdf (the extra `papers`).
"""

from ramekin.sources.papers.paper import Limits, Paper
from ramekin.sources.papers.read import read_paper

__all__ = ["Limits", "Paper", "read_paper"]
