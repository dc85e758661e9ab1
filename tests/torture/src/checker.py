"""Holds a lake against the generator's record. One long-lived process: to import the engines takes longer than a check.

A request a line as JSON on standard input, an answer a line; an answer is {"fine": value} or {"error": text}.
{"open": {"lake": {"location": "..", "options": {}}, "pipeline": ".."}} -> null
{"expect": {"sales": "file.ndjson", "dead_letters": "file.ndjson"}} -> null
{"standings": {}} -> {"": [next offset by partition], "retail": [..], ..}: how far the commits table has got, for who reads first and for each module
{"check": {"sent": [..], "active": {"retail": "digest", ..}}} -> what is wrong, as texts
{"check_module": {"module": ".."}} -> the same of the silver rows and dead letters of one module
{"check_gold": {"modules": [..]}} -> the same of gold
{"stands": {"module": ".."}} -> what changes with whatever is committed for a module
{"apart": {}} -> how many micro-batches are of modules that caught up beside the others
{"targets": {"module": "..", "since": version}} -> {"micro_batches": [..], "digests": [..]}: what a rewind may lead to; micro-batches since a version only
{"version": {}} -> of the commits table
{"scan": {}} -> the same, all tables read again by DuckDB's own Delta reader and by delta-rs
{"compact": {}} -> what delta-rs says of its compaction of the silver table
{"deployments": {}} -> the log of deployments
{"redrives": {}} -> [requests about dead letters, requests that are done]
{"answered": {"requests": [{"action": "..", "module": ".." or null, "stage": ".." or null, "partition": 0 or null, "letters": 1}, ..],
    "before": [..], "active": {"retail": "digest", ..}}} ->
    what is wrong with the requests since the last time; their outcome is on the record from now on
"""

import collections
import importlib.util
import json
import pathlib
import sys

import deltalake
import duckdb

# Nothing is written beside the sources.
sys.dont_write_bytecode = True
import ledger
from tables import COMPARED_LETTERS, GOLD, LETTERS, MODULES, SALE, SALES, STEADY, Table, columns, gold, late_for, names, silver


