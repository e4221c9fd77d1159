// Whether texts can be read on what is behind them, in both themes. Contrast is that of
// WCAG 2: from 1 to 21.

const plain = 4.5; // of a text on a panel
const bold = 3; // of a large text, of a key figure, or of a short text on the color of a state
const large = 18; // pixels

// contrasts finds texts with too little contrast.
export function contrasts(texts, seen, { panel }, fault) {
  for (const text of texts.filter(seen)) {
    const style = getComputedStyle(text.of);
    const { behind, colored } = backdrop(text.of);
    const least = colored || panel.type === 'stat' || parseFloat(style.fontSize) >= large ? bold : plain;
    const found = Math.min(...behind.map((b) => contrast(over(color(style.color), b), b)));
    if (found < least) fault('contrast', `"${text.text}" has the contrast ${found.toFixed(2)}, and needs ${least}`);
  }
}

// color reads a color as the browser computes it: red, green, blue, opacity.
function color(text) {
  const [r = 0, g = 0, b = 0, a = 1] = (/^rgba?\((.*)\)$/.exec(text)?.[1] ?? '').split(/[\s,/]+/).map(Number);
  return { r, g, b, a };
}

// over is a color on top of another one.
const over = (c, below) => ({ r: c.r * c.a + below.r * (1 - c.a), g: c.g * c.a + below.g * (1 - c.a), b: c.b * c.a + below.b * (1 - c.a), a: 1 });

// backdrop returns the colors behind an element, several for a gradient, and whether they
// are colored: that of a state, not of a panel.
function backdrop(element) {
  const layers = [];
  for (let e = element; e; e = e.parentElement) {
    const style = getComputedStyle(e);
    const stops = style.backgroundImage.startsWith('linear-gradient') ? style.backgroundImage.match(/rgba?\([^)]*\)/g) ?? [] : [];
    const list = (stops.length > 0 ? stops : [style.backgroundColor]).map(color).filter((c) => c.a > 0);
    if (list.length === 0) continue;
    layers.push(list);
    if (list.every((c) => c.a === 1)) break;
  }
  let behind = [{ r: 255, g: 255, b: 255, a: 1 }];
  for (const list of layers.reverse()) behind = list.flatMap((c) => behind.map((b) => over(c, b)));
  return { behind, colored: behind.some((c) => Math.max(c.r, c.g, c.b) - Math.min(c.r, c.g, c.b) > 60) };
}

function contrast(a, b) {
  const [less, more] = [light(a), light(b)].sort((x, y) => x - y);
  return (more + 0.05) / (less + 0.05);
}

function light(c) {
  const [r, g, b] = [c.r, c.g, c.b].map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
