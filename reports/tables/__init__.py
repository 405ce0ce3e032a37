"""Tables of what was measured, and their CSV, Markdown and LaTeX."""
