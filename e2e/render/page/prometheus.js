// Questions to Prometheus, and the frames that its answers are for Grafana's components.
import { FieldType } from '@grafana/data';
import { fill, interval, seconds } from './model.js';

const patience = 30_000;

// ask sends a query to the HTTP API and returns the list of results.
async function ask(base, path, parameters) {
  const body = new URLSearchParams(parameters);
  const answer = await fetch(`${base}/api/v1/${path}`, { method: 'POST', body, signal: AbortSignal.timeout(patience) });
  const text = await answer.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error(`Prometheus answers ${answer.status} to ${parameters.query}: ${text.slice(0, 200)}`);
  }
  if (json.status !== 'success') throw new Error(`Prometheus refuses ${parameters.query}: ${json.error}`);
  return json.data.result;
}

// number reads a value as Prometheus writes it.
const number = (text) => ({ '+Inf': Infinity, '-Inf': -Infinity }[text] ?? Number(text));

// named returns the legend of a series: its labels put into the format, or the series as
// Prometheus writes it.
function named(format, metric) {
  if (format) return format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label) => metric[label] ?? '');
  const { __name__: name = '', ...labels } = metric;
  const pairs = Object.entries(labels).map(([k, v]) => `${k}="${v}"`);
  return pairs.length ? `${name}{${pairs.join(', ')}}` : name || 'Value';
}

// answered returns the frames of a panel's queries and the step of each, in the order of
// the queries.
export async function answered(board, panel, points, o) {
  const range = Math.round((o.to - o.from) / 1000);
  const lists = await Promise.all((panel.targets ?? []).filter((t) => !t.hide && t.expr).map(async (target) => {
    const scrape = seconds(target.interval) || o.scrape;
    const step = interval(range, panel.maxDataPoints || points, Math.max(seconds(panel.interval), scrape));
    const query = fill(target.expr, o.variables, { step, scrape, range });
    const instant = target.instant && !target.range;
    const result = instant ? await ask(o.prometheus, 'query', { query, time: o.to / 1000 })
      : await ask(o.prometheus, 'query_range', { query, step, start: Math.floor(o.from / 1000 / step) * step, end: Math.floor(o.to / 1000 / step) * step });
    const series = Array.isArray(result[0]) || typeof result[0] === 'number' ? [{ metric: {}, value: result }] : result; // a scalar
    return { target, step, series: series.map((s) => ({ metric: s.metric, values: s.values ?? [s.value] })) };
  }));
  const tables = lists.filter((l) => l.target.format === 'table').length;
  const frames = lists.flatMap((l) => (l.target.format === 'table' ? [tabled(l, tables)] : l.series.map((s) => framed(l, s))));
  return { frames, step: Math.max(1, ...lists.map((l) => l.step)) };
}

// framed is the frame of one series: times and values.
function framed({ target, step }, { metric, values }) {
  const legend = named(target.legendFormat, metric);
  const { __name__, ...labels } = metric;
  return {
    name: legend, refId: target.refId, length: values.length, meta: { type: 'timeseries-multi' },
    fields: [
      { name: 'Time', type: FieldType.time, config: { interval: step * 1000 }, values: values.map(([at]) => at * 1000) },
      { name: 'Value', type: FieldType.number, labels, config: { displayNameFromDS: legend }, values: values.map(([, v]) => number(v)) },
    ],
  };
}

// tabled is the frame of a query in the format of a table: a line a series, a column a
// label. Of several queries the column of values has the name of the query.
function tabled({ target, series }, tables) {
  const labels = [...new Set(series.flatMap((s) => Object.keys(s.metric)))].sort();
  const rows = series.flatMap((s) => s.values.map(([at, v]) => ({ at: at * 1000, v: number(v), metric: s.metric })));
  if (rows.length === 0) return { refId: target.refId, length: 0, fields: [] };
  return {
    refId: target.refId, length: rows.length,
    fields: [
      { name: 'Time', type: FieldType.time, config: {}, values: rows.map((r) => r.at) },
      ...labels.map((l) => ({ name: l, type: FieldType.string, config: { filterable: true }, values: rows.map((r) => r.metric[l] ?? '') })),
      { name: tables > 1 ? `Value #${target.refId}` : 'Value', type: FieldType.number, config: {}, values: rows.map((r) => r.v) },
    ],
  };
}

// marks returns the points in time of the annotations that are switched on.
export async function marks(board, o) {
  const range = Math.round((o.to - o.from) / 1000);
  const step = interval(range, 100, Math.max(60, o.scrape));
  const lists = await Promise.all((board.annotations?.list ?? []).filter((a) => a.enable && a.expr).map(async (a) => {
    const query = fill(a.expr, o.variables, { step, scrape: o.scrape, range });
    const result = await ask(o.prometheus, 'query_range', { query, step, start: o.from / 1000, end: o.to / 1000 });
    const points = result.flatMap((s) => s.values.map(([at, v]) => ({ at: a.useValueForTime ? number(v) : at * 1000, title: named(a.titleFormat, s.metric), color: a.iconColor })));
    return [...new Map(points.map((p) => [`${p.at} ${p.title}`, p])).values()].filter((p) => p.at >= o.from && p.at <= o.to);
  }));
  return lists.flat();
}
