"""The HTML pages, part by part."""
