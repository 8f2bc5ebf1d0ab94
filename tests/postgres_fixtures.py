"""One PostgreSQL for all tests of a process, and in it an empty database for each test."""

import asyncio
import os
from collections.abc import Iterator

import psycopg
import pytest

from afdp_exporter.store.opening import open_store
from postgres_server import PASSWORD, PostgresServer, postgres_server

EMPTY = """
DO $$
DECLARE month text;
BEGIN
    FOR month IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'courses'::regclass LOOP
        EXECUTE 'DROP TABLE ' || month;
    END LOOP;
    EXECUTE (
        SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ') || ' RESTART IDENTITY' FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT IN ('schema_version', 'change_head')
    );
    UPDATE change_head SET seq = 0;
END $$
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server."""
    os.environ["PGPASSWORD"] = PASSWORD
    with postgres_server() as server:
        yield server
    del os.environ["PGPASSWORD"]


@pytest.fixture(scope="session")
def used_database(postgres: PostgresServer) -> str:
    """The URL of a database with our tables."""
    url = postgres.new()

    async def prepare() -> None:
        store = await open_store(url)
        await store.close()

    asyncio.run(prepare())
    return url


@pytest.fixture
def database(used_database: str) -> str:
    """The URL of a database with our tables and nothing in them."""
    with psycopg.connect(used_database, autocommit=True) as connection:
        connection.execute(EMPTY)
    return used_database
