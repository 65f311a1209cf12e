"""Procedural people rendered as images."""
