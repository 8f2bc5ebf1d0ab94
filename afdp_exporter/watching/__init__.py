"""What followed a deployment: looked at when it is due, judged, and sent to those who want to know."""
