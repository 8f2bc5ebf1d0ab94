"""Months of operation in seconds: the exporter's own code on virtual time, among faults that a seed draws."""
