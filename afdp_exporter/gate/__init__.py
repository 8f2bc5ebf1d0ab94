"""Gate: a verdict on a deployment from prediction, canary, impact so far and calendar. Pure functions."""
