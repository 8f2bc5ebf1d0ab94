"""HTTP, one file a resource, thin."""
