"""AIST++: dance of one person before nine cameras."""
