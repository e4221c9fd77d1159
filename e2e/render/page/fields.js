// How the fields of a panel are shown: its defaults and overrides, and its transformations.
import {
  applyFieldOverrides, FieldConfigOptionsRegistry, identityOverrideProcessor, standardTransformers, standardTransformersRegistry, transformDataFrame,
} from '@grafana/data';
import { lastValueFrom } from 'rxjs';

const standard = ['unit', 'decimals', 'min', 'max', 'noValue', 'color', 'mappings', 'thresholds', 'links', 'displayName'];
const custom = [
  'width', 'minWidth', 'align', 'cellOptions', 'filterable', 'hidden', 'lineStyle', 'lineWidth', 'fillOpacity', 'stacking', 'hideFrom', 'drawStyle', 'showPoints', 'spanNulls',
  'axisSoftMax', 'axisSoftMin', 'axisPlacement', 'axisLabel', 'scaleDistribution', 'lineInterpolation', 'gradientMode',
];

// known lists what a panel or an override may set.
const known = new FieldConfigOptionsRegistry(() => [
  ...standard.map((id) => ({ id, path: id, name: id, process: processed(id), shouldApply: () => true, override: () => null, editor: () => null })),
  ...custom.map((id) => ({ id: `custom.${id}`, path: id, name: id, isCustom: true, process: identityOverrideProcessor, shouldApply: () => true, override: () => null, editor: () => null })),
]);

// processed makes steps of thresholds what the components expect: the first has no end.
function processed(id) {
  if (id !== 'thresholds') return identityOverrideProcessor;
  return (value) => value && { ...value, steps: value.steps.map((s) => ({ ...s, value: s.value ?? -Infinity })) };
}

// prepare makes Grafana's transformers known.
export function prepare() {
  standardTransformersRegistry.setInit(() => [...new Set(Object.values(standardTransformers))].map((t) => ({ id: t.id, name: t.name, transformation: async () => t, editor: () => null })));
}

// shown returns the frames as the panel shows them.
export async function shown(panel, frames, theme, timeZone) {
  let data = frames;
  const steps = panel.transformations ?? [];
  for (const t of steps) {
    if (!standardTransformersRegistry.getIfExists(t.id)) throw new Error(`unknown transformation ${t.id}`);
  }
  if (steps.length > 0) data = await lastValueFrom(transformDataFrame(steps, data, { interpolate: (text) => text }));
  const own = panel.fieldConfig ?? { defaults: {}, overrides: [] };
  for (const o of own.overrides ?? []) {
    for (const p of o.properties) {
      if (!known.getIfExists(p.id)) throw new Error(`an override of ${panel.title} sets ${p.id}, which is not drawn`);
    }
  }
  return applyFieldOverrides({ data, fieldConfig: { defaults: own.defaults ?? {}, overrides: own.overrides ?? [] }, fieldConfigRegistry: known, replaceVariables: (text) => text, theme, timeZone });
}
