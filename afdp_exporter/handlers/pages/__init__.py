"""The pages for people, one file a page; they read what the API reads, and need no JavaScript."""
