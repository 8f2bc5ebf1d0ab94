"""The regression models of risk, changes and costs, and the tests that choose their columns."""
