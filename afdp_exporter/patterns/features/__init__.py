"""Deployments and their context -> features -> columns of numbers."""
