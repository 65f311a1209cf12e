"""Formats of files, a module each, found by listing."""
