"""The SQL of the store, said once for SQLite and PostgreSQL."""
