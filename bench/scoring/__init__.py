"""The line: a suite planned, pictures through codecs through metrics into a run folder."""
