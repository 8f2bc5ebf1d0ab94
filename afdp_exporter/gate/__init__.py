"""May this deployment go on? A verdict from prediction, canary, measurement so far and calendar; pure."""
