// Each type of panel, drawn with Grafana's components where there is one.
import { FieldType, getFieldDisplayName, getFieldDisplayValues, VizOrientation } from '@grafana/data';
import { BigValue, BigValueTextMode, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { Heatmap } from './heatmap.jsx';
import { Timeline } from './timeline.jsx';

// kinds are the types of panels that can be drawn.
export const kinds = { stat: Stat, timeseries: Graph, table: Table, 'state-timeline': Timeline, heatmap: Heatmap };

// Content is what is inside of a panel's frame.
export function Content(props) {
  const Kind = kinds[props.panel.type];
  return props.panel.type !== 'stat' && empty(props.data) ? <Nothing {...props} /> : <Kind {...props} />;
}

// empty reports whether no frame has a value.
export const empty = (data) => data.every((f) => f.length === 0 || f.fields.length === 0);

// Nothing is shown in place of a panel without values: its text for that.
function Nothing({ panel, width, height, theme }) {
  return (
    <div data-nothing style={{ width, height, display: 'flex', alignItems: 'center', justifyContent: 'center', textAlign: 'center', color: theme.colors.text.secondary, fontSize: theme.typography.size.lg }}>
      <span>{panel.fieldConfig?.defaults?.noValue ?? 'No data'}</span>
    </div>
  );
}

// Stat shows a value of each series, large.
function Stat({ panel, data, width, height, theme, timeZone }) {
  const { reduceOptions, orientation, textMode, colorMode, graphMode, justifyMode, wideLayout } = panel.options;
  const getValues = () => getFieldDisplayValues({ fieldConfig: panel.fieldConfig, reduceOptions, replaceVariables: (t) => t, theme, data, sparkline: graphMode !== 'none', timeZone });
  const longest = (values) => ({
    title: values.map((v) => v.display.title ?? '').reduce((a, b) => (b.length > a.length ? b : a), ''),
    text: values.map((v) => `${v.display.prefix ?? ''}${v.display.text}${v.display.suffix ?? ''}`).reduce((a, b) => (b.length > a.length ? b : a), ''),
  });
  const value = ({ value: v, width: w, height: h, count, alignmentFactors }) => (
    <BigValue value={v.display} sparkline={v.sparkline} width={w} height={h} theme={theme} count={count} textMode={textMode ?? BigValueTextMode.Auto} colorMode={colorMode} graphMode={graphMode}
      justifyMode={justifyMode} alignmentFactors={alignmentFactors} disableWideLayout={!wideLayout} />
  );
  return (
    <VizRepeater getValues={getValues} getAlignmentFactors={longest} renderValue={value} width={width} height={height} source={data} itemSpacing={3} renderCounter={0} autoGrid
      orientation={{ horizontal: VizOrientation.Horizontal, vertical: VizOrientation.Vertical }[orientation] ?? VizOrientation.Auto} />
  );
}

// Graph shows values over time, and the annotations of the dashboard.
function Graph({ panel, data, width, height, timeRange, timeZone, annotations, theme, drawn }) {
  const numbers = (values) => values.map((v) => (Number.isFinite(v) ? v : null));
  const frames = data.filter((f) => f.length > 0).map(spaced).map((f) => ({ ...f, fields: f.fields.map((x) => (x.type === FieldType.number ? { ...x, values: numbers(x.values) } : x)) }));
  const more = (builder) => {
    builder.addHook('drawAxes', (plot) => annotations.forEach((a) => mark(plot, a, theme)));
    builder.addHook('draw', (plot) => drawn(measured(plot)));
    return null;
  };
  return (
    <TimeSeries frames={frames} width={width} height={height} timeRange={timeRange} timeZone={timeZone} legend={panel.options.legend}>
      {once(more)}
    </TimeSeries>
  );
}

// spaced puts a null where a frame has no value at a step: a gap. Grafana does it for each
// series, the component for the first one.
export function spaced(frame) {
  const time = frame.fields.find((f) => f.type === FieldType.time);
  const step = time?.config.interval;
  if (!step) return frame;
  const places = []; // the index of a value, or the time of a gap
  time.values.forEach((at, i) => {
    for (let t = time.values[i - 1] + step; i > 0 && t < at; t += step) places.push({ t });
    places.push({ i });
  });
  const pick = (f) => places.map(({ i, t }) => (t === undefined ? f.values[i] : f === time ? t : null));
  return { ...frame, length: places.length, fields: frame.fields.map((f) => ({ ...f, values: pick(f) })) };
}

// once calls f for the first plot only: each call adds hooks.
function once(f) {
  const seen = new WeakSet();
  return (builder) => {
    if (seen.has(builder)) return null;
    seen.add(builder);
    return f(builder);
  };
}

// mark draws one annotation: a dashed line and a triangle below it.
function mark(plot, { at, color }, theme) {
  const { ctx, bbox } = plot;
  const x = Math.round(plot.valToPos(at, 'x', true));
  const paint = theme.visualization.getColorByName(color);
  const size = 5 * devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = paint;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([5 * devicePixelRatio, 5 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.beginPath();
  ctx.moveTo(x, bbox.top + bbox.height);
  ctx.lineTo(x - size, bbox.top + bbox.height + size);
  ctx.lineTo(x + size, bbox.top + bbox.height + size);
  ctx.fill();
  ctx.restore();
}

// measured returns what is written on a canvas, and so in no element: the labels and ends
// of the axes, the largest value that is not a dashed limit, and the longest gap of a line,
// in seconds from the value before it to the one after it.
function measured(plot) {
  const ends = ({ min, max }) => ({ min, max });
  const axes = plot.axes.filter((a) => a.scale !== 'x' && a.show && a._values).map((a) => ({ ...ends(plot.scales[a.scale]), labels: a._values.filter((v) => v != null).map(String), log: plot.scales[a.scale].distr === 3 }));
  let largest = null;
  let limited = false;
  let gap = 0;
  plot.series.forEach((s, i) => {
    if (i === 0 || !s.show) return;
    if ((s.dash?.length ?? 0) > 0) {
      limited = true;
      return;
    }
    let before; // the index of the last value
    let broken = false; // null is a gap; across undefined the line is drawn
    plot.data[i].forEach((v, at) => {
      if (v === null) broken = true;
      if (v == null) return;
      if (broken && before !== undefined) gap = Math.max(gap, (plot.data[0][at] - plot.data[0][before]) / 1000);
      [before, broken] = [at, false];
      if (largest === null || v > largest) largest = v;
    });
  });
  return { axes, largest, limited, gap };
}

// Table shows a line for each series.
function Table({ panel, data, width, height, timeRange, theme }) {
  const frame = data.find((f) => f.fields.length > 0);
  return (
    <TableNG data={frame} width={width} height={height} theme={theme} noHeader={!panel.options.showHeader} sortBy={panel.options.sortBy} cellHeight={panel.options.cellHeight} resizable
      fieldConfig={panel.fieldConfig} timeRange={timeRange} noValue={panel.fieldConfig.defaults.noValue} enableVirtualization={false} ariaLabel={panel.title} />
  );
}

// title returns the name of a series.
export const title = (field, frame, all) => getFieldDisplayName(field, frame, all);
