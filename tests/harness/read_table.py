"""Reads Delta tables with engines that are not ours, for the end-to-end cases.

One request as JSON on standard input, one answer as JSON on standard output:
{"engine": "duckdb" | "deltalake", "tables": {"sales": {"path": ".."}}, "sql": ".."} -> [{"column": value}, ..]
{"transactions": {"path": "..", "ids": [..]}} -> {"id": version or null}
{"write": {"path": "..", "sql": ".."}} -> null; makes a table of the rows of a query
{"tamper": {"path": "..", "append": "SELECT .. FROM tampered" | "delete": ".." | "update": {"column": ".."}, "where": "..",
"compact": true}} -> null; changes a table behind its writer's back
A decimal is its digits, a timestamp RFC 3339 in UTC, bytes are hexadecimal.
"""

import datetime
import decimal
import importlib.util
import json
import pathlib
import sys

import deltalake
import duckdb


def connect():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def load_delta(connection):
    # DuckDB would fetch its extension from a server of its own, which a build machine may not reach; the package
    # holds the same signed file.
    package = importlib.util.find_spec("duckdb_extension_delta").submodule_search_locations[0]
    extension = pathlib.Path(package, "extensions", f"v{duckdb.__version__}", "delta.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")


def query(engine, tables, sql):
    connection = connect()
    if engine == "duckdb":
        load_delta(connection)
    for name, table in tables.items():
        if engine == "duckdb":
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM delta_scan('file://{table['path']}')")
        else:
            # delta-rs reads the table, DuckDB only computes: one dialect of SQL for both.
            reader = deltalake.QueryBuilder().register(name, deltalake.DeltaTable(table["path"]))
            rows = reader.execute(f'SELECT * FROM "{name}"')
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM rows")
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor.fetchall()]


def transactions(path, ids):
    table = deltalake.DeltaTable(path)
    return {id: table.transaction_version(id) for id in ids}


def write(path, sql):
    deltalake.write_deltalake(path, connect().sql(sql))


def tamper(path, append=None, delete=None, update=None, where=None, compact=False):
    table = deltalake.DeltaTable(path)
    if append:
        connection = connect()
        load_delta(connection)
        connection.execute(f"CREATE VIEW tampered AS SELECT * FROM delta_scan('file://{path}')")
        deltalake.write_deltalake(table, connection.sql(append), mode="append")
    if delete:
        table.delete(delete)
    if update:
        table.update(updates=update, predicate=where)
    if compact:
        table.optimize.compact()


def plain(value):
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return str(value)


request = json.load(sys.stdin)
if "transactions" in request:
    answer = transactions(**request["transactions"])
elif "write" in request:
    answer = write(**request["write"])
elif "tamper" in request:
    answer = tamper(**request["tamper"])
else:
    answer = query(**request)
json.dump(answer, sys.stdout, default=plain)