class Checker:
    def __init__(self, lake, pipeline):
        self.lake, self.pipeline = lake, pipeline
        self.sql = duckdb.connect()
        self.sql.execute("SET TimeZone = 'UTC'")
        self.load("delta")
        if lake["options"]:
            self.load("httpfs")
            self.secret(lake["options"])
        states = [f"_lakeward/state/{module}/{name}" for module in MODULES for name in GOLD]
        paths = [*map(silver, MODULES), *(path for module in MODULES for path, *_ in gold(module)), *states]
        paths += [f"_lakeward/{name}" for name in ["dead_letters", "commits", "deployments", "redrives"]]
        self.tables = {path: Table(lake, path) for path in paths}
        self.sql.execute(f"CREATE TABLE all_sales (module VARCHAR, {columns(SALES)}, late_for_hour BOOLEAN, late_for_day BOOLEAN)")
        self.sql.execute("CREATE TABLE new_sales AS FROM all_sales")
        self.sql.execute(f"CREATE TABLE all_letters ({columns(LETTERS)})")
        self.sql.execute("CREATE TABLE new_letters AS FROM all_letters")
        # The commits table by the files of its rows: the row, and the version that brought it.
        self.commits = {}
        self.read_to = -1
        self.ledger = ledger.Ledger([])
        # By partition: the offsets of records without rows, and how many requests are on the record.
        self.dead, self.requests = {}, {}
        # What was asked of dead letters came to.
        self.settled = collections.Counter()
        # How many rewinds are on the record.
        self.rewinds = 0

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
        self.insert("sales", sales, f"SELECT module, {origin}, {rest}, late_for_hour::BOOLEAN, late_for_day::BOOLEAN")
        letter = "stage::VARCHAR, reason::VARCHAR, module || '/' || product, encode(value::VARCHAR), 'open', 1, NULL"
        self.insert("letters", dead_letters, f"SELECT module, {origin}, {letter}")
        for line in open(dead_letters):
            letter = json.loads(line)
            if letter["stage"] != "aggregate":
                self.dead.setdefault(f"orders#0/{letter['partition']}", []).append(letter["offset"])

    def insert(self, name, file, select):
        if pathlib.Path(file).stat().st_size == 0:
            return
        # Every field as text first, so that no reader guesses a decimal to be a float.
        fields = json.loads(open(file).readline())
        text = ", ".join(f"'{field}': 'VARCHAR'" for field in fields)
        rows = f"read_json('{file}', format = 'newline_delimited', columns = {{{text}}})"
        for table in (f"all_{name}", f"new_{name}"):
            self.sql.execute(f"INSERT INTO {table} {select} FROM {rows}, (SELECT unnest({MODULES}) AS module)")

    def standings(self):
        try:
            delta = self.tables["_lakeward/commits"].latest()
        except deltalake.exceptions.TableNotFoundError:
            return {}
        found = {}
        for module in ["", *MODULES]:
            reader = f"@{module}" if module else ""
            stands = (delta.transaction_version(f"lakeward/{self.pipeline}/orders#0/{partition}{reader}") for partition in range(8))
            found[module] = [next_offset for next_offset in stands if next_offset is not None]
        return found

    def stands(self, module):
        found = [self.standings().get(module)]
        for path in [silver(module), *(path for path, *_ in gold(module)), *(f"_lakeward/state/{module}/{name}" for name in GOLD)]:
            found.append([path, self.tables[path].latest().version()])
        letters = self.rows(sorted(self.tables["_lakeward/dead_letters"].latest().file_uris()), "count(*)")
        return found + list(self.sql.execute(f"{letters} WHERE module = '{module}'").fetchone())

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

    def growing(self, path, name, columns, compared, where="true"):
        again, files = self.tables[path].fresh()
        expected = f"SELECT {compared} FROM {'all' if again else 'new'}_{name} WHERE {where}"
        found = f"SELECT {compared} FROM ({self.rows(files, columns)})" if files else f"{expected} LIMIT 0"
        wrong = self.differences(path, expected, found)
        if again and path == silver(STEADY):
            wrong.append(f"{path} has lost files")
        self.sql.execute(f"DELETE FROM new_{name} WHERE {where}")
        return wrong

    def check(self, sent, active):
        self.read_commits()
        wrong = self.take_back()
        for module in MODULES:
            wrong += self.growing(silver(module), "sales", names(SALES), names(SALES), f"module = '{module}'")
        wrong += self.growing("_lakeward/dead_letters", "letters", names(LETTERS), COMPARED_LETTERS)
        return wrong + self.check_commits(sent) + self.check_digests(active)

    def check_module(self, module):
        """All of a module, while others stand apart."""
        whole = lambda path: sorted(self.tables[path].latest().file_uris())
        of = f"WHERE module = '{module}'"
        sales = self.differences(
            silver(module), f"SELECT {names(SALES)} FROM all_sales {of}", self.rows(whole(silver(module)), names(SALES)))
        letters = self.rows(whole("_lakeward/dead_letters"), names(LETTERS))
        return sales + self.differences(
            "_lakeward/dead_letters", f"SELECT {COMPARED_LETTERS} FROM all_letters {of}",
            f"SELECT {COMPARED_LETTERS} FROM ({letters} {of})")

    def read_commits(self):
        """Every row of the commits table with the version that brought it: a log of its own order, whatever the clocks say."""
        table = self.tables["_lakeward/commits"]
        _, files = table.fresh()
        newest = table.delta.version()
        logs = [f"{table.url}/_delta_log/{version:020}.json" for version in range(self.read_to + 1, newest + 1)]
        self.read_to = newest
        versions = {}
        for log, content in self.sql.execute(f"SELECT filename, content FROM read_text({logs})").fetchall() if logs else []:
            for action in map(json.loads, content.splitlines()):
                if "add" in action:
                    versions[action["add"]["path"].rsplit("/", 1)[-1]] = int(log.rsplit("/", 1)[-1].split(".")[0])
        if files:
            read = f"SELECT filename, to_json(t) FROM read_parquet({files}, filename = true) t"
            for file, row in self.sql.execute(read).fetchall():
                self.commits[file] = ledger.parse(row, versions[file.rsplit("/", 1)[-1]])
        self.ledger = ledger.Ledger(sorted(self.commits.values(), key=lambda commit: commit["version"]))

    def apart(self):
        return self.ledger.apart()

    def version(self):
        return self.tables["_lakeward/commits"].latest().version()

    def targets(self, module, since):
        self.read_commits()
        undone = self.ledger.undone(module, self.rewinds_of(module))
        all_of = self.ledger.micro_batches(module)
        is_undone = lambda commit: any(target < commit["version"] < rewind for _, target, rewind in undone)
        # Instances number for themselves: a number that one of them had undone is no good name for the other's.
        gone = {commit["micro_batch"] for commit in all_of if is_undone(commit)}
        is_left = lambda commit: commit["micro_batch"] not in gone
        left = [commit["micro_batch"] for commit in all_of if is_left(commit) and commit["version"] > since]
        by_number = sorted(filter(is_left, all_of), key=lambda commit: commit["micro_batch"])
        digests = [commit["modules"][module] for commit in by_number]
        # Before the first one there is nothing to go back to.
        return {"micro_batches": left, "digests": [digest for digest in dict.fromkeys(digests) if digest != digests[0]]}

    def rewinds_of(self, module):
        """The rewinds of a module in the log of deployments: number and target."""
        log = sorted(self.tables["_lakeward/deployments"].latest().file_uris())
        rows = self.rows(log, "sequence, target, module, action")
        found = self.sql.execute(f"SELECT sequence, target FROM ({rows}) WHERE action = 'rewind' AND module = '{module}' ORDER BY 1")
        return [(sequence, json.loads(target)) for sequence, target in found.fetchall()]

    def take_back(self):
        """What rewinds since the last time undid is off the record: what became of letters since their target is forgotten."""
        module = MODULES[0]
        undone = self.ledger.undone(module, self.rewinds_of(module))
        wrong = []
        for target, version, rewound in undone[self.rewinds:]:
            stood = self.ledger.before(version)
            for partition, offset in target["offsets"].items():
                if offset != stood.end(module, partition):
                    wrong.append(f"{partition} went back to {offset}, and stood at {stood.end(module, partition)} in that micro-batch")
            answered = f"SELECT * FROM all_letters WHERE module = '{module}' AND request IS NOT NULL"
            for row in self.sql.execute(answered).fetchall():
                letter = dict(zip(LETTERS, row))
                partition = f"orders#0/{letter['partition']}"
                answered_in = self.ledger.answered_in(partition, letter["request"])
                is_later = answered_in > version or letter["offset"] >= target["offsets"][partition]
                if is_later and answered_in < rewound:
                    self.forget(letter)
        self.rewinds = len(undone)
        return wrong

    def forget(self, letter):
        """An answer is off the record, with what it did to a window."""
        of = [letter["module"], letter["partition"], letter["offset"]]
        if letter["status"] == "redriven":
            self.sql.execute(f"UPDATE all_sales SET {late_for(letter)} = true WHERE {SALE}", of)
        for table in ("all_letters", "new_letters"):
            self.sql.execute(
                f"""DELETE FROM {table} WHERE module = ? AND "partition" = ? AND "offset" = ? AND request = ?""",
                [*of, letter["request"]])

    def check_commits(self, sent):
        wrong = list(self.ledger.wrong)
        for commit in self.ledger.commits:
            expected = self.ledger.counts(commit, self.dead)
            found = {name: commit[name] for name in expected}
            if found != expected:
                wrong.append(f"micro-batch {commit['micro_batch']} counts {found}, not {expected}")
        names = ["redriven", "redriven_with_rows", "redriven_skips", "redriven_dead_letters", "discarded"]
        expected = {name: self.settled[name] for name in names}
        found = {name: sum(commit[name] for commit in self.ledger.commits) for name in names}
        if found != expected:
            wrong.append(f"the commits count {found}, not {expected}")
        for partition, end in enumerate(sent):
            of = f"orders#0/{partition}"
            ends = {module: self.ledger.end(module, of) for module in MODULES}
            wrong += [f"{of} of {module} ends at {at} in the commits table, not at {end}" for module, at in ends.items() if at != end]
            answered = self.ledger.requests.get(of, [(0, 0, 0)])[-1][1]
            if answered != self.requests.get(partition, 0):
                wrong.append(f"{answered} requests about {of} are settled, not {self.requests.get(partition, 0)}")
        return wrong[:5]

    def made_by(self, module, partition, offset):
        return self.ledger.made_by(module, f"orders#0/{partition}", offset)

    def check_digests(self, active):
        """Every dead letter is of the module that the commits table names for its record, and the newest commits are of the active ones, or of
        ones that were: what a dead instance has left half committed is finished by the digest that began it, to the end of its micro-batch."""
        wrong = []
        for module, digest in active.items():
            newest = self.ledger.newest(module)
            known = {deployment["digest"] for deployment in self.deployments() if deployment["module"] == module}
            if newest not in known | {None, digest}:
                wrong.append(f"the newest commit of {module} is of {newest}, which was never deployed")
        files = self.tables["_lakeward/dead_letters"].read
        columns = 'module, "partition", "offset", module_digest'
        # Of a late record every row tells by which module silver has it.
        first = f"{self.rows(files, columns)} WHERE request IS NULL OR stage = 'aggregate'"
        for module, partition, offset, digest in self.sql.execute(first).fetchall() if files else []:
            named = self.made_by(module, partition, offset)
            if named != digest:
                wrong.append(f"the dead letter of {partition}:{offset} is of {module} {digest}, its commit names {named}")
        return wrong[:3]

    def deployments(self):
        columns = ["module", "sequence", "action", "digest", "who", "why"]
        rows = self.rows(sorted(self.tables["_lakeward/deployments"].latest().file_uris()), ", ".join(columns))
        return [dict(zip(columns, row)) for row in self.sql.execute(f"{rows} ORDER BY module, sequence").fetchall()]

    def redrives(self):
        next_of = lambda path, partition: self.tables[path].latest().transaction_version(
            f"lakeward/{self.pipeline}/redrive:orders#0/{partition}") or 0
        return [sum(next_of(path, partition) for partition in range(8))
                for path in ["_lakeward/redrives", "_lakeward/commits"]]

    def answered(self, requests, before, active):
        """What was asked for ends as the rules say: only late rows of this very module get into their windows; all else fails as before."""
        self.read_commits()
        _, files = self.tables["_lakeward/redrives"].fresh()
        columns = '"partition", sequence, action, module, "offset", stage, product'
        asked = self.sql.execute(f"{self.rows(files, columns, partitioned=True)} ORDER BY 1, 2").fetchall() if files else []
        letters = {}
        for row in self.sql.execute(f"SELECT {names(LETTERS)} FROM all_letters ORDER BY coalesce(request, -1)").fetchall():
            letter = dict(zip(LETTERS, row))
            letters[letter["module"], letter["partition"], letter["offset"], letter["product"]] = letter
        wrong = self.check_asked(requests, before, letters, asked)
        for partition, sequence, action, module, offset, _, product in asked:
            letter = letters.get((module, partition, offset, product))
            if sequence != self.requests.get(partition, 0):
                wrong.append(f"request {sequence} of partition {partition} does not follow on {self.requests.get(partition, 0)}")
            self.requests[partition] = sequence + 1
            if letter is None or letter["status"] != "open":
                wrong.append(f"request {sequence} of partition {partition}, {action}, is about {letter}")
                continue
            letter["request"] = sequence
            self.settle(letter, action, active)
            for table in ("all_letters", "new_letters"):
                self.sql.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(LETTERS))})", list(letter.values()))
        return wrong[:5]

    def settle(self, letter, action, active):
        """What becomes of a letter that somebody asked for."""
        module, product = letter["module"], letter["product"]
        if action == "discard":
            reason = letter["reason"] and f"{letter['reason']}; discarded by ann"
            letter |= {"status": "discarded", "value": None, "reason": reason}
            self.settled["discarded"] += 1
            return
        letter["tries"] += 1
        self.settled["redriven"] += 1
        if product is not None and self.made_by(module, letter["partition"], letter["offset"]) == active[module]:
            letter |= {"status": "redriven", "value": None}
            of = [module, letter["partition"], letter["offset"]]
            self.sql.execute(f"UPDATE all_sales SET {late_for(letter)} = false WHERE {SALE}", of)
            self.settled["redriven_with_rows"] += 1
        else:
            self.settled["redriven_dead_letters"] += 1

    def check_asked(self, requests, before, letters, asked):
        """As many letters were asked for as was said, and all that were open before and meet the conditions are among them."""
        wrong = []
        said = collections.Counter()
        for request in requests:
            said[request["action"]] += request["letters"]
        found = collections.Counter(action for _, _, action, *_ in asked)
        if +said != found:
            wrong.append(f"{dict(said)} letters were said to be requested, and {dict(found)} are")
        taken = {(module, partition, offset, product) for partition, _, _, module, offset, _, product in asked}
        for identity, letter in letters.items():
            _, partition, offset, product = identity
            meets = lambda request: all(request[name] in (None, letter[name]) for name in ["module", "stage", "partition"])
            is_old = offset < before[partition]
            if is_old and letter["status"] == "open" and identity not in taken and any(map(meets, requests)):
                wrong.append(f"{partition}:{offset} of {product} is an open dead letter and was not requested")
        return wrong

    def check_gold(self, modules):
        wrong = []
        for path, expected, columns in (table for module in modules for table in gold(module)):
            files = self.tables[path].latest().file_uris()
            found = self.rows(files, columns) if files else f"SELECT * FROM ({expected}) LIMIT 0"
            wrong += self.differences(path, expected, found)
        return wrong

    def scan(self):
        prefix = self.lake["location"].rstrip("/")
        url = prefix if "://" in prefix else f"file://{prefix}"
        wrong = []
        sales = f"SELECT {names(SALES)} FROM all_sales WHERE module = "
        both = [(silver(module), f"{sales}'{module}'", names(SALES)) for module in MODULES]
        both.append(("_lakeward/dead_letters", f"SELECT {COMPARED_LETTERS} FROM all_letters", COMPARED_LETTERS))
        both += [table for module in MODULES for table in gold(module)]
        for path, expected, columns in both:
            found = f"SELECT {columns} FROM delta_scan('{url}/{path}')"
            wrong += self.differences(f"{path} by DuckDB", expected, found)
            rows = deltalake.QueryBuilder().register("t", self.tables[path].latest()).execute('SELECT * FROM t')
            self.sql.execute("CREATE OR REPLACE TABLE by_delta_rs AS SELECT * FROM rows")
            wrong += self.differences(f"{path} by delta-rs", expected, f"SELECT {columns} FROM by_delta_rs")
        return wrong

    def compact(self):
        table_of = self.tables[silver(MODULES[0])]
        try:
            table = deltalake.DeltaTable(table_of.url, storage_options=table_of.options)
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
