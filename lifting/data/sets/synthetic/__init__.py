"""Procedural people and motion."""
