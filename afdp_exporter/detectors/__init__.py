"""Series -> what happened in it. Pure; one question a file."""
