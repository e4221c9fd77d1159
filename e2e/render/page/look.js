// What is wrong on a page that is drawn, which no linter sees. Each fault is {panel, kind,
// what}.
import { FieldType } from '@grafana/data';
import { contrasts } from './contrast.js';

const slack = 1.5; // pixels
const least = 9; // pixels of a letter
const few = 4; // lines of a table that are seen without scrolling
const most = 20; // marks of annotations on a graph
const repeated = 3; // faults of one kind that a panel reports

// look returns the panels, each with whether it is empty and what it says then, and the
// faults. screen is the height of the window, in which the panels above the first collapsed
// row should be.
export function look(parts, screen, theme, marks) {
  const faults = [];
  if (marks > most) faults.push({ panel: '', kind: 'marks', what: `${marks} annotations on each graph` });
  const panels = parts.filter((p) => p.panel.type !== 'row').map((p) => {
    const root = document.querySelector(`[data-panel="${p.panel.id}"]`);
    const said = {};
    const fault = (kind, what) => {
      said[kind] = (said[kind] ?? 0) + 1;
      if (said[kind] <= repeated) faults.push({ panel: `${p.panel.id} ${p.panel.title}`, kind, what });
    };
    const texts = written(root);
    cut(texts, root, fault);
    overlap(texts, fault);
    nonsense(texts, p, fault);
    contrasts(texts, seen, p, fault);
    if (p.panel.type === 'state-timeline') states(root, p, theme, fault);
    if (p.panel.type === 'stat') colors(root, p, theme, fault);
    if (p.panel.type === 'table' && !p.empty) columns(root, fault);
    axes(p, fault);
    legend(texts, p, fault);
    small(texts, fault);
    nothing(root, p, fault);
    if (p.empty && !texts.some((t) => t.text !== p.panel.title)) fault('blank', 'no value and no text');
    return { id: p.panel.id, title: p.panel.title, type: p.panel.type, empty: p.empty, text: texts.map((t) => t.text).join(' | ').slice(0, 300), bottom: Math.round(root.getBoundingClientRect().bottom), measured: p.measured };
  });
  const fold = parts.find((p) => p.panel.type === 'row' && p.panel.collapsed);
  const above = panels.filter((p) => !fold || p.bottom <= document.querySelector(`[data-panel="${fold.panel.id}"]`).getBoundingClientRect().top);
  const below = above.filter((p) => p.bottom > screen);
  return { panels, faults, screen: { height: screen, bottom: Math.max(0, ...above.map((p) => p.bottom)), below: below.map((p) => p.title) } };
}

// written returns each text below an element that is seen, with its place.
function written(root) {
  const out = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.textContent.trim();
    const of = node.parentElement;
    if (!text || of.closest('script, style, svg') || getComputedStyle(of).visibility === 'hidden') continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) continue;
    out.push({ text, of, box: { left: box.left, right: box.right, top: box.top, bottom: box.bottom } });
  }
  return out;
}

// cut finds text that goes beyond what shows it: an ellipsis, or a box that hides the rest.
// What scrolls down shows it later.
function cut(texts, root, fault) {
  for (const { text, of, box } of texts) {
    for (let e = of; e && e !== root.parentElement; e = e.parentElement) {
      const style = getComputedStyle(e);
      const b = e.getBoundingClientRect();
      if (b.width <= 1) break; // for screen readers
      if (style.overflowX !== 'visible' && (box.right > b.right + slack || box.left < b.left - slack)) {
        fault('cut', `"${text}" needs ${Math.round(box.right - box.left)} pixels and has ${Math.max(0, Math.round(Math.min(b.right, box.right) - Math.max(b.left, box.left)))}`);
        break;
      }
      if (e.getAttribute('role') === 'grid') break;
      if (style.overflowY !== 'visible' && (box.bottom > b.bottom + 4 || box.top < b.top - 4)) {
        if (!/auto|scroll/.test(style.overflowY)) fault('cut', `"${text}" is below or above what shows it`);
        break;
      }
    }
  }
}

// overlap finds texts that are written over each other.
function overlap(texts, fault) {
  for (let i = 0; i < texts.length; i++) {
    for (let j = i + 1; j < texts.length; j++) {
      const [a, b] = [texts[i].box, texts[j].box];
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      // Lines have room above and below their letters.
      if (wide > 2 && high > 0.3 * Math.min(a.bottom - a.top, b.bottom - b.top) && seen(texts[i]) && seen(texts[j])) {
        fault('overlap', `"${texts[i].text}" and "${texts[j].text}"`);
        return;
      }
    }
  }
}

// seen reports whether the middle of a text is within all that could hide it.
function seen({ of, box }) {
  const x = (box.left + box.right) / 2;
  const y = (box.top + box.bottom) / 2;
  for (let e = of; e; e = e.parentElement) {
    if (getComputedStyle(e).overflowX === 'visible') continue;
    const b = e.getBoundingClientRect();
    if (x < b.left || x > b.right || y < b.top || y > b.bottom) return false;
  }
  return true;
}

