"""What the user sees at the end of a run: tables, plots, pages. Plain values in, text and files out."""
