// How figures and times are written: exact, in UTC, the same for everybody.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export const NONE = "–";

/** A figure with thousands separators. Decimals come as text and stay exact: they never pass through a double. */
export function figure(value) {
  if (value === null || value === undefined) return NONE;
  const parts = /^(-?)(\d+)((?:\.\d+)?)$/.exec(String(value));
  if (!parts) return String(value);
  const [, sign, whole, fraction] = parts;
  return (sign ? "−" : "") + whole.replace(/\B(?=(\d{3})+$)/g, ",") + fraction;
}

/** A figure with as many digits as matter at its size. */
export function rounded(value) {
  if (value === null || value === undefined) return NONE;
  const size = Math.abs(value);
  return figure(value.toFixed(size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : 2));
}

/** A short figure for an axis. */
export function short(value) {
  const size = Math.abs(value);
  const [by, unit] = size >= 1e9 ? [1e9, "bn"] : size >= 1e6 ? [1e6, "m"] : size >= 1e4 ? [1e3, "k"] : [1, ""];
  return figure(String(Number((value / by).toPrecision(6)))) + unit;
}

const two = (number) => String(number).padStart(2, "0");

export const day = (ms) => {
  const date = new Date(ms);
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
};

export const clock = (ms) => {
  const date = new Date(ms);
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
};

/** A day with its year and the time. */
export function moment(ms) {
  return `${day(ms)} ${new Date(ms).getUTCFullYear()}, ${clock(ms)}`;
}

const DAY_MS = 86_400_000;

/** A window, as briefly as its width allows. */
export function span(startMs, endMs) {
  const width = endMs - startMs;
  if (width < 60_000) return `${day(startMs)} ${clock(startMs)}:${two(new Date(startMs).getUTCSeconds())}`;
  if (width % DAY_MS === 0 && startMs % DAY_MS === 0) {
    return width === DAY_MS ? day(startMs) : `${day(startMs)} – ${day(endMs)}`;
  }
  return `${day(startMs)} ${clock(startMs)}–${clock(endMs)}`;
}

/** A length of time in words. */
export function age(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${figure(Math.floor(seconds / 86_400))} days`;
}
