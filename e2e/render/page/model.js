// What a dashboard's queries are: variables, intervals, and where panels stand.

const steps = [1, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

// interval returns the step in seconds for a range on so many points: a round number, at
// least the scrape interval.
export function interval(range, points, least) {
  const exact = range / Math.max(1, points);
  let best = steps[0];
  for (let i = 1; i < steps.length; i++) {
    if (exact >= (steps[i - 1] + steps[i]) / 2) best = steps[i];
  }
  return Math.max(best, least);
}

// seconds reads a duration as Grafana writes it, "15s", "1m", "1h"; 0 if there is none.
export function seconds(text) {
  const found = /^(\d+(?:\.\d+)?)(ms|[smhdw])$/.exec(text ?? '');
  return found ? Number(found[1]) * { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, w: 604800 }[found[2]] : 0;
}

const literal = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&').replace(/\\/g, '\\\\');

// chosen returns the values of each variable: those that are given, else All if there is
// such a choice, else its first one.
export function chosen(board, given = {}) {
  const out = {};
  for (const v of board.templating?.list ?? []) {
    if (v.type === 'datasource') {
      out[v.name] = { text: 'Prometheus', pattern: 'prometheus' };
      continue;
    }
    const values = given[v.name] ?? [];
    if (values.length === 0 && v.includeAll) out[v.name] = { text: 'All', pattern: v.allValue ?? '.*' };
    else if (values.length === 1 || !v.multi) out[v.name] = { text: values[0] ?? '', pattern: v.multi ? literal(values[0] ?? '') : values[0] ?? '' };
    else out[v.name] = { text: values.join(' + '), pattern: `(${values.map(literal).join('|')})` };
  }
  return out;
}

const spelled = /\$(\w+)|\$\{(\w+)(?:\.[^:}]+)?(?::[^}]+)?\}|\[\[(\w+?)(?::\w+)?\]\]/g;

// fill puts the values of variables into a query. A name that stands for nothing is an error.
export function fill(expr, variables, { step, scrape, range }) {
  const builtin = {
    __interval: `${step}s`, __interval_ms: String(step * 1000), __rate_interval: `${Math.max(step + scrape, 4 * scrape)}s`,
    __range: `${range}s`, __range_s: String(range), __range_ms: String(range * 1000),
  };
  return expr.replace(spelled, (all, a, b, c) => {
    const name = a ?? b ?? c;
    if (/^\d+$/.test(name)) return all; // a group of a regular expression
    const value = builtin[name] ?? variables[name]?.pattern;
    if (value === undefined) throw new Error(`the query has the unknown variable ${all}: ${expr}`);
    return value;
  });
}

export const grid = { columns: 24, cell: 30, gap: 8, edge: 16 };

// laid returns the panels of a dashboard with their places in pixels on a page of a width,
// and the height of all. What follows a collapsed row stands below it; it moves down if all
// rows are opened.
export function laid(board, width, open) {
  const out = [];
  let more = 0; // lines of the grid that opened rows add
  const column = (width - 2 * grid.edge + grid.gap) / grid.columns;
  const put = (panel) => {
    const { x, y, w, h } = panel.gridPos;
    const line = grid.cell + grid.gap;
    out.push({ panel, left: grid.edge + x * column, top: (y + more) * line, width: w * column - grid.gap, height: h * line - grid.gap });
  };
  for (const panel of board.panels) {
    if (panel.type !== 'row' || !panel.collapsed) {
      put(panel);
      continue;
    }
    put(open ? { ...panel, collapsed: false } : panel);
    const inside = panel.panels ?? [];
    if (!open || inside.length === 0) continue;
    inside.forEach(put);
    more += Math.max(...inside.map((p) => p.gridPos.y + p.gridPos.h)) - panel.gridPos.y - 1;
  }
  return { places: out, height: Math.max(0, ...out.map((p) => p.top + p.height)) };
}
