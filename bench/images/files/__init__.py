"""Reading one file; the one door is `decode.read_samples`."""
