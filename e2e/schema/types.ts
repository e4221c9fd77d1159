// What a dashboard is in Grafana's own types. check.mjs makes JSON Schemas of
// these; where Grafana's are open (a panel's options, custom fields, queries)
// they are closed here.
import type * as grafana from '@grafana/schema';

type Raw<T, K extends keyof T> = Omit<T, K>;

export interface Dashboard extends Raw<grafana.Dashboard, 'panels' | 'templating' | 'annotations' | 'id'> {
  id: null;
  uid: string;
  title: string;
  panels: unknown[];
  templating: { list: unknown[] };
  annotations: { list: unknown[] };
}

// Variables and annotations have fields of their data source, see
// grafana/packages/grafana-data and grafana-prometheus.
export interface Variable extends grafana.VariableModel {
  definition?: string;
}

export interface Annotation extends Raw<grafana.AnnotationQuery, 'target'> {
  expr?: string;
  step?: string;
  titleFormat?: string;
  textFormat?: string;
  tagKeys?: string;
  useValueForTime?: boolean;
  target?: Target;
}

export interface Panel extends Raw<grafana.Panel, 'options' | 'targets' | 'fieldConfig' | 'links' | 'id' | 'title' | 'gridPos'> {
  id: number;
  title: string;
  gridPos: grafana.GridPos;
  options?: unknown;
  targets?: unknown[];
  fieldConfig?: { defaults: unknown; overrides: Override[] };
  links?: Link[];
}

export interface Row {
  id: number;
  type: 'row';
  title: string;
  collapsed: boolean;
  gridPos: grafana.GridPos;
  panels: unknown[];
}

export interface Link {
  title: string;
  url: string;
  targetBlank?: boolean;
}

export interface Override {
  matcher: { id: string; options?: unknown };
  properties: Array<{ id: string; value?: unknown }>;
}

export interface Field extends Raw<grafana.FieldConfig, 'custom' | 'links'> {
  custom?: unknown;
  links?: Link[];
}

// A query to Prometheus: grafana/packages/grafana-prometheus/src/dataquery.ts.
export interface Target {
  refId: string;
  datasource?: grafana.DataSourceRef;
  expr: string;
  legendFormat?: string;
  editorMode?: 'code' | 'builder';
  range?: boolean;
  instant?: boolean;
  exemplar?: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
  interval?: string;
  intervalFactor?: number;
  hide?: boolean;
}
