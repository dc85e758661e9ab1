"""Holds a lake against the generator's record. One long-lived process: to import the engines takes longer than a check.

A request a line as JSON on standard input, an answer a line; an answer is {"fine": value} or {"error": text}.
{"open": {"lake": {"location": "..", "options": {}}, "pipeline": ".."}} -> null
{"expect": {"sales": "file.ndjson", "dead_letters": "file.ndjson"}} -> null
{"standing": {}} -> {"0": next offset}: how far the commits table has got
{"check": {"sent": [..], "active": "digest"}} -> what is wrong, as texts
{"check_gold": {}} -> the same
{"scan": {}} -> the same, all tables read again by DuckDB's own Delta reader and by delta-rs
{"compact": {}} -> what delta-rs says of its compaction of the silver table
{"deployments": {}} -> the log of deployments
{"redrives": {}} -> [requests about dead letters, requests that are done]
{"answered": {"request": {"stage": ".." or null, "partition": 0 or null, "before": [..], "letters": [..] or null}, "active": "digest"}} ->
    what is wrong with the requests since the last time; their outcome is on the record from now on
"""

import bisect
import importlib.util
import json
import pathlib
import sys

import deltalake
import duckdb

SALES = {
    "_lakeward_incarnation": "INTEGER", "_lakeward_partition": "INTEGER", "_lakeward_offset": "BIGINT", "seq": "BIGINT", "invoice": "VARCHAR", "kind": "VARCHAR",
    "stock_code": "VARCHAR", "description": "VARCHAR", "quantity": "BIGINT", "unit_price": "DECIMAL(18, 3)",
    "line_total": "DECIMAL(18, 3)", "customer_id": "BIGINT", "country": "VARCHAR", "sold_at": "TIMESTAMPTZ",
}
LETTERS = {
    "incarnation": "INTEGER", "partition": "INTEGER", "offset": "BIGINT", "stage": "VARCHAR", "reason": "VARCHAR", "product": "VARCHAR", "value": "BLOB",
    "status": "VARCHAR", "tries": "INTEGER", "request": "BIGINT",
}
# The host's own words for a reason are not the generator's to know.
COMPARED_LETTERS = """incarnation, "partition", "offset", stage, CASE stage WHEN 'transform' THEN reason END AS reason, product, value,
                      status, tries, request"""
HOUR = """SELECT country, date_trunc('hour', sold_at) AS window_start, count(*)::BIGINT AS lines,
                 sum(line_total)::DECIMAL(38, 3) AS revenue, count(DISTINCT customer_id)::BIGINT AS customers
          FROM all_sales WHERE NOT late_for_hour GROUP BY ALL"""
DAY = """SELECT stock_code, date_trunc('day', sold_at) AS window_start, sum(quantity)::BIGINT AS quantity,
                sum(line_total)::DECIMAL(38, 3) AS revenue, count(*)::BIGINT AS lines
         FROM all_sales WHERE NOT late_for_day GROUP BY ALL"""
GOLD = {
    "gold/retail/sales_by_country": (
        HOUR, "country, window_start, lines::BIGINT, revenue::DECIMAL(38, 3), customers::BIGINT"),
    "gold/retail/top_products": (
        DAY, "stock_code, window_start, quantity::BIGINT, revenue::DECIMAL(38, 3), lines::BIGINT"),
}


def columns(of, skip=()):
    return ", ".join(f'"{name}" {kind}' for name, kind in of.items() if name not in skip)


def names(of):
    return ", ".join(f'"{name}"' for name in of)


class Table:
    """A table read file by file: what was checked once is not read again, unless a file of it is gone."""

    def __init__(self, lake, path):
        self.url = f"{lake['location'].rstrip('/')}/{path}"
        self.options = lake["options"] or None
        self.delta = None
        self.seen = set()
        # What was new the last time.
        self.read = []

    def latest(self):
        if self.delta is None:
            self.delta = deltalake.DeltaTable(self.url, storage_options=self.options)
        else:
            self.delta.update_incremental()
        return self.delta

    def fresh(self):
        """Whether all has to be read again, and the files to read."""
        files = set(self.latest().file_uris())
        again = not self.seen <= files
        self.read = sorted(files if again else files - self.seen)
        self.seen = files
        return again, self.read


