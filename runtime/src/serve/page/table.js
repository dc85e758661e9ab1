// Writing: only what has changed touches the document, so that nothing flickers and selections stay.

export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Fills a table. `columns`: [{ title, number, chosen }]; a cell is text or { text, badge, wrap, muted }. */
export function fill(table, columns, rows) {
  const head = (table.tHead ?? table.createTHead()).rows[0] ?? table.tHead.insertRow();
  fit(head, columns.length, "th");
  columns.forEach((column, index) => {
    const cell = head.cells[index];
    cell.scope = "col";
    cell.className = [column.number && "number", column.chosen && "chosen"].filter(Boolean).join(" ");
    say(cell, column.title);
  });
  const body = table.tBodies[0] ?? table.createTBody();
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((row, line) => {
    const target = body.rows[line] ?? body.insertRow();
    fit(target, columns.length, "td");
    row.forEach((value, index) => fillCell(target.cells[index], value, columns[index]));
  });
}

function fit(row, count, name) {
  while (row.cells.length > count) row.deleteCell(-1);
  while (row.cells.length < count) row.append(document.createElement(name));
}

function fillCell(cell, value, column) {
  const { text, badge, wrap, muted } = typeof value === "object" ? value : { text: value };
  cell.className = [column.number && "number", wrap && "wrap", muted && "muted"].filter(Boolean).join(" ");
  if (badge === undefined) {
    if (cell.firstElementChild) cell.replaceChildren();
    say(cell, text);
    return;
  }
  const mark = cell.firstElementChild ?? document.createElement("span");
  mark.className = `badge ${badge}`;
  mark.title = text;
  say(mark, text);
  if (!cell.firstElementChild) cell.replaceChildren(mark);
}
