// How a module that runs beside the active one compares: what it would write, reject and cost otherwise.

import { NONE, figure, rounded } from "./format.js";
import { fill, say } from "./table.js";

const number = (title) => ({ title, number: true });

/** Shows a report for each module with a shadow; `report` is null before anything was compared. */
export function showShadows(list, shadows) {
  while (list.children.length > shadows.length) list.lastChild.remove();
  shadows.forEach((shadow, index) => {
    const part = list.children[index] ?? list.appendChild(empty());
    showOne(part, shadow);
  });
}

/** Title, note, and a table for each aspect, which is hidden while there is nothing to say of it. */
function empty() {
  const part = document.createElement("article");
  part.className = "shadow";
  const title = document.createElement("h3");
  const note = document.createElement("p");
  note.className = "muted";
  part.append(title, note);
  for (const name of ["counts", "columns", "rows", "groups", "rejects"]) {
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    scroll.dataset.aspect = name;
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", name);
    scroll.append(document.createElement("table"));
    part.append(scroll);
  }
  return part;
}

function showOne(part, { module, report }) {
  const [title, note] = part.children;
  say(title, `${module.module}: ${module.shadow.slice(0, 8)} beside ${module.digest.slice(0, 8)}`);
  say(note, report ? sentence(report) : "Nothing was compared yet.");
  const show = (aspect, columns, rows) => {
    const scroll = part.querySelector(`[data-aspect="${aspect}"]`);
    scroll.hidden = rows.length === 0;
    if (rows.length) fill(scroll.firstElementChild, columns, rows);
  };
  show("counts", COUNTS, report ? [counts(report)] : []);
  show("columns", COLUMNS, report ? columns(report) : []);
  show("rows", ROWS, report ? rowsOfOne(report) : []);
  show("groups", GROUPS, report ? groups(report) : []);
  show("rejects", REJECTS, report ? rejects(report) : []);
}

function sentence({ records, rows, rejects, cost }) {
  const changes = rows.changed + rows.only_old + rows.only_new + rejects.gained + rejects.lost;
  const difference = changes === 0 ? "no difference" : `${figure(changes)} differences`;
  return `${figure(records)} records compared, ${difference}; ${change("time", cost.old.ns_per_event, cost.new.ns_per_event)}, ${change("fuel", cost.old.fuel_per_event, cost.new.fuel_per_event)}.`;
}

function change(what, before, after) {
  if (before <= 0) return `${what} not known`;
  const percent = (after / before - 1) * 100;
  const size = rounded(Math.abs(percent));
  return size === "0" ? `as much ${what}` : `${size} % ${percent > 0 ? "more" : "less"} ${what}`;
}

const COUNTS = [
  number("Records"),
  number("Rows the same"),
  number("Changed"),
  number("Only old"),
  number("Only new"),
  number("Rejects gained"),
  number("Rejects lost"),
  number("ns/event old"),
  number("ns/event new"),
  number("Fuel/event old"),
  number("Fuel/event new"),
];

function counts({ records, rows, rejects, cost }) {
  return [
    ...[records, rows.same, rows.changed, rows.only_old, rows.only_new, rejects.gained, rejects.lost].map(figure),
    ...[cost.old.ns_per_event, cost.new.ns_per_event, cost.old.fuel_per_event, cost.new.fuel_per_event].map(rounded),
  ];
}

const place = ({ topic, partition, offset }) => `${topic}/${partition}@${offset}`;
const shown = (value) => (value === null ? "null" : value);
const ONLY = { old: "only in the old module", new: "only in the new module" };

const COLUMNS = [{ title: "Product" }, { title: "Column" }, number("Values that differ"), { title: "The first of them" }];

function columns({ products }) {
  return products.flatMap(({ product, columns }) =>
    columns
      .filter((column) => column.differs > 0 || column.presence !== "both" || column.types)
      .map((column) => {
        const types = column.types ? ` (${column.types[0]} becomes ${column.types[1]})` : "";
        const examples = column.examples.map((one) => `${place(one.origin)}: ${shown(one.before)} → ${shown(one.after)}`);
        const text = ONLY[column.presence] ?? examples.join("\u2003");
        return [product, `${column.column}${types}`, figure(column.differs), { text, wrap: true }];
      }),
  );
}

const ROWS = [{ title: "Product" }, { title: "Row" }, { title: "Record" }, { title: "Its first columns" }];

function rowsOfOne({ products }) {
  return products.flatMap(({ product, presence, only_old, only_new }) => {
    if (presence !== "both") return [[product, ONLY[presence], NONE, NONE]];
    const rows = (examples, text) => examples.map(({ origin, row }) => [product, text, place(origin), { text: row, wrap: true }]);
    return [...rows(only_old, ONLY.old), ...rows(only_new, ONLY.new)];
  });
}

const GROUPS = [{ title: "Gold product" }, number("Groups that would differ"), { title: "The first of them" }];

function groups({ gold }) {
  return gold
    .filter((one) => one.groups > 0 || one.is_redefined || one.presence !== "both")
    .map((one) => {
      const examples = one.examples.map(({ keys, window_start }) => {
        const names = Object.entries(keys).map(([name, value]) => `${name}=${shown(value)}`);
        return [window_start, ...names].join(" ");
      });
      const redefined = one.is_redefined ? "keys, windows or measures are others: groups cannot be compared" : null;
      const text = ONLY[one.presence] ?? redefined ?? examples.join("\u2003");
      return [one.product, `${one.at_least ? "at least " : ""}${figure(one.groups)}`, { text, wrap: true }];
    });
}

const REJECTS = [{ title: "Rejects" }, number("Records"), { title: "Stage" }, { title: "Reason" }, { title: "First record" }];

function rejects({ rejects }) {
  const rows = (reasons, text) =>
    reasons.map((one) => [text, figure(one.records), one.stage, { text: one.reason, wrap: true }, place(one.first)]);
  return [...rows(rejects.gained_reasons, "gained"), ...rows(rejects.lost_reasons, "lost")];
}
