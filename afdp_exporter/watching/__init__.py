"""What followed a deployment: looked at when it is due, judged, and told to those who want to know."""
