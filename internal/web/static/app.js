// Keeps the page fresh: asks every 5 s, replaces the sections that changed,
// draws the charts. Without it the page is whole but for the charts.
'use strict';
(() => {
  const EVERY = 5000, SPAN = 1800, root = document.documentElement;

  // Numbers for people, as the server writes them.
  const short = (v) => Math.abs(v) < 9.95 ? v.toFixed(1).replace(/\.0$/, '').replace(/^-0$/, '0') : Math.round(v).toLocaleString('en');
  const bytes = (v) => { let i = 0; while (v >= 999.5 && i < 5) { v /= 1000; i++; } return short(v) + ' ' + ['B', 'kB', 'MB', 'GB', 'TB', 'PB'][i]; };
  const pair = (v, big, a, small, b) => { const n = Math.round(v / small), per = big / small, r = n % per; return Math.floor(n / per) + ' ' + a + (r ? ' ' + r + ' ' + b : ''); };
  const seconds = (v) => v === 0 ? '0 s' : v < 0.9995 ? short(v * 1000) + ' ms' : v < 59.5 ? short(v) + ' s' :
    v < 3599.5 ? pair(v, 60, 'min', 1, 's') : v < 86370 ? pair(v, 3600, 'h', 60, 'min') : pair(v, 86400, 'd', 3600, 'h');
  const percent = (v) => short(v * 100) + ' %';
  const rate = (v) => short(v) + '/s';
  const count = (v) => v === Math.trunc(v) && Math.abs(v) < 10000 ? String(v) : short(v);

  // Times: local, with UTC on hover.
  const two = (n) => String(n).padStart(2, '0');
  function localise(el) {
    for (const t of el.querySelectorAll('time[datetime]')) {
      const d = new Date(t.dateTime), now = new Date();
      const clock = two(d.getHours()) + ':' + two(d.getMinutes());
      if (t.hasAttribute('data-ago')) {
        t.title = d.toLocaleString() + ' (' + t.title + ')';
        continue;
      }
      const exact = t.hasAttribute('data-exact') ? ':' + two(d.getSeconds()) : '', today = d.toDateString() === now.toDateString() || t.hasAttribute('data-hm');
      t.textContent = (today ? '' : d.getFullYear() + '-' + two(d.getMonth() + 1) + '-' + two(d.getDate()) + ' ') + clock + exact;
    }
  }
  function localiseStrip(el) { // its titles and its form have times in UTC
    for (const t of el.querySelectorAll('title[data-at]')) {
      const d = new Date(t.dataset.at);
      t.textContent = two(d.getHours()) + ':' + two(d.getMinutes()) + t.textContent.slice(t.textContent.indexOf(': '));
    }
    const asked = new URLSearchParams(location.search).get('at');
    for (const f of el.querySelectorAll('form.ask')) {
      f.querySelector('.zone').hidden = true;
      if (f.at.value && !isNaN(new Date(asked))) f.at.value = new Date(asked).toTimeString().slice(0, 8);
    }
  }
  function askMoment(event) { // the form has local time, the exporter wants UTC
    const f = event.target;
    if (!f.matches('form.ask')) return;
    event.preventDefault();
    const d = new Date(), [h, m, s] = f.at.value.split(':').map(Number);
    d.setHours(h, m, s || 0, 0);
    if (d > Date.now()) d.setDate(d.getDate() - 1);
    location.href = '?app=' + encodeURIComponent(f.elements.app.value) + '&at=' + d.toISOString().slice(0, 19) + 'Z#moment';
  }
  let skew = 0; // how far this clock is from the exporter's, ms
  function tick() {
    for (const t of document.querySelectorAll('time[data-ago]')) {
      t.textContent = seconds(Math.max(0, Math.round((Date.now() - skew - new Date(t.dateTime)) / 1000))) + ' ago';
    }
    const off = document.getElementById('offline');
    if (lostAt && !document.hidden) {
      off.textContent = 'The exporter has not answered for ' + seconds(Math.max(1, Math.round((Date.now() - lostAt) / 1000))) + '. The page is outdated.';
      off.hidden = false;
    } else off.hidden = true;
  }

  // Sections: only those whose HTML changed; what was open stays open.
  let shown = {}, verdictKey = null;
  function replace(id, html) {
    if (shown[id] === html) return;
    const el = document.querySelector('[data-section="' + CSS.escape(id) + '"]');
    if (!el || (el.contains(document.activeElement) && document.activeElement.matches('input'))) return; // somebody types
    shown[id] = html;
    const open = [...el.querySelectorAll('details[open]')].map((d) => d.dataset.key);
    const at = el.contains(document.activeElement) ? document.activeElement : null;
    const key = at && at.closest('details') && at.closest('details').dataset.key;
    const href = at && at.getAttribute('href');
    el.innerHTML = html;
    for (const d of el.querySelectorAll('details')) {
      if (open.includes(d.dataset.key)) d.open = true;
      if (key && d.dataset.key === key) d.firstElementChild.focus({ preventScroll: true });
    }
    if (href) for (const a of el.querySelectorAll('a')) if (a.getAttribute('href') === href) a.focus({ preventScroll: true });
    localise(el);
    localiseStrip(el);
    if (id === 'verdict') announce(el.firstElementChild);
  }
  function announce(p) { // spoken when the verdict is another one, not at each number
    if (verdictKey !== null && verdictKey !== p.dataset.key) document.getElementById('announce').textContent = p.textContent;
    verdictKey = p.dataset.key;
  }
  async function rebuild() { // an app came or went
    const answer = await fetch('./' + location.search, { cache: 'no-store', signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('main');
    const main = document.querySelector('main');
    const open = [...main.querySelectorAll('details[open]')].map((d) => d.dataset.key);
    dropCharts();
    main.replaceWith(fresh);
    for (const d of fresh.querySelectorAll('details')) if (open.includes(d.dataset.key)) d.open = true;
    shown = {};
    localise(fresh);
    localiseStrip(fresh);
  }

  // History: the exporter sends what came since.
  let H = { t: [], host: {}, apps: {} };
  function extend(old, add, before, after) {
    const out = {};
    for (const name of new Set([...Object.keys(old), ...Object.keys(add)])) {
      const row = (old[name] || new Array(before).fill(null)).concat(add[name] || new Array(after).fill(null));
      if (row.some((v) => v !== null)) out[name] = row;
    }
    return out;
  }
  function merge(d) {
    if (d.full) { H = { t: d.t, host: d.host, apps: d.apps }; return; }
    if (!d.t.length) return;
    const a = H.t.length, b = d.t.length, apps = {};
    for (const app of new Set([...Object.keys(H.apps), ...Object.keys(d.apps)])) apps[app] = extend(H.apps[app] || {}, d.apps[app] || {}, a, b);
    H = { t: H.t.concat(d.t), host: extend(H.host, d.host, a, b), apps };
    const cut = H.t.findIndex((t) => t > H.t[H.t.length - 1] - SPAN);
    if (cut <= 0) return;
    H.t = H.t.slice(cut);
    for (const rows of [H.host, ...Object.values(H.apps)]) for (const n of Object.keys(rows)) rows[n] = rows[n].slice(cut);
  }

  // Charts.
  const STATSD = document.querySelector('main').dataset.statsd;
  const REPORTS = 'No request reported yet: ' + (STATSD ? 'start gunicorn with --statsd-host=' + STATSD : 'the exporter listens for none (statsd: listen)');
  const KINDS = [
    { title: 'Requests and errors', fmt: rate, rows: [['requests', 'requests', '--c1'], ['errors', '5xx', '--c2']], none: REPORTS },
    { title: 'Latency', fmt: seconds, rows: [['p50', 'p50', '--c3'], ['p95', 'p95', '--c1'], ['p99', 'p99', '--c2']], limit: 'response_time', none: 'No request reported yet' },
    { title: 'Workers', fmt: count, stack: true, rows: [['stuck', 'stuck', '--stuck'], ['busy', 'busy', '--busy'], ['booting', 'booting', '--booting'], ['idle', 'idle', '--idle']], none: 'No worker state known yet' },
    { title: 'Queue', fmt: count, rows: [['queue', 'waiting', '--c1']], limit: 'request_queue', cap: 'limit', none: 'The queue cannot be read yet' },
    { title: 'Memory per worker', fmt: bytes, each: 'memory', none: 'No memory read yet' },
    { title: 'Pool', fmt: count, rows: [['pool', 'taken', '--c1'], ['leaked', 'leaked', '--c2']], cap: 'capacity', only: 'pool', none: 'No pool seen yet' },
    { title: 'CPU', fmt: percent, unless: 'pool', // six charts, and the CPU is a figure above them too
      rows: [['cpu', 'app', '--c1'], ['host:cpu', 'host', '--c7']], limit: 'cpu', none: 'No CPU time read yet' },
  ];
  const COLOURS = ['--c1', '--c2', '--c3', '--c4', '--c5', '--c6', '--c7'];
  let charts = [], limits = {}, appLimits = {};
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  const kindsOf = (app) => KINDS.filter((k) => !(k.only && !app[k.only]) && !(k.unless && app[k.unless]));
  function rowsOf(kind, app) {
    if (!kind.each) return kind.rows;
    const names = Object.keys(app).filter((n) => n.startsWith(kind.each + '/')).sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
    if (!names.length) return [[kind.each, 'all workers', '--c1']];
    return names.map((n, i) => [n, n.slice(kind.each.length + 1), COLOURS[i % COLOURS.length], i >= COLOURS.length ? [4, 3] : undefined]);
  }
  function valuesOf(kind, rows, app) {
    const empty = () => new Array(H.t.length).fill(null);
    const plain = rows.map(([name]) => (name.startsWith('host:') ? H.host[name.slice(5)] : app[name]) || empty());
    if (!kind.stack) return [plain, plain];
    const sums = [];
    plain.forEach((row, i) => sums.push(row.map((v, x) => v === null && (i === 0 || sums[i - 1][x] === null) ? null : (v || 0) + (i ? sums[i - 1][x] || 0 : 0))));
    return [plain, sums];
  }
  const highest = (rows) => { let m = 0; for (const r of rows) for (const v of r) if (v !== null && v > m) m = v; return m; };
  const lastOf = (row) => row && row.findLast((v) => v !== null);

  // Lines for limits are drawn where the values come near them; the caption has them always.
  function linesOf(c) {
    const [warning, critical] = (appLimits[c.name] || limits)[c.kind.limit] || [], cap = c.kind.cap && lastOf(c.app[c.kind.cap]);
    return [['warns at', warning, '--c5'], ['critical at', critical, '--c2'], ['limit', cap, '--quiet']].filter(([, v]) => v !== null && v !== undefined);
  }
  function drawLines(c, u) {
    for (const [, v, name] of linesOf(c)) {
      if (v > u.scales.y.max) continue;
      const y = Math.round(u.valToPos(v, 'y', true));
      u.ctx.save();
      u.ctx.strokeStyle = colour(name);
      u.ctx.lineWidth = devicePixelRatio;
      u.ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
      u.ctx.beginPath();
      u.ctx.moveTo(u.bbox.left, y);
      u.ctx.lineTo(u.bbox.left + u.bbox.width, y);
      u.ctx.stroke();
      u.ctx.restore();
    }
  }
  // The last 30 minutes, or since there are numbers: a chart of a fresh start
  // should not be nine tenths empty. Never less than 5 minutes.
  function timeRange() {
    const end = H.t[H.t.length - 1] || Date.now() / 1000;
    return [Math.max(end - SPAN, Math.min(H.t[0] || end, end - 300)), end];
  }
  function top(c, max) {
    let y = max;
    for (const [, v] of linesOf(c)) if (v <= 2 * max) y = Math.max(y, v);
    const least = { [count]: 1, [rate]: 1, [percent]: 0.1, [seconds]: 0.01, [bytes]: 1e6 }[c.kind.fmt];
    return Math.max(y * 1.08, c.kind.stack ? y : least);
  }
  function caption(c, idx) {
    const at = idx === null || idx === undefined ? H.t.length - 1 : idx, hover = at !== H.t.length - 1;
    const keys = c.rows.map(([, name, col], i) => ({ name, col, v: c.plain[i][at] }));
    const many = keys.length > 4;
    const list = many ? keys.filter((k) => k.v !== null).sort((a, b) => b.v - a.v).slice(0, 3) : keys;
    const parts = [];
    const title = document.createElement('b');
    title.textContent = c.kind.title;
    parts.push(title);
    for (const k of list) {
      const s = document.createElement('span'), m = document.createElement('span');
      s.className = 'key';
      m.className = 'mark';
      m.style.borderTopColor = colour(k.col);
      s.append(m, k.name + ' ' + (k.v === null || k.v === undefined ? '–' : c.kind.fmt(k.v)));
      parts.push(s);
    }
    const notes = [];
    if (many && keys.length > list.length) notes.push('the largest of ' + keys.length);
    for (const [word, v] of linesOf(c)) if (word !== 'critical at') notes.push(word + ' ' + c.kind.fmt(v));
    if (hover && H.t[at]) { const d = new Date(H.t[at] * 1000); notes.push('at ' + two(d.getHours()) + ':' + two(d.getMinutes()) + ':' + two(d.getSeconds())); }
    if (notes.length) {
      const s = document.createElement('span');
      s.className = 'quiet';
      s.textContent = notes.join(', ');
      parts.push(s);
    }
    c.caption.replaceChildren(...parts);
  }
  function options(c) {
    const rows = c.stackedOrder, axis = { stroke: colour('--quiet'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false }, font: '11px ' + getComputedStyle(document.body).fontFamily };
    const small = (v) => c.kind.fmt(v);
    return {
      width: c.plot.clientWidth, height: c.plot.clientHeight, padding: [6, 16, 0, 0], legend: { show: false },
      cursor: { sync: { key: 'all' }, y: false, drag: { x: false, y: false }, points: { show: !c.kind.stack, size: 6 } },
      scales: { x: { time: true, range: timeRange }, y: { range: (_, __, max) => [0, top(c, max || 0)] } },
      axes: [
        { ...axis, size: 20, gap: 3, space: 60, values: (_, v) => v.map((t) => { const d = new Date(t * 1000); return two(d.getHours()) + ':' + two(d.getMinutes()); }) },
        { ...axis, size: 52, gap: 4, space: 26, values: (_, v) => v.map(small), incrs: c.kind.fmt === count ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 1e5, 1e6] : undefined },
      ],
      series: [{}, ...rows.map(([, name, col, dash]) => ({
        label: name, stroke: colour(col), width: c.kind.stack ? 0.5 : 1.5, dash, fill: c.kind.stack ? colour(col === '--idle' ? '--line' : col) : undefined,
        points: { show: (u, i) => !c.kind.stack && lonely(u.data[i]), size: 4 }, spanGaps: false,
      }))],
      hooks: { setCursor: [(u) => caption(c, u.cursor.left >= 0 ? u.cursor.idx : null)], draw: [(u) => drawLines(c, u)] },
    };
  }
  const lonely = (row) => row.filter((v) => v !== null).length < 3;
  function dataOf(c) {
    const [plain, drawn] = valuesOf(c.kind, c.rows, c.app);
    c.plain = plain;
    c.known = plain.some((r) => r.some((v) => v !== null));
    c.max = highest(drawn);
    return [H.t, ...(c.kind.stack ? drawn.slice().reverse() : drawn)]; // the highest sum is painted first
  }
  function make(box, kind, app) {
    const fig = document.createElement('figure'), c = { kind, app, name: box.dataset.app.slice(4), rows: rowsOf(kind, app) };
    c.stackedOrder = kind.stack ? c.rows.slice().reverse() : c.rows;
    c.signature = c.rows.map((r) => r[0]).join();
    c.caption = document.createElement('figcaption');
    c.plot = document.createElement('div');
    c.plot.className = 'plot';
    c.none = document.createElement('p');
    c.none.className = 'none';
    c.none.textContent = kind.none;
    c.plot.append(c.none);
    fig.append(c.caption, c.plot);
    box.append(fig);
    c.fig = fig;
    const data = dataOf(c);
    c.u = new uPlot(options(c), data, c.plot);
    c.resize = new ResizeObserver(() => { if (c.plot.clientWidth) c.u.setSize({ width: c.plot.clientWidth, height: c.plot.clientHeight }); });
    c.resize.observe(c.plot);
    return c;
  }
  function dropCharts() {
    for (const c of charts) { c.resize.disconnect(); c.u.destroy(); c.fig.remove(); }
    charts = [];
  }
  function drawCharts() {
    const boxes = [...document.querySelectorAll('.charts')];
    const appOf = (box) => H.apps[box.dataset.app.slice(4)] || {};
    const all = boxes.flatMap((box) => kindsOf(appOf(box)).map((kind) => ({ box, kind })));
    const wanted = all.map(({ box, kind }) => rowsOf(kind, appOf(box)).map((r) => r[0]).join());
    if (charts.length !== wanted.length || charts.some((c, i) => c.signature !== wanted[i])) {
      dropCharts();
      for (const { box, kind } of all) charts.push(make(box, kind, appOf(box)));
    } else {
      charts.forEach((c, i) => { c.app = appOf(all[i].box); c.u.setData(dataOf(c)); });
    }
    for (const c of charts) {
      c.none.hidden = c.known;
      caption(c, c.u.cursor.left >= 0 ? c.u.cursor.idx : null);
    }
  }

  // Orders to the healing part: they go with the token that is asked for each
  // time, in a header. It is kept nowhere.
  let order = null;
  const dialog = () => document.getElementById('order');
  function askOrder(button) {
    const d = dialog(), what = button.dataset.order;
    order = what;
    d.querySelector('h2').textContent = button.dataset.title || button.textContent;
    for (const el of d.querySelectorAll('[data-for]')) {
      el.hidden = el.dataset.for !== what.split('/')[0];
      for (const i of el.querySelectorAll('input')) i.disabled = el.hidden;
    }
    d.querySelector('[role=alert]').textContent = '';
    d.querySelector('[name=token]').value = '';
    d.showModal();
  }
  async function sendOrder(event) {
    event.preventDefault();
    const d = dialog(), f = new FormData(event.target), says = d.querySelector('[role=alert]');
    const [, run, plan] = order.split('/');
    const path = run ? 'api/v1/runs/' + encodeURIComponent(run) + '/approve' : 'api/v1/' + order;
    const body = order === 'pause' ? JSON.stringify({ reason: f.get('reason'), for: f.get('for'), by: 'the status page' })
      : plan ? JSON.stringify({ plan }) : '';
    try {
      const answer = await fetch('./' + path, {
        method: 'POST', body, headers: { 'Content-Type': 'application/json', 'X-Resp-Token': f.get('token') }, signal: AbortSignal.timeout(10000),
      });
      d.querySelector('[name=token]').value = '';
      if (answer.ok) { d.close(); ask(); return; }
      says.textContent = (await answer.json()).error || answer.statusText;
    } catch (e) {
      says.textContent = 'The exporter does not answer: ' + e.message;
    }
  }

  // The loop: one question at a time, none while nobody looks.
  let timer = 0, lostAt = 0, asking = false;
  async function ask() {
    if (asking || document.hidden) return;
    asking = true;
    clearTimeout(timer);
    try {
      const since = H.t.length ? H.t[H.t.length - 1] : 0;
      const answer = await fetch('./api/v1/page?since=' + since + location.search.replace('?', '&'), { cache: 'no-store', signal: AbortSignal.timeout(10000) });
      if (!answer.ok) throw new Error(answer.statusText);
      const sent = Date.parse(answer.headers.get('Date') || '');
      skew = Math.abs(Date.now() - sent) > 2000 ? Date.now() - sent : 0;
      const d = await answer.json();
      lostAt = 0;
      if (d.layout !== document.querySelector('main').dataset.layout) await rebuild();
      for (const [id, html] of Object.entries(d.sections)) replace(id, html);
      [limits, appLimits] = [d.limits, d.app_limits];
      merge(d.history);
      drawCharts();
    } catch (e) {
      lostAt = lostAt || Date.now();
      console.warn('resp-exporter:', e);
    } finally {
      asking = false;
      tick();
      if (!document.hidden) timer = setTimeout(ask, EVERY);
    }
  }
  document.addEventListener('DOMContentLoaded', () => {
    root.classList.add('js');
    document.addEventListener('click', (e) => { const b = e.target.closest('[data-order]'); if (b) askOrder(b); });
    dialog().querySelector('form').addEventListener('submit', sendOrder);
    dialog().querySelector('[type=button]').addEventListener('click', () => dialog().close());
    document.addEventListener('theme', () => { dropCharts(); drawCharts(); });
    document.addEventListener('visibilitychange', () => { clearTimeout(timer); if (!document.hidden) ask(); });
    verdictKey = document.querySelector('.verdict').dataset.key;
    localise(document);
    localiseStrip(document);
    document.addEventListener('submit', askMoment);
    tick();
    setInterval(tick, 1000);
    ask();
  });
})();