class Checker:
    def __init__(self, lake, pipeline):
        self.lake, self.pipeline = lake, pipeline
        self.sql = duckdb.connect()
        self.sql.execute("SET TimeZone = 'UTC'")
        self.load("delta")
        if lake["options"]:
            self.load("httpfs")
            self.secret(lake["options"])
        paths = ["silver/retail/sales", "_lakeward/dead_letters", "_lakeward/commits", "_lakeward/deployments", "_lakeward/redrives", *GOLD]
        self.tables = {path: Table(lake, path) for path in paths}
        self.sql.execute(f"CREATE TABLE all_sales ({columns(SALES)}, late_for_hour BOOLEAN, late_for_day BOOLEAN)")
        self.sql.execute("CREATE TABLE new_sales AS FROM all_sales")
        self.sql.execute(f"CREATE TABLE all_letters ({columns(LETTERS)})")
        self.sql.execute("CREATE TABLE new_letters AS FROM all_letters")
        self.sql.execute("CREATE TABLE commits (file VARCHAR, row JSON)")
        self.commits, self.ranges = [], {}
        # By partition: how many requests are on the record.
        self.requests = {}

    def load(self, name):
        package = importlib.util.find_spec(f"duckdb_extension_{name}").submodule_search_locations[0]
        extension = pathlib.Path(package, "extensions", f"v{duckdb.__version__}", f"{name}.duckdb_extension")
        self.sql.execute(f"LOAD '{extension}'")

    def secret(self, options):
        scheme, endpoint = options["aws_endpoint"].split("://")
        self.sql.execute(
            f"""CREATE SECRET (TYPE s3, KEY_ID '{options["aws_access_key_id"]}', ENDPOINT '{endpoint}',
                SECRET '{options["aws_secret_access_key"]}', REGION '{options["aws_region"]}', URL_STYLE 'path',
                USE_SSL {scheme == "https"})"""
        )

    def expect(self, sales, dead_letters):
        origin = '0, partition::INTEGER, "offset"::BIGINT'
        rest = ", ".join(f'"{name}"::{kind}' for name, kind in list(SALES.items())[3:])
        self.insert("sales", sales, f"SELECT {origin}, {rest}, late_for_hour::BOOLEAN, late_for_day::BOOLEAN")
        letter = 'stage::VARCHAR, reason::VARCHAR, product::VARCHAR, encode(value::VARCHAR), \'open\', 1, NULL'
        self.insert("letters", dead_letters, f"SELECT {origin}, {letter}")

    def insert(self, name, file, select):
        if pathlib.Path(file).stat().st_size == 0:
            return
        # Every field as text first, so that no reader guesses a decimal to be a float.
        fields = json.loads(open(file).readline())
        text = ", ".join(f"'{field}': 'VARCHAR'" for field in fields)
        for table in (f"all_{name}", f"new_{name}"):
            rows = f"read_json('{file}', format = 'newline_delimited', columns = {{{text}}})"
            self.sql.execute(f"INSERT INTO {table} {select} FROM {rows}")

    def standing(self):
        try:
            delta = self.tables["_lakeward/commits"].latest()
        except deltalake.exceptions.TableNotFoundError:
            return {}
        found = {}
        for partition in range(64):
            next_offset = delta.transaction_version(f"lakeward/{self.pipeline}/orders#0/{partition}")
            if next_offset is None:
                break
            found[str(partition)] = next_offset
        return found

    def rows(self, files, columns, partitioned=False):
        how = "hive_partitioning = true, hive_types = {'partition': INTEGER}" if partitioned else "hive_partitioning = false"
        return f"SELECT {columns} FROM read_parquet({files}, {how}, union_by_name = true)"

    def differences(self, what, expected, found):
        """The first rows of two queries that do not agree."""
        sides = {"is missing": f"({expected}) EXCEPT ALL ({found})", "is too much": f"({found}) EXCEPT ALL ({expected})"}
        wrong = []
        for side, query in sides.items():
            rows = self.sql.execute(query).fetchall()
            if rows:
                first = "; ".join(str(row) for row in sorted(rows, key=str)[:3])
                wrong.append(f"{what}: {len(rows)} rows, of which each {side}: {first}")
        return wrong

    def growing(self, path, name, columns, compared):
        again, files = self.tables[path].fresh()
        expected = f"SELECT {compared} FROM {'all' if again else 'new'}_{name}"
        found = f"SELECT {compared} FROM ({self.rows(files, columns)})" if files else f"{expected} LIMIT 0"
        wrong = self.differences(path, expected, found)
        self.sql.execute(f"DELETE FROM new_{name}")
        return wrong

    def check(self, sent, active):
        wrong = self.growing("silver/retail/sales", "sales", names(SALES), names(SALES))
        wrong += self.growing("_lakeward/dead_letters", "letters", names(LETTERS), COMPARED_LETTERS)
        self.read_commits()
        return wrong + self.check_commits(sent) + self.check_digests(active)

    def read_commits(self):
        again, files = self.tables["_lakeward/commits"].fresh()
        if again:
            self.sql.execute("DELETE FROM commits")
        if files:
            self.sql.execute(f"INSERT INTO commits SELECT filename, to_json(t) FROM read_parquet({files}, filename = true) t")
        commits = [json.loads(row) for (row,) in self.sql.execute("SELECT row FROM commits").fetchall()]
        self.commits = sorted(commits, key=lambda commit: (commit["committed_at"], commit["micro_batch"]))
        # By partition: its offset ranges, each with the module that its commit names.
        self.ranges = {}
        for commit in self.commits:
            module = json.loads(commit["modules"]).get("retail")
            for partition, (start, to) in json.loads(commit["offsets"]).items():
                self.ranges.setdefault(partition, []).append((start, to, module))
        for ranges in self.ranges.values():
            ranges.sort(key=lambda found: found[:2])

    def check_commits(self, sent):
        letters = "SELECT count(*) FROM all_letters WHERE "
        expected = {
            "records": sum(sent),
            "with_rows": self.sql.execute("SELECT count(*) FROM all_sales").fetchone()[0],
            "skips": 0,
            "dead_letters": self.sql.execute(f"{letters} stage <> 'aggregate' AND request IS NULL").fetchone()[0],
            "redriven": self.sql.execute(f"{letters} request IS NOT NULL").fetchone()[0],
            "redriven_with_rows": self.sql.execute(f"{letters} status = 'redriven'").fetchone()[0],
            "redriven_skips": 0,
            "redriven_dead_letters": self.sql.execute(f"{letters} request IS NOT NULL AND status = 'open'").fetchone()[0],
        }
        found = {name: sum(commit[name] for commit in self.commits) for name in expected}
        wrong = [] if found == expected else [f"the commits count {found}, not {expected}"]
        for partition, end in enumerate(sent):
            wrong += self.check_chain(f"orders#0/{partition}", end)
            wrong += self.check_chain(f"redrive:orders#0/{partition}", self.requests.get(partition, 0))
        return wrong

    def check_chain(self, partition, end):
        """The offset ranges of a partition follow one another without a gap or an overlap."""
        at = 0
        for start, to, _ in self.ranges.get(partition, []):
            if start != at:
                return [f"{partition} of the commits table goes on at {start}, not at {at}"]
            at = to
        return [] if at == end else [f"{partition} of the commits table ends at {at}, not at {end}"]

    def made_by(self, partition, offset):
        """The module that a record went through, by the commits table."""
        ranges = self.ranges.get(f"orders#0/{partition}", [])
        # Empty ranges share their start with the one that has the record.
        at = bisect.bisect_right(ranges, offset, key=lambda found: found[0])
        return ranges[at - 1][2] if at and offset < ranges[at - 1][1] else None

    def check_digests(self, active):
        """Every dead letter is of the module that the commits table names for its record, and the newest commit is of the active one."""
        wrong = []
        newest = json.loads(self.commits[-1]["modules"]).get("retail") if self.commits else active
        if newest != active:
            wrong.append(f"the newest commit is of module {newest}, and {active} is active")
        files = self.tables["_lakeward/dead_letters"].read
        columns = '"partition", "offset", module_digest'
        # Of a late record every row tells by which module silver has it.
        first = f"{self.rows(files, columns)} WHERE request IS NULL OR stage = 'aggregate'"
        for partition, offset, digest in self.sql.execute(first).fetchall() if files else []:
            named = self.made_by(partition, offset)
            if named != digest:
                wrong.append(f"the dead letter of {partition}:{offset} is of module {digest}, its commit names {named}")
        return wrong[:3]

    def deployments(self):
        rows = self.rows(sorted(self.tables["_lakeward/deployments"].latest().file_uris()), "sequence, action, digest, who, why")
        found = self.sql.execute(f"{rows} ORDER BY sequence").fetchall()
        return [dict(zip(["sequence", "action", "digest", "who", "why"], row)) for row in found]

    def redrives(self):
        next_of = lambda path, partition: self.tables[path].latest().transaction_version(
            f"lakeward/{self.pipeline}/redrive:orders#0/{partition}") or 0
        return [sum(next_of(path, partition) for partition in range(8))
                for path in ["_lakeward/redrives", "_lakeward/commits"]]

    def answered(self, request, active):
        """What was asked for ends as the rules say: only late rows of this very module get into their windows; all else fails as before."""
        self.read_commits()
        _, files = self.tables["_lakeward/redrives"].fresh()
        columns = '"partition", sequence, action, "offset", stage, product'
        asked = self.sql.execute(f"{self.rows(files, columns, partitioned=True)} ORDER BY 1, 2").fetchall() if files else []
        letters = {}
        for row in self.sql.execute(f"SELECT {names(LETTERS)} FROM all_letters ORDER BY coalesce(request, -1)").fetchall():
            letter = dict(zip(LETTERS, row))
            letters[letter["partition"], letter["offset"], letter["product"]] = letter
        wrong = self.check_asked(request, letters, asked)
        for partition, sequence, action, offset, _, product in asked:
            letter = letters.get((partition, offset, product))
            if sequence != self.requests.get(partition, 0):
                wrong.append(f"request {sequence} of partition {partition} does not follow on {self.requests.get(partition, 0)}")
            self.requests[partition] = sequence + 1
            if letter is None or letter["status"] != "open" or action != "redrive":
                wrong.append(f"request {sequence} of partition {partition}, {action}, is about {letter}")
                continue
            letter |= {"tries": letter["tries"] + 1, "request": sequence}
            if product is not None and self.made_by(partition, offset) == active:
                letter |= {"status": "redriven", "value": None}
                late_for = "late_for_hour" if product == "retail/sales_by_country" else "late_for_day"
                self.sql.execute(
                    f"UPDATE all_sales SET {late_for} = false WHERE _lakeward_partition = ? AND _lakeward_offset = ?",
                    [partition, offset])
            for table in ("all_letters", "new_letters"):
                self.sql.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(LETTERS))})", list(letter.values()))
        return wrong[:5]

    def check_asked(self, request, letters, asked):
        """As many letters were asked for as was said, and all that were open before and meet the conditions are among them."""
        if request["letters"] is None:
            return []
        wrong = []
        if sum(request["letters"]) != len(asked):
            wrong.append(f"{request['letters']} letters were said to be requested, and {len(asked)} are")
        taken = {(partition, offset, product) for partition, _, _, offset, _, product in asked}
        for (partition, offset, product), letter in letters.items():
            meets = request["stage"] in (None, letter["stage"]) and request["partition"] in (None, partition)
            is_old = offset < request["before"][partition]
            if meets and is_old and letter["status"] == "open" and (partition, offset, product) not in taken:
                wrong.append(f"{partition}:{offset} of {product} is an open dead letter and was not requested")
        return wrong

    def check_gold(self):
        wrong = []
        for path, (expected, columns) in GOLD.items():
            files = self.tables[path].latest().file_uris()
            found = self.rows(files, columns) if files else f"SELECT * FROM ({expected}) LIMIT 0"
            wrong += self.differences(path, expected, found)
        return wrong

    def scan(self):
        prefix = self.lake["location"].rstrip("/")
        url = prefix if "://" in prefix else f"file://{prefix}"
        wrong = []
        both = {
            "silver/retail/sales": (f"SELECT {names(SALES)} FROM all_sales", names(SALES)),
            "_lakeward/dead_letters": (f"SELECT {COMPARED_LETTERS} FROM all_letters", COMPARED_LETTERS),
            **GOLD,
        }
        for path, (expected, columns) in both.items():
            found = f"SELECT {columns} FROM delta_scan('{url}/{path}')"
            wrong += self.differences(f"{path} by DuckDB", expected, found)
            rows = deltalake.QueryBuilder().register("t", self.tables[path].latest()).execute('SELECT * FROM t')
            self.sql.execute("CREATE OR REPLACE TABLE by_delta_rs AS SELECT * FROM rows")
            wrong += self.differences(f"{path} by delta-rs", expected, f"SELECT {columns} FROM by_delta_rs")
        return wrong

    def compact(self):
        silver = self.tables["silver/retail/sales"]
        try:
            table = deltalake.DeltaTable(silver.url, storage_options=silver.options)
            metrics = table.optimize.compact()
        except deltalake.exceptions.CommitFailedError as error:
            return f"it gave way: {error}"
        except deltalake.exceptions.TableNotFoundError:
            return "there was no table yet"
        return f"{metrics['numFilesRemoved']} files became {metrics['numFilesAdded']}"


checker = None
for line in sys.stdin:
    [(name, arguments)] = json.loads(line).items()
    try:
        if name == "open":
            checker = Checker(**arguments)
            answer = None
        else:
            answer = getattr(checker, name)(**arguments)
        text = json.dumps({"fine": answer}, default=str)
    except Exception as error:
        text = json.dumps({"error": f"{type(error).__name__}: {error}"})
    print(text, flush=True)