// nonsense finds what is no text for people, and fractions of events.
function nonsense(texts, { panel, data }, fault) {
  const events = (panel.targets ?? []).some((t) => /\bincrease\s*\(/.test(t.expr)) && panel.fieldConfig.defaults.unit === 'short';
  for (const { text, of } of texts) {
    if (/\bNaN\b|\bInfinity\b|\bundefined\b|\bnull\b|Invalid date|\[object|\$\{|\$__|\{\{/.test(text)) fault('nonsense', `"${text}"`);
    if (events && panel.type === 'stat' && /^\d+\.\d+$/.test(text) && !of.closest('header, h2')) fault('fraction', `"${text}" events`);
  }
  if (!events || panel.type !== 'table') return;
  for (const field of data.flatMap((f) => f.fields).filter((f) => f.type === FieldType.number && f.config.unit === 'short')) {
    const shown = field.values.map((v) => field.display(v).text).find((t) => /^\d+\.\d+$/.test(t));
    if (shown) fault('fraction', `"${shown}" events`);
  }
}

// mapped returns the color that a panel's mappings give a value, or none.
function mapped(panel, value, theme) {
  for (const m of panel.fieldConfig.defaults.mappings ?? []) {
    const found = m.type === 'value' && m.options[String(value)];
    if (found?.color) return theme.visualization.getColorByName(found.color);
  }
  return null;
}

// painted writes a color as the browser computes it.
function painted(color) {
  const probe = document.createElement('i');
  probe.style.color = color;
  document.body.append(probe);
  const out = getComputedStyle(probe).color;
  probe.remove();
  return out;
}

// states checks that each state has the color of its mapping, and that lines have room.
function states(root, { panel }, theme, fault) {
  const bars = [...root.querySelectorAll('[data-state]')];
  for (const bar of bars) {
    const want = mapped(panel, bar.dataset.state, theme);
    if (!want && (panel.fieldConfig.defaults.mappings ?? []).length > 0) {
      fault('color', `the state ${bar.dataset.state} has no mapping`);
      break;
    }
    if (want && getComputedStyle(bar).backgroundColor !== painted(want)) {
      fault('color', `${bar.title} is ${getComputedStyle(bar).backgroundColor}, its mapping says ${painted(want)}`);
      break;
    }
  }
  const lines = root.querySelectorAll('[data-line]');
  if (lines.length > 0 && root.querySelector('[data-pages]')) fault('pages', `more lines than one page: ${root.querySelector('[data-pages]').textContent}`);
  const label = [...root.querySelectorAll('[data-label]')].map((e) => e.getBoundingClientRect().width);
  if (label.length > 0 && Math.max(...label) > root.getBoundingClientRect().width / 2) fault('labels', 'names take more than half of the width');
}

// colors checks that each value of a stat with mappings has the color of its mapping.
function colors(root, { panel, data }, theme, fault) {
  for (const field of data.flatMap((f) => f.fields).filter((f) => f.type === FieldType.number)) {
    const value = field.values.at(-1);
    const want = mapped(panel, value, theme);
    if (want && painted(field.display(value).color) !== painted(want)) fault('color', `${value} is ${field.display(value).color}, its mapping says ${want}`);
  }
}

// columns checks that all columns of a table are seen without scrolling sideways, and some
// lines without scrolling down.
function columns(root, fault) {
  const grid = root.querySelector('[role="grid"]');
  if (grid && grid.scrollWidth > grid.clientWidth + slack) fault('cut', `the columns need ${grid.scrollWidth} pixels and have ${grid.clientWidth}`);
  const rows = [...(grid?.querySelectorAll('[role="row"]') ?? [])].map((r) => r.querySelector('[role="gridcell"]')).filter(Boolean);
  const shown = rows.filter((r) => r.getBoundingClientRect().bottom <= grid.getBoundingClientRect().bottom + slack);
  if (shown.length < rows.length && shown.length < few) fault('rows', `${shown.length} of ${rows.length} lines are seen`);
}

// axes checks what is written at the axes of a graph, and that they fit the values.
function axes({ panel, measured }, fault) {
  for (const axis of measured?.axes ?? []) {
    const twice = axis.labels.find((l, i) => l !== '' && l === axis.labels[i + 1]);
    if (twice !== undefined) fault('axis', `the label "${twice}" is there twice: ${axis.labels.join(', ')}`);
    const odd = axis.labels.find((l) => /NaN|undefined|Infinity/.test(l));
    if (odd) fault('axis', `the label "${odd}"`);
    if (!axis.log && measured.largest === 0 && parseFloat(axis.labels.at(-1)) > (axis.labels.at(-1).endsWith('%') ? 100 : 10) && !measured.limited) fault('axis', `the axis of zeros goes up to ${axis.labels.at(-1)}`);
    if (panel.fieldConfig.defaults.unit === 'percentunit' && measured.largest > 1.55 && !/multiple|budget/i.test(panel.description ?? '')) fault('axis', `a share of ${(100 * measured.largest).toFixed(0)} %`);
  }
}

// legend checks that a list of names shows most of them without scrolling. A table of names
// may scroll: the largest come first.
function legend(texts, { panel }, fault) {
  if (panel.options?.legend?.displayMode !== 'list') return;
  const names = texts.filter(({ of }) => of.closest('[data-testid*="legend" i], [class*="LegendLabel"]'));
  const hidden = names.filter((n) => !seen(n));
  if (hidden.length > names.length / 2) fault('legend', `${names.length - hidden.length} of ${names.length} names are seen`);
}

// small finds text that nobody can read.
function small(texts, fault) {
  const found = texts.find(({ of }) => parseFloat(getComputedStyle(of).fontSize) < least);
  if (found) fault('small', `"${found.text}" has ${parseFloat(getComputedStyle(found.of).fontSize).toFixed(1)} pixels`);
}

// nothing checks a panel without values: a value that is not there has no bright background,
// and limits alone are no graph.
function nothing(root, { panel, empty, measured }, fault) {
  if (panel.type === 'timeseries' && measured && measured.largest === null) fault('limits', 'only limits are drawn');
  if (!empty || panel.type !== 'stat' || !panel.options.colorMode.startsWith('background')) return;
  if ((panel.fieldConfig.defaults.thresholds?.steps?.[0]?.color ?? 'text') === 'text') fault('bright', `"${root.innerText.trim().split('\n').at(-1)}" for no value is the brightest of all`);
}
