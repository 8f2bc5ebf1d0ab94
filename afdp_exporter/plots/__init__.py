"""Geometry of plots: positions and SVG paths. Pure; the templates draw them."""
