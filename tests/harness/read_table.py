"""Reads Delta tables with engines that are not ours, for the end-to-end cases.

One request as JSON on standard input, one answer as JSON on standard output:
{"engine": "duckdb" | "deltalake", "tables": {"sales": {"path": "..", "options": {}}}, "sql": ".."} -> [{"column": value}, ..]
for deltalake a table may name a "version", and is read as it was then
{"transactions": {"table": {"path": "..", "options": {}}, "ids": [..]}} -> {"id": version or null}
{"write": {"path": "..", "sql": ".."}} -> null; makes a table of the rows of a query
{"tamper": {"path": "..", "append": "SELECT .. FROM tampered" | "delete": ".." | "update": {"column": ".."}, "where": "..",
"compact": true, "vacuum": true}} -> null; changes a table behind its writer's back
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


def load(connection, name):
    # DuckDB would fetch its extensions from a server of its own, which a build machine may not reach; the packages
    # hold the same signed files.
    package = importlib.util.find_spec(f"duckdb_extension_{name}").submodule_search_locations[0]
    extension = pathlib.Path(package, "extensions", f"v{duckdb.__version__}", f"{name}.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")


def url(table):
    return table["path"] if "://" in table["path"] else f"file://{table['path']}"


def prepare(connection, tables):
    load(connection, "delta")
    options = next((table["options"] for table in tables.values() if table["options"]), None)
    if options is None:
        return
    load(connection, "httpfs")
    scheme, endpoint = options["aws_endpoint"].split("://")
    connection.execute(
        f"""CREATE SECRET (TYPE s3, KEY_ID '{options["aws_access_key_id"]}', SECRET '{options["aws_secret_access_key"]}',
            REGION '{options["aws_region"]}', ENDPOINT '{endpoint}', URL_STYLE 'path', USE_SSL {scheme == "https"})"""
    )


def query(engine, tables, sql):
    connection = connect()
    if engine == "duckdb":
        prepare(connection, tables)
    for name, table in tables.items():
        if engine == "duckdb":
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM delta_scan('{url(table)}')")
        else:
            # delta-rs reads the table, DuckDB only computes: one dialect of SQL for both.
            reader = deltalake.QueryBuilder().register(name, open_table(table))
            rows = reader.execute(f'SELECT * FROM "{name}"')
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM rows")
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor.fetchall()]


def open_table(table):
    return deltalake.DeltaTable(table["path"], version=table.get("version"), storage_options=table["options"] or None)


def transactions(table, ids):
    opened = open_table(table)
    return {id: opened.transaction_version(id) for id in ids}


def write(path, sql):
    deltalake.write_deltalake(path, connect().sql(sql))


def tamper(path, append=None, delete=None, update=None, where=None, compact=False, vacuum=False):
    table = deltalake.DeltaTable(path)
    if append:
        connection = connect()
        load(connection, "delta")
        connection.execute(f"CREATE VIEW tampered AS SELECT * FROM delta_scan('file://{path}')")
        deltalake.write_deltalake(table, connection.sql(append), mode="append")
    if delete:
        table.delete(delete)
    if update:
        table.update(updates=update, predicate=where)
    if compact:
        table.optimize.compact()
    if vacuum:
        table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)


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
