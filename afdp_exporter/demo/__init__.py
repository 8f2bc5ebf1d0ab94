"""A shop with a known truth: its history, its deployments and what each of them did."""
