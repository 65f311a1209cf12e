"""AMASS."""
