// A heatmap of the buckets of a histogram, from its documentation: a line a bucket, a
// column a step, the color by how many. No component of @grafana/ui draws it.
import { FieldType, formattedValueToString, getValueFormat } from '@grafana/data';
import { measureText } from '@grafana/ui';
import { TimeAxis } from './timeline.jsx';

const font = 12;
const below = 44; // for the axis of time and the scale

// buckets makes the cumulative series of a histogram counts of each bucket, lowest first.
export function buckets(frames) {
  const series = frames.map((f) => {
    const value = f.fields.find((x) => x.type === FieldType.number);
    const times = f.fields.find((x) => x.type === FieldType.time).values;
    return { upper: value.labels?.le === '+Inf' ? Infinity : Number(value.labels?.le), at: new Map(times.map((t, i) => [t, value.values[i]])) };
  }).sort((a, b) => a.upper - b.upper);
  return series.map((s, i) => ({ upper: s.upper, at: new Map([...s.at].map(([t, v]) => [t, Math.max(0, v - (i > 0 ? series[i - 1].at.get(t) ?? 0 : 0))])) }));
}

// shade mixes the color of a count: from hardly seen to the full blue of the theme.
const shade = (share, exponent, theme) => `color-mix(in srgb, ${theme.visualization.getColorByName('blue')} ${Math.round(8 + 92 * share ** exponent)}%, transparent)`;

// Heatmap draws one histogram.
export function Heatmap({ panel, data, width, height, timeRange, timeZone, theme, step }) {
  const from = timeRange.from.valueOf();
  const to = timeRange.to.valueOf();
  const { yAxis, color, filterValues, cellGap = 1 } = panel.options;
  const format = getValueFormat(yAxis.unit ?? 'short');
  const lines = buckets(data.filter((f) => f.length > 0));
  const name = (b) => (b.upper === Infinity ? '+Inf' : formattedValueToString(format(b.upper)));
  const left = Math.max(...lines.map((b) => measureText(name(b), font).width)) + 12;
  const plot = width - left;
  const tall = (height - below) / lines.length;
  const wide = (step / (to - from)) * plot;
  const most = Math.max(...lines.flatMap((b) => [...b.at.values()]), Number.MIN_VALUE);
  const every = Math.ceil(16 / tall); // labels that have room
  return (
    <div style={{ position: 'relative', width, height }}>
      <svg width={plot} height={height - below} style={{ position: 'absolute', left, top: 0 }}>
        {lines.map((b, i) => [...b.at].filter(([t, v]) => v > (filterValues?.le ?? 0) && t >= from && t <= to).map(([t, v]) => (
          <rect key={`${i} ${t}`} data-cell x={((t - step - from) / (to - from)) * plot} width={Math.max(1, wide - cellGap)} y={(lines.length - 1 - i) * tall} height={Math.max(1, tall - cellGap)} fill={shade(v / most, color.exponent ?? 0.5, theme)} />
        )))}
      </svg>
      {lines.map((b, i) => i % every === 0 && (
        <div key={b.upper} style={{ position: 'absolute', right: width - left + 8, top: (lines.length - 1 - i) * tall + tall / 2 - 8, fontSize: font, lineHeight: '16px', whiteSpace: 'nowrap' }}>{name(b)}</div>
      ))}
      <div style={{ position: 'absolute', left: 0, right: 0, bottom: 22, height: 18 }}><TimeAxis from={from} to={to} left={left} width={plot} timeZone={timeZone} theme={theme} /></div>
      <div style={{ position: 'absolute', left, bottom: 2, fontSize: font, lineHeight: '16px', whiteSpace: 'nowrap', color: theme.colors.text.secondary }}>{`0 to ${formattedValueToString(getValueFormat(panel.fieldConfig.defaults.unit)(most))}`}</div>
    </div>
  );
}
