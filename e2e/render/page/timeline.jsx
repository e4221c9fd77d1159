// A state timeline, from its documentation: a line a series, a bar for each state, equal
// states that follow each other in one bar, nothing where there is no value. No component
// of @grafana/ui draws it.
import { FieldType, formattedValueToString, getFieldDisplayName, dateTimeFormat } from '@grafana/data';
import { measureText } from '@grafana/ui';

const font = 12;
const below = 20; // for the axis of time
const perPage = 20;

// segments returns the bars of one series: begin, end, text and color of each state.
export function segments(field, times, step, merge, theme) {
  const out = [];
  // Grafana merges by threshold in this mode: the color of the mappings is lost (grafana/grafana#71804).
  const byThreshold = merge && field.config.color?.mode === 'thresholds';
  times.forEach((at, i) => {
    const value = field.values[i];
    if (value == null || Number.isNaN(value)) return;
    const display = field.display(value);
    const paint = byThreshold ? threshold(field, value, theme) : display.color;
    const next = times[i + 1] !== undefined && times[i + 1] - at <= 1.5 * step ? times[i + 1] : at + step;
    const last = out.at(-1);
    if (merge && last && last.end === at && last.color === paint && last.text === formattedValueToString(display)) last.end = next;
    else out.push({ begin: at, end: next, value, text: formattedValueToString(display), color: paint });
  });
  return out;
}

function threshold(field, value, theme) {
  const step = (field.config.thresholds?.steps ?? []).filter((s) => value >= s.value).at(-1);
  return theme.visualization.getColorByName(step?.color ?? 'text');
}

// ticks returns the times of an axis, so far apart that their labels have room.
export function ticks(from, to, width) {
  const nice = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400].map((s) => s * 1000);
  const room = Math.max(1, Math.floor(width / 80));
  const step = nice.find((n) => (to - from) / n <= room) ?? nice.at(-1);
  const out = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) out.push(at);
  return { times: out, format: step < 60_000 ? 'HH:mm:ss' : to - from > 86_400_000 ? 'MM/DD HH:mm' : 'HH:mm' };
}

export function TimeAxis({ from, to, left, width, timeZone, theme }) {
  const { times, format } = ticks(from, to, width);
  return times.map((at) => {
    const x = left + ((at - from) / (to - from)) * width;
    const text = dateTimeFormat(at, { format, timeZone });
    const half = measureText(text, font).width / 2;
    if (x - half < 0 || x + half > left + width) return null;
    return <div key={at} style={{ position: 'absolute', bottom: 0, left: x - half, fontSize: font, lineHeight: '16px', color: theme.colors.text.primary, whiteSpace: 'nowrap' }}>{text}</div>;
  });
}

// Timeline draws the series of all frames.
export function Timeline({ panel, data, width, height, timeRange, timeZone, theme, step }) {
  const from = timeRange.from.valueOf();
  const to = timeRange.to.valueOf();
  const all = data.flatMap((frame) => {
    const times = frame.fields.find((f) => f.type === FieldType.time)?.values ?? [];
    return frame.fields.filter((f) => f.type === FieldType.number).map((f) => ({ name: getFieldDisplayName(f, frame, data), bars: segments(f, times, step, panel.options.mergeValues, theme) }));
  });
  const lines = all.slice(0, panel.options.perPage ?? perPage);
  const paged = all.length > lines.length;
  const left = Math.max(...lines.map((l) => measureText(l.name, font).width)) + 12;
  const plot = width - left;
  const tall = height - below - (paged ? 32 : 0);
  const line = tall / lines.length;
  const thick = line * (panel.options.rowHeight ?? 0.9);
  const alpha = (panel.fieldConfig.defaults.custom?.fillOpacity ?? 70) / 100;
  const x = (at) => left + ((Math.min(Math.max(at, from), to) - from) / (to - from)) * plot;
  return (
    <div style={{ position: 'relative', width, height }}>
      <div style={{ position: 'absolute', inset: `0 0 ${height - tall - below}px 0`, overflow: 'hidden' }}>
        {lines.map((l, i) => (
          <div key={i} data-line={l.name}>
            <div data-label style={{ position: 'absolute', right: width - left + 8, top: i * line + line / 2 - 8, fontSize: font, lineHeight: '16px', whiteSpace: 'nowrap', color: theme.colors.text.primary }}>{l.name}</div>
            {l.bars.filter((b) => b.end > from && b.begin < to).map((b) => (
              <div key={b.begin} data-state={b.value} data-text={b.text} title={`${l.name}: ${b.text}`}
                style={{ position: 'absolute', left: x(b.begin), width: Math.max(1, x(b.end) - x(b.begin)), top: i * line + (line - thick) / 2, height: thick, background: b.color, opacity: alpha, borderRadius: 1 }} />
            ))}
          </div>
        ))}
        <TimeAxis from={from} to={to} left={left} width={plot} timeZone={timeZone} theme={theme} />
      </div>
      {paged && <div data-pages style={{ position: 'absolute', bottom: 4, right: 4, fontSize: font, color: theme.colors.text.secondary }}>{`1 - ${lines.length} of ${all.length} rows`}</div>}
    </div>
  );
}
