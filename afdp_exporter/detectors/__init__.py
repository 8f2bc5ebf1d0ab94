"""Detectors: a series in, what happened in it out. Pure functions, one question a module."""
