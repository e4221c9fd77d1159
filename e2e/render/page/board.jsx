// A dashboard as Grafana lays it out: the bar above, rows, and panels with their frames.
import { Icon, PanelChrome } from '@grafana/ui';
import { grid } from './model.js';
import { Content } from './panels.jsx';

export const bar = 40; // height of Grafana's own bar

// Board draws all of it. parts has the place, the data and the step of each panel.
export function Board({ board, parts, height, variables, common, theme }) {
  return (
    <div data-board style={{ background: theme.colors.background.canvas, color: theme.colors.text.primary }}>
      <Head board={board} variables={variables} theme={theme} />
      <div data-grid style={{ position: 'relative', height: height + grid.gap }}>
        {parts.map((p) => (
          <div key={p.panel.id} data-panel={p.panel.id} data-type={p.panel.type} data-title={p.panel.title} style={{ position: 'absolute', left: p.left, top: p.top, width: p.width, height: p.height }}>
            {p.panel.type === 'row' ? <Row panel={p.panel} theme={theme} /> : <Framed {...p} common={common} theme={theme} />}
          </div>
        ))}
      </div>
    </div>
  );
}

function Framed({ panel, data, step, error, width, height, common, theme, drawn }) {
  const links = (panel.links ?? []).length > 0 && <span style={{ padding: '0 6px', color: theme.colors.text.secondary }}><Icon name="external-link-alt" /></span>;
  return (
    <PanelChrome width={width} height={height} title={panel.title} description={panel.description} titleItems={links || undefined} statusMessage={error}>
      {(w, h) => !error && <Content {...common} panel={panel} data={data} step={step} width={w} height={h} theme={theme} drawn={drawn} />}
    </PanelChrome>
  );
}

function Row({ panel, theme }) {
  return (
    <div style={{ display: 'flex', alignItems: 'center', height: grid.cell, gap: 4, fontSize: theme.typography.h5.fontSize, fontWeight: 500 }}>
      <Icon name={panel.collapsed ? 'angle-right' : 'angle-down'} />
      <span>{panel.title}</span>
      {panel.collapsed && <span style={{ color: theme.colors.text.secondary, fontStyle: 'italic', fontWeight: 400, fontSize: 12 }}>{`(${(panel.panels ?? []).length} panels)`}</span>}
    </div>
  );
}

// Head is what stands above the panels: where one is, and what is chosen.
function Head({ board, variables, theme }) {
  const box = { display: 'flex', alignItems: 'center', height: 32, border: `1px solid ${theme.colors.border.weak}`, borderRadius: theme.shape.radius.default, background: theme.colors.background.primary, fontSize: 14, whiteSpace: 'nowrap' };
  const label = { display: 'flex', alignItems: 'center', height: '100%', padding: '0 8px', fontSize: 12, fontWeight: 500, borderRight: `1px solid ${theme.colors.border.weak}` };
  return (
    <header>
      <div style={{ display: 'flex', alignItems: 'center', height: bar, padding: '0 16px', gap: 6, fontSize: 14, borderBottom: `1px solid ${theme.colors.border.weak}`, background: theme.colors.background.primary }}>
        <span style={{ color: theme.colors.text.secondary }}>Home › Dashboards ›</span><span>{board.title}</span>
      </div>
      <div data-controls style={{ display: 'flex', flexWrap: 'wrap', gap: 8, padding: `${grid.gap}px ${grid.edge}px` }}>
        {(board.templating?.list ?? []).filter((v) => (v.hide ?? 0) < 2).map((v) => (
          <div key={v.name} style={box}><span style={label}>{v.label || v.name}</span><span style={{ padding: '0 8px', maxWidth: 280, overflow: 'hidden', textOverflow: 'ellipsis' }}>{variables[v.name].text}</span><Icon name="angle-down" /></div>
        ))}
        {(board.annotations?.list ?? []).filter((a) => !a.hide && !a.builtIn).map((a) => (
          <div key={a.name} style={box}><span style={label}>{a.name}</span><span style={{ margin: '0 8px', width: 32, height: 16, borderRadius: 8, background: a.enable ? theme.colors.primary.main : theme.colors.border.medium }} /></div>
        ))}
        {(board.links ?? []).map((l) => <div key={l.title} style={{ ...box, padding: '0 8px', gap: 6 }}><Icon name="bars" /><span>{l.title}</span></div>)}
      </div>
    </header>
  );
}
