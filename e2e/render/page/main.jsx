// The page that draws one dashboard. draw(…) returns what is drawn, once it is.
import '@fontsource/inter/latin-400.css';
import '@fontsource/inter/latin-500.css';
import '@fontsource/inter/latin-600.css';
import { cacheFieldDisplayNames, createTheme, dateTime, ThemeContext } from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { Board } from './board.jsx';
import { prepare, shown } from './fields.js';
import { look } from './look.js';
import { chosen, laid } from './model.js';
import { empty, kinds } from './panels.jsx';
import { answered, marks } from './prometheus.js';

prepare();
let root; // of the dashboard that is drawn

// draw draws o.board: the dashboard, on the data of o.prometheus from o.from to o.to (ms),
// which is scraped each o.scrape seconds, with o.variables, o.theme and o.width. o.open
// opens collapsed rows.
async function draw(o) {
  await initPluginTranslations('render');
  await Promise.all([400, 500, 600].map((weight) => document.fonts.load(`${weight} 14px Inter`))); // texts on canvases are measured
  const theme = createTheme({ colors: { mode: o.theme } });
  const timeZone = o.timeZone ?? 'utc';
  const variables = chosen(o.board, o.variables);
  const asked = { ...o, variables };
  const { places, height } = laid(o.board, o.width, o.open);
  const parts = await Promise.all(places.map(async (place) => {
    const part = { ...place, data: [], step: 1000, measured: null };
    if (place.panel.type === 'row') return part;
    if (!kinds[place.panel.type]) throw new Error(`the panel type ${place.panel.type} is not drawn`);
    const { frames, step } = await answered(o.board, place.panel, Math.round(place.width), asked);
    part.data = await shown(place.panel, frames, theme, timeZone);
    cacheFieldDisplayNames(part.data);
    part.step = step * 1000;
    part.drawn = (m) => { part.measured = m; };
    return part;
  }));
  const annotations = await marks(o.board, asked);
  const timeRange = { from: dateTime(o.from), to: dateTime(o.to), raw: { from: dateTime(o.from), to: dateTime(o.to) } };
  document.documentElement.style.background = theme.colors.background.canvas;
  root?.unmount();
  root = createRoot(document.getElementById('root'));
  root.render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PortalContainer />
      <Board board={o.board} parts={parts} height={height} variables={variables} theme={theme} common={{ timeRange, timeZone, annotations }} />
    </ThemeContext.Provider>,
  );
  await settled();
  if (!document.querySelector('[data-board]')) throw new Error('nothing is drawn');
  const high = Math.ceil(document.querySelector('[data-board]').getBoundingClientRect().height);
  return { title: o.board.title, height: high, ...look(parts.map((p) => ({ ...p, empty: p.panel.type !== 'row' && empty(p.data) })), o.screen, theme, annotations.length) };
}

// settled waits until fonts are there and nothing has changed for some frames.
async function settled() {
  const frame = () => new Promise((done) => { requestAnimationFrame(done); });
  await document.fonts.ready;
  let before = '';
  for (let same = 0, n = 0; same < 10 && n < 600; n++) {
    await frame();
    const page = document.getElementById('root');
    const now = `${page.querySelectorAll('*').length} ${page.textContent.length}`;
    same = now === before ? same + 1 : 0;
    before = now;
  }
  await document.fonts.ready;
}

window.draw = draw;
