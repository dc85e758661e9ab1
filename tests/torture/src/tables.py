"""What tables there must be, and how one is read: file by file, and what is new only."""

import deltalake

# They do the same under names of their own, each as its owner's module.
MODULES = ["retail", "wholesale"]
# Nobody takes files out of its silver table: it is neither compacted nor taken back.
STEADY = "wholesale"

SALES = {
    "_lakeward_incarnation": "INTEGER", "_lakeward_partition": "INTEGER", "_lakeward_offset": "BIGINT", "seq": "BIGINT", "invoice": "VARCHAR", "kind": "VARCHAR",
    "stock_code": "VARCHAR", "description": "VARCHAR", "quantity": "BIGINT", "unit_price": "DECIMAL(18, 3)",
    "line_total": "DECIMAL(18, 3)", "customer_id": "BIGINT", "country": "VARCHAR", "sold_at": "TIMESTAMPTZ",
}
LETTERS = {
    "module": "VARCHAR", "incarnation": "INTEGER", "partition": "INTEGER", "offset": "BIGINT", "stage": "VARCHAR", "reason": "VARCHAR", "product": "VARCHAR", "value": "BLOB",
    "status": "VARCHAR", "tries": "INTEGER", "request": "BIGINT",
}
# The host's own words for a reason are not the generator's to know.
COMPARED_LETTERS = """module, incarnation, "partition", "offset", stage, CASE stage WHEN 'transform' THEN reason END AS reason, product, value,
                      status, tries, request"""
HOUR = """SELECT country, date_trunc('hour', sold_at) AS window_start, count(*)::BIGINT AS lines,
                 sum(line_total)::DECIMAL(38, 3) AS revenue, count(DISTINCT customer_id)::BIGINT AS customers
          FROM all_sales WHERE NOT late_for_hour AND module = '{module}' GROUP BY ALL"""
DAY = """SELECT stock_code, date_trunc('day', sold_at) AS window_start, sum(quantity)::BIGINT AS quantity,
                sum(line_total)::DECIMAL(38, 3) AS revenue, count(*)::BIGINT AS lines
         FROM all_sales WHERE NOT late_for_day AND module = '{module}' GROUP BY ALL"""
GOLD = {
    "sales_by_country": (HOUR, "country, window_start, lines::BIGINT, revenue::DECIMAL(38, 3), customers::BIGINT"),
    "top_products": (DAY, "stock_code, window_start, quantity::BIGINT, revenue::DECIMAL(38, 3), lines::BIGINT"),
}


def silver(module):
    return f"silver/{module}/sales"


def gold(module):
    """The gold tables of a module: path, what must be there, and its columns."""
    return [(f"gold/{module}/{name}", expected.format(module=module), columns) for name, (expected, columns) in GOLD.items()]


# The row of a letter's record.
SALE = "module = ? AND _lakeward_partition = ? AND _lakeward_offset = ?"


def late_for(letter):
    return "late_for_hour" if letter["product"].endswith("/sales_by_country") else "late_for_day"


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
